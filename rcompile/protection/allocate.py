"""Allocate: how many bitlines hold each digit of each output, for the least predicted error in so many crossbars.

Digits of one magnitude are copied alike, whatever their sign: an allocation is a number of copies for each magnitude,
in rising order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
import numpy.typing as npt

from rcompile.hardware.target import Target
from rcompile.layout.compact import UsedLines
from rcompile.layout.normal_form import U8
from rcompile.layout.place import crossbars
from rcompile.protection.predict import given_up_error, level_error
from rcompile.vocabulary import Combiner

F64 = npt.NDArray[np.float64]
COPIES = (1, 2, 3, 4, 5, 6)
MOST_COPIES = 24  # of all digits of one sign


@dataclass(frozen=True, eq=False)
class Survey:
    """What protection needs to know of a layer. scale: f32 [N] of its outputs, 0 where pruned. energy: sum over the
    matrix of the squared weights, above 0. levels: f64 [magnitudes, top + 1], share of cells at each level, as stored.
    """

    name: str
    inputs: int
    outputs: int
    used: UsedLines
    scale: npt.NDArray[np.float32]
    energy: float
    levels: F64


class LayerErrors:
    """Predicted squared error of one output of a layer, per squared scale, for any allocation."""

    def __init__(self, layer: Survey, combiner: Combiner, target: Target, sa0: float, sa1: float) -> None:
        self.encoding, self.wordlines = target.encoding, len(layer.used.inputs)
        units = list(_units(self.wordlines, target))
        magnitudes = self.encoding.magnitudes
        self.by_copies = np.zeros((len(magnitudes), max(COPIES) + 1))
        for m, c in ((m, c) for m in range(len(magnitudes)) for c in range(1, max(COPIES) + 1)):
            error = level_error(layer.levels[m], c, combiner, target, units, sa0, sa1)
            digits = sum(abs(d) == magnitudes[m] for d in self.encoding.digits)
            self.by_copies[m, c] = digits * error * float(magnitudes[m]) ** 2

    def of(self, allocations: U8) -> F64:
        """f64 [A] of allocations u8 [A, magnitudes]."""
        stuck = self.by_copies[np.arange(allocations.shape[1]), allocations].sum(axis=1)
        given_up = (allocations == 0).sum(axis=1)
        steps = self.encoding.magnitudes[: int(given_up.max()) + 1]
        rounding = [given_up_error(step, self.wordlines) for step in steps]
        return stuck + np.array(rounding)[given_up]


def predict_errors(
    layers: Sequence[Survey], combiner: Combiner, target: Target, sa0: float, sa1: float
) -> dict[str, LayerErrors]:
    """The predicted errors of every layer, by name."""
    return {layer.name: LayerErrors(layer, combiner, target, sa0, sa1) for layer in layers}


def predicted_error(layers: Sequence[Survey], replicas: Mapping[str, U8], errors: Mapping[str, LayerErrors]) -> float:
    """Relative squared error of an output under an allocation u8 [N, magnitudes] by layer, mean over the layers, for
    white inputs.
    """
    total = 0.0
    for layer in layers:
        distinct, which = np.unique(replicas[layer.name], axis=0, return_inverse=True)
        of_output = errors[layer.name].of(distinct)[which.reshape(-1)]
        total += float(of_output @ layer.scale.astype(np.float64) ** 2) / layer.energy
    return total / len(layers)


def crossbars_of(layer: Survey, replicas: U8, target: Target) -> int:
    """Crossbars of a layer under an allocation u8 [N, magnitudes]."""
    bitlines = target.encoding.bitlines(replicas[layer.used.outputs])
    return crossbars(len(layer.used.inputs), bitlines, target)


def may_give_up(count: int, target: Target) -> bool:
    """Whether an output that gives up so many of its lowest magnitudes has digits, and codes other than 0, left."""
    magnitudes = target.encoding.magnitudes
    return count < len(magnitudes) and target.weight_code_max >= magnitudes[count]


def allocate(layers: Sequence[Survey], errors: Mapping[str, LayerErrors], budget: int, target: Target) -> dict[str, U8]:
    """u8 [N, magnitudes] by layer: at the lowest price of a bitline at which all outputs fit into `budget` crossbars,
    each takes the allocation with the least `error + price * bitlines` (a Lagrangian relaxation of the knapsack).
    Pruned outputs stay plain.
    """
    menu = _menu(target)
    width, plain = target.encoding.bitlines(menu), np.ones(menu.shape[1], np.uint8)
    of_menu = {layer.name: errors[layer.name].of(menu) for layer in layers}
    offers = {name: _offers(of_all, width) for name, of_all in of_menu.items()}

    def at(price: float) -> dict[str, U8]:
        chosen = {}
        for layer in layers:
            offered = offers[layer.name]
            per_bitline = price * -(-len(layer.used.inputs) // target.crossbar.rows) / target.crossbar.cols
            weight = layer.scale.astype(np.float64) ** 2 / layer.energy
            cost = weight[:, None] * of_menu[layer.name][offered] + per_bitline * width[offered]
            chosen[layer.name] = np.where((weight > 0)[:, None], menu[offered[cost.argmin(axis=1)]], plain)
        return chosen

    def fits(price: float) -> bool:
        chosen = at(price)
        return sum(crossbars_of(layer, chosen[layer.name], target) for layer in layers) <= budget

    return at(_lowest(fits))


def _units(wordlines: int, target: Target) -> Iterator[int]:
    """Driven wordlines of each operation unit over all row blocks."""
    rows, active = target.crossbar.rows, target.crossbar.active_rows
    for first in range(0, wordlines, rows):
        driven = min(rows, wordlines - first)
        yield from (min(active, driven - at) for at in range(0, driven, active))


def _menu(target: Target) -> U8:
    """The allocations that an output may take, u8 [A, magnitudes]: copies never fall from a magnitude to the next
    larger one; the lowest may be given up, or the lowest two where cells hold one bit.
    """
    magnitudes = len(target.encoding.magnitudes)
    rows = [
        (0,) * g + copies
        for g in range(max(1, 2 // target.cell.bits) + 1)
        if g == 0 or may_give_up(g, target)
        for copies in combinations_with_replacement(COPIES, magnitudes - g)
        if sum(copies) <= MOST_COPIES
    ]
    menu = np.array(rows, np.uint8)
    return menu[target.encoding.bitlines(menu) <= target.crossbar.cols]


def _offers(errors: F64, width: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Of the allocations with equally many bitlines, the best one: no other can win at any price. Numbers in the
    menu.
    """
    same_width = [np.flatnonzero(width == w) for w in np.unique(width)]
    return np.array([rows[errors[rows].argmin()] for rows in same_width])


def _lowest(fits: Callable[[float], bool], steps: int = 40) -> float:
    """The lowest price that fits, by bisection of its logarithm."""
    low, high = -40.0, 20.0
    if fits(float(np.exp(low))):
        return float(np.exp(low))
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (low, middle) if fits(float(np.exp(middle))) else (middle, high)
    return float(np.exp(high))
