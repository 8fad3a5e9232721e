"""What a pruned model costs in crossbars, and which lines to keep under a budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rcompile.errors import BadInputError
from rcompile.hardware.target import Target

Scores = Mapping[str, npt.NDArray[np.float64]]
Masks = dict[str, npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class Group:
    """Lines that live and die together: rows of the matrices `rows_of` and columns of the matrices `cols_of`, `size` of
    them.

    An FFN neuron is a column of one matrix and a row of the next; a head dimension is a column of the query and of the
    key.
    """

    name: str
    size: int
    rows_of: tuple[str, ...] = ()
    cols_of: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Removal:
    """The order in which the lines of a group go, [size], and what the first k cost together, [size + 1]."""

    order: npt.NDArray[np.int64]
    cost: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Matrix:
    """A mapped matrix of K inputs and N outputs, and the groups that its rows and columns belong to (None: never
    pruned).
    """

    inputs: int
    outputs: int
    row_group: str | None
    col_group: str | None


@dataclass(frozen=True)
class Budget:
    """The crossbars of a model as a function of how many lines of each group it keeps."""

    groups: Mapping[str, Group]
    matrices: Mapping[str, Matrix]
    rows: int
    outputs: int  # outputs that share one crossbar

    @staticmethod
    def of(shapes: Mapping[str, tuple[int, int]], groups: Sequence[Group], target: Target) -> Budget:
        """shapes: (inputs, outputs) of each mapped matrix, by name."""
        row_group = {m: g.name for g in groups for m in g.rows_of}
        col_group = {m: g.name for g in groups for m in g.cols_of}
        matrices = {m: Matrix(k, n, row_group.get(m), col_group.get(m)) for m, (k, n) in shapes.items()}
        per_crossbar = target.crossbar.cols // target.bitlines_per_output
        return Budget({g.name: g for g in groups}, matrices, target.crossbar.rows, per_crossbar)

    def crossbars(self, kept: Mapping[str, int]) -> int:
        """Crossbars of the model that keeps this many lines of each group; a group that is not named is whole."""
        total = 0
        for m in self.matrices.values():
            inputs = kept.get(m.row_group, m.inputs) if m.row_group else m.inputs
            outputs = kept.get(m.col_group, m.outputs) if m.col_group else m.outputs
            total += -(-inputs // self.rows) * -(-outputs // self.outputs)
        return total

    def least(self, group: Group) -> int:
        """The fewest lines of a group that are kept: what one crossbar holds, so that no matrix vanishes."""
        return min(group.size, self.rows if group.rows_of else self.outputs)

    def check(self, keep: float) -> None:
        """Raises BadInputError for a share of the crossbars that cannot be reached."""
        dense = self.crossbars({})
        floor = self.crossbars({g.name: self.least(g) for g in self.groups.values()})
        if floor > keep * dense:
            raise BadInputError(
                f"a budget of {keep:.2%} of {dense} crossbars cannot be met: what may be pruned leaves {floor} ({floor / dense:.2%}). Give at least that."
            )

    def choose(self, scores: Scores, keep: float) -> Masks:
        """The lines to keep so that the model takes at most `keep` of its dense crossbars, by greatest sum of scores.

        scores: worth of each cell of a line in 0 .. 1, by group. Lines worth a half or more are wanted, and so are
        others that come for free in the crossbars of those. As long as the budget is exceeded, greedily, the step down
        to fewer crossbars that loses least score per crossbar freed. A step is a whole number of crossbars: dropping
        fewer lines frees nothing.
        """
        order = {g: np.argsort(-scores[g], kind="stable") for g in self.groups}
        worth = {g: np.concatenate([[0.0], np.cumsum(scores[g][order[g]])]) for g in self.groups}

        def lost(name: str, fewer: int, kept: Mapping[str, int]) -> float:
            return float(worth[name][kept[name]] - worth[name][fewer]) * self._cells_of_line(name, kept)

        wanted = {g.name: self._rounded(g, int((scores[g.name] >= 0.5).sum())) for g in self.groups.values()}
        return self._masks(self._within(keep, wanted, lost), order)

    def cheapest(self, removals: Mapping[str, Removal], keep: float) -> Masks:
        """The lines to keep so that the model takes at most `keep` of its dense crossbars, when it is known what the
        first k lines of each group cost: from the whole model, greedily as `choose`.
        """

        def lost(name: str, fewer: int, kept: Mapping[str, int]) -> float:
            size, cost = self.groups[name].size, removals[name].cost
            return float(cost[size - fewer] - cost[size - kept[name]])

        whole = {g.name: g.size for g in self.groups.values()}
        return self._masks(self._within(keep, whole, lost), {g: removals[g].order[::-1] for g in self.groups})

    def _within(
        self, keep: float, kept: dict[str, int], lost: Callable[[str, int, Mapping[str, int]], float]
    ) -> dict[str, int]:
        """How many lines of each group to keep, by the steps down that lose least per crossbar freed.

        lost(group, fewer, kept): what the step from the lines kept to fewer costs.
        """
        self.check(keep)
        limit = keep * self.crossbars({})
        used = self.crossbars(kept)
        while used > limit:
            steps = [(name, fewer) for name in kept for fewer in self._fewer(self.groups[name], kept[name])]
            prices = []
            for name, fewer in steps:
                freed = used - self.crossbars({**kept, name: fewer})
                prices.append(lost(name, fewer, kept) / freed if freed else np.inf)
            name, fewer = steps[int(np.argmin(prices))]
            kept = {**kept, name: fewer}
            used = self.crossbars(kept)
        return kept

    def _masks(self, kept: Mapping[str, int], order: Mapping[str, npt.NDArray[np.int64]]) -> Masks:
        """order: the lines of each group, the worthiest first."""
        masks = {g.name: np.zeros(g.size, np.bool_) for g in self.groups.values()}
        for name, mask in masks.items():
            mask[order[name][: kept[name]]] = True
        return masks

    def _cells_of_line(self, name: str, kept: Mapping[str, int]) -> int:
        """Cells that one line of a group takes."""
        group, total = self.groups[name], 0
        for m in (self.matrices[x] for x in group.rows_of):
            total += kept[m.col_group] if m.col_group else m.outputs
        for m in (self.matrices[x] for x in group.cols_of):
            total += kept[m.row_group] if m.row_group else m.inputs
        return total

    def _rounded(self, group: Group, wanted: int) -> int:
        """The count that the crossbars of so many lines hold."""
        quantum = self.rows if group.rows_of else self.outputs
        return min(group.size, max(-(-wanted // quantum) * quantum, self.least(group)))

    def _fewer(self, group: Group, kept: int) -> list[int]:
        """The next smaller counts that can free a crossbar."""
        quanta = ([self.rows] if group.rows_of else []) + ([self.outputs] if group.cols_of else [])
        lower = {(kept - 1) // q * q for q in quanta}
        return sorted(n for n in lower if n >= self.least(group))
