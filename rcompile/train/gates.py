"""Gates: a number in 0 .. 1 for every line, learned with the weights, under a budget on cells that always holds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from rcompile.train.budget import Budget

HOTTEST, COLDEST = 1.0, 0.1  # temperature at the start and at the end


class Gates(nn.Module):
    """One score a line; gate = sigmoid((score - price) / temperature).

    The price is common to all lines and found anew at each step, so that the gated model has exactly the budgeted
    cells; lines compete for cells across all matrices, and the sparsity of each matrix is what the optimisation makes
    it. The price depends on the scores, and its gradient (implicit differentiation) charges a line for the cells that
    it takes. As the temperature falls the gates close or open.
    """

    def __init__(self, budget: Budget) -> None:
        super().__init__()
        self.names = list(budget.groups)
        sizes = [budget.groups[g].size for g in self.names]
        self.scores = nn.Parameter(torch.zeros(sum(sizes)))
        place = {g: i for i, g in enumerate(self.names)}
        whole = len(self.names)  # a group of its own that is never pruned
        cells = [(m.row_group, m.col_group, m.inputs, m.outputs) for m in budget.matrices.values()]
        self.register_buffer(
            "line_group", torch.repeat_interleave(torch.arange(whole), torch.tensor(sizes)), persistent=False
        )
        self.register_buffer("row", torch.tensor([place.get(r or "", whole) for r, _, _, _ in cells]), persistent=False)
        self.register_buffer("col", torch.tensor([place.get(c or "", whole) for _, c, _, _ in cells]), persistent=False)
        self.register_buffer(
            "row_size", torch.tensor([1.0 if r else float(k) for r, _, k, _ in cells]), persistent=False
        )
        self.register_buffer(
            "col_size", torch.tensor([1.0 if c else float(n) for _, c, _, n in cells]), persistent=False
        )
        self.dense_cells = float(sum(k * n for _, _, k, n in cells))
        self.sizes = sizes

    def share(self, gates: Tensor) -> Tensor:
        """Cells of the gated model over cells of the dense one; differentiable."""
        lines = torch.zeros(len(self.names) + 1).index_add(0, self.line_group, gates)
        lines = torch.cat([lines[:-1], torch.ones(1)])
        return (lines[self.row] * self.row_size * lines[self.col] * self.col_size).sum() / self.dense_cells

    def forward(self, keep: float, temperature: float) -> dict[str, Tensor]:
        """The gates of every group when `keep` of the dense cells may be used."""
        price = self._price(keep, temperature)
        gates = torch.sigmoid((self.scores - price) / temperature)
        return dict(zip(self.names, torch.split(gates, self.sizes), strict=True))

    def worth(self, keep: float) -> dict[str, npt.NDArray[np.float64]]:
        """What each line is worth when lines are to be chosen: its gate, half open at the price that the budget
        sets.
        """
        with torch.no_grad():
            price = self._price(keep, COLDEST)
            worth = torch.sigmoid(self.scores - price).double()
            return {g: v.numpy() for g, v in zip(self.names, torch.split(worth, self.sizes), strict=True)}

    @torch.no_grad()
    def start_from(self, importance: dict[str, Tensor], budget: Budget) -> None:
        """Scores from a first estimate of each line's importance: the log of importance per cell, standardised."""
        per_cell = []
        for g in self.names:
            group = budget.groups[g]
            cells = sum(budget.matrices[m].outputs for m in group.rows_of) + sum(
                budget.matrices[m].inputs for m in group.cols_of
            )
            per_cell.append(importance[g] / cells)
        flat = torch.cat(per_cell).clamp_min(1e-30).log()
        self.scores.copy_(((flat - flat.mean()) / flat.std().clamp_min(1e-6)).clamp(-4, 4))

    def _price(self, keep: float, temperature: float) -> Tensor:
        with torch.no_grad():
            low, high = self.scores.min() - 20 * temperature, self.scores.max() + 20 * temperature
            for _ in range(40):
                middle = (low + high) / 2
                if self.share(torch.sigmoid((self.scores - middle) / temperature)) > keep:
                    low = middle
                else:
                    high = middle
        price = high.clone().requires_grad_()
        with torch.enable_grad():
            share = self.share(torch.sigmoid((self.scores.detach() - price) / temperature))
            (slope,) = torch.autograd.grad(share, price)
        share = self.share(torch.sigmoid((self.scores - price.detach()) / temperature))
        return price.detach() - (share - share.detach()) / slope.clamp_max(-1e-12)
