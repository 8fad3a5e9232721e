"""Protect: decide how many bitlines hold each slice of each output, within the crossbars of the dense model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
import numpy.typing as npt

from rcompile.compact import Kept
from rcompile.errors import UnsupportedError, UsageError
from rcompile.form import I32, U8, slice_digits
from rcompile.manifest import Protect
from rcompile.place import bitlines_per_output, crossbars, plain
from rcompile.predict import given_up_error, level_error
from rcompile.quantize import QuantizedLinear
from rcompile.target import Combining, Target

F64 = npt.NDArray[np.float64]
COPIES = (1, 2, 3, 4, 5, 6)
MOST_BITLINES = 24
# What the published recipe votes with, as far as the target can: the majority of each cell, or what is nearest to it.
PAPER_COMBINERS: tuple[Combining, ...] = ("cell", "select", "median", "mean")


@dataclass(frozen=True)
class Guard:
    """What is asked of protection. sa0, sa1: the fault rates to allocate for. combiner: None to choose among the target's."""

    scheme: Protect = "none"
    combiner: Combining | None = None
    sa0: float | None = None
    sa1: float | None = None
    allow_extra_crossbars: bool = False

    def check(self) -> None:
        """Raises UsageError for what means nothing."""
        sa0, sa1 = self.sa0 or 0.0, self.sa1 or 0.0
        if not (0 <= sa0 <= 1 and 0 <= sa1 <= 1 and sa0 + sa1 <= 1):
            raise UsageError(
                f"fault rates SA0 {sa0} and SA1 {sa1} must be shares of all cells: each in 0 .. 1, the sum at most 1."
            )
        if self.scheme == "none" and self != Guard():
            raise UsageError("a combiner, fault rates and extra crossbars are for --protect paper or auto.")


@dataclass(frozen=True, eq=False)
class Survey:
    """What protection needs to know of a layer. scale: f32 [N] of its outputs, 0 where pruned. energy: sum over the matrix of the squared
    weights, in units of squared codes times squared scale. levels: f64 [slices, top + 1], share of cells at each level, as stored.
    """

    name: str
    inputs: int
    outputs: int
    kept: Kept
    scale: npt.NDArray[np.float32]
    energy: float
    levels: F64


@dataclass(frozen=True, eq=False)
class Protection:
    """replicas: u8 [N, slices] by layer, none for a layer as it is. predicted_error: relative squared error of an output, mean over layers."""

    combiner: Combining
    replicas: Mapping[str, U8]
    sa0: float | None = None
    sa1: float | None = None
    predicted_error: float | None = None


UNPROTECTED = Protection("none", {})


def survey(linear: QuantizedLinear, kept: Kept, target: Target) -> Survey:
    """Take down what `protect` needs, so that the codes can be let go."""
    codes = linear.codes[np.ix_(kept.inputs, kept.outputs)]
    histogram = np.zeros((target.slices, target.top_level + 1))
    for s, polarity in ((s, p) for s in range(target.slices) for p in target.polarities):
        one = np.array([s], np.uint8), np.array([polarity], np.int8)
        for first in range(0, len(codes), target.crossbar.rows):
            digits = slice_digits(codes[first : first + target.crossbar.rows], *one, target)
            if target.weights.column_inversion:
                flip = 2 * digits.sum(axis=0, dtype=np.int64) > len(digits) * target.top_level
                digits ^= flip * np.uint8(target.top_level)
            histogram[s] += np.bincount(digits.reshape(-1), minlength=target.top_level + 1)
    scale = np.zeros(linear.codes.shape[1], np.float32)
    scale[kept.outputs] = linear.weight_scale[kept.outputs]
    energy = float((codes.astype(np.float64) ** 2).sum(axis=0) @ scale[kept.outputs].astype(np.float64) ** 2)
    shares = histogram / histogram.sum(axis=1, keepdims=True)
    inputs, outputs = linear.codes.shape
    return Survey(linear.name, inputs, outputs, kept, scale, max(energy, 1e-30), shares)


def protect(layers: Sequence[Survey], guard: Guard, target: Target) -> Protection:
    """The allocation of replicas that a scheme asks for, or finds.

    `paper`: three copies of the top slice, and where those do not fit, the lowest slice gives way to them (Li et al. 2024). `auto`:
    for each output the allocation of least predicted error, at the price of a bitline at which all fit.
    Raises UnsupportedError if the target cannot vote so, or if the crossbars of the dense model do not hold the result.
    """
    choices = _combiners(guard, target)
    budget = sum(dense_crossbars(layer.inputs, layer.outputs, target) for layer in layers)
    # As on `rcompile evaluate`, one rate alone means that kind of fault alone.
    given = guard.sa0 is not None or guard.sa1 is not None
    faults = target.faults
    sa0, sa1 = (guard.sa0 or 0.0, guard.sa1 or 0.0) if given else (faults.sa0_rate, faults.sa1_rate)
    if guard.scheme == "paper":
        replicas = _published(layers, budget, target)
        found = [(predicted_error(layers, replicas, choices[0], target, sa0, sa1), choices[0], replicas)]
    else:
        found = []
        for combiner in choices:
            replicas = _allocate(layers, combiner, budget, target, sa0, sa1)
            found.append((predicted_error(layers, replicas, combiner, target, sa0, sa1), combiner, replicas))
    error, combiner, replicas = min(found, key=lambda f: f[0])
    needed = sum(crossbars_of(layer, replicas[layer.name], target) for layer in layers)
    if needed > budget and not guard.allow_extra_crossbars:
        raise UnsupportedError(
            f"--protect {guard.scheme} needs {needed} crossbars, the dense model {budget}. Prune the model (`rcompile train`, `rcompile prune`), "
            "or --allow-extra-crossbars."
        )
    return Protection(combiner, replicas, sa0, sa1, error)


def dense_crossbars(inputs: int, outputs: int, target: Target) -> int:
    """Crossbars of a layer with nothing pruned and nothing copied."""
    return crossbars(inputs, bitlines_per_output(plain(outputs, target), target), target)


def crossbars_of(layer: Survey, replicas: U8, target: Target) -> int:
    """Crossbars of a layer under an allocation u8 [N, slices]."""
    return crossbars(len(layer.kept.inputs), bitlines_per_output(replicas[layer.kept.outputs], target), target)


def predicted_error(
    layers: Sequence[Survey], replicas: Mapping[str, U8], combiner: Combining, target: Target, sa0: float, sa1: float
) -> float:
    """Relative squared error of an output, mean over the layers, for white inputs."""
    total = 0.0
    for layer in layers:
        distinct, which = np.unique(replicas[layer.name], axis=0, return_inverse=True)
        errors = _Errors(layer, combiner, target, sa0, sa1).of(distinct)
        total += float(errors[which.reshape(-1)] @ layer.scale.astype(np.float64) ** 2) / layer.energy
    return total / len(layers)


def _combiners(guard: Guard, target: Target) -> Sequence[Combining]:
    has = target.vote.combiners
    if not has:
        raise UnsupportedError(
            f"target '{target.name}' cannot vote: it has no combiner. Name those of the hardware under [vote] combiners, or --protect none."
        )
    if guard.combiner is None:
        return [c for c in PAPER_COMBINERS if c in has][:1] if guard.scheme == "paper" else has
    if guard.combiner not in has:
        raise UsageError(f"target '{target.name}' has no combiner '{guard.combiner}'; it has {', '.join(has)}.")
    return [guard.combiner]


def _published(layers: Sequence[Survey], budget: int, target: Target) -> dict[str, U8]:
    tripled = np.ones(target.slices, np.uint8)
    tripled[-1] = 3
    embedded = tripled.copy()
    embedded[0] = 0 if target.slices > 1 else 3
    for recipe in (tripled, embedded):
        replicas = {layer.name: np.tile(recipe, (layer.outputs, 1)) for layer in layers}
        if sum(crossbars_of(layer, replicas[layer.name], target) for layer in layers) <= budget:
            break
    return replicas


class _Errors:
    """Predicted squared error of one output of a layer, per squared scale, for any allocation."""

    def __init__(self, layer: Survey, combiner: Combining, target: Target, sa0: float, sa1: float) -> None:
        self.target, self.wordlines = target, len(layer.kept.inputs)
        units = list(_units(self.wordlines, target))
        signs = len(target.polarities)
        self.by_copies = np.zeros((target.slices, max(COPIES) + 1))
        for s, c in ((s, c) for s in range(target.slices) for c in range(1, max(COPIES) + 1)):
            error = level_error(layer.levels[s], c, combiner, target, units, sa0, sa1)
            self.by_copies[s, c] = signs * error * 4.0 ** (s * target.cell.bits)

    def of(self, allocations: U8) -> F64:
        """f64 [A] of allocations u8 [A, slices]."""
        stuck = self.by_copies[np.arange(allocations.shape[1]), allocations].sum(axis=1)
        given_up = (allocations == 0).sum(axis=1)
        return (
            stuck
            + np.array([given_up_error(self.target, g, self.wordlines) for g in range(given_up.max() + 1)])[given_up]
        )


def _units(wordlines: int, target: Target) -> Iterator[int]:
    """Driven wordlines of each operation unit over all row blocks."""
    rows, active = target.crossbar.rows, target.crossbar.active_rows
    for first in range(0, wordlines, rows):
        driven = min(rows, wordlines - first)
        yield from (min(active, driven - at) for at in range(0, driven, active))


def _menu(target: Target) -> U8:
    """The allocations that an output may take: copies never fall from a slice to the next higher; at most two bits are given up."""
    most = min(MOST_BITLINES, target.crossbar.cols // len(target.polarities))
    given_up = min(max(1, 2 // target.cell.bits), target.slices - 1)
    rows = [
        (0,) * g + copies
        for g in range(given_up + 1)
        for copies in combinations_with_replacement(COPIES, target.slices - g)
        if sum(copies) <= most
    ]
    return np.array(rows, np.uint8)


def _allocate(
    layers: Sequence[Survey], combiner: Combining, budget: int, target: Target, sa0: float, sa1: float
) -> dict[str, U8]:
    """The allocation at the lowest price of a bitline at which all outputs fit (a Lagrangian relaxation of the knapsack)."""
    menu = _menu(target)
    width = menu.sum(axis=1, dtype=np.float64) * len(target.polarities)
    errors = {layer.name: _Errors(layer, combiner, target, sa0, sa1).of(menu) for layer in layers}

    def at(price: float) -> dict[str, U8]:
        return {layer.name: menu[_cheapest(layer, errors[layer.name], width, price, target)] for layer in layers}

    def fits(replicas: Mapping[str, U8]) -> bool:
        return sum(crossbars_of(layer, replicas[layer.name], target) for layer in layers) <= budget

    return at(_lowest(lambda price: fits(at(price))))


def _cheapest(layer: Survey, errors: F64, width: F64, price: float, target: Target) -> I32:
    """The allocation, as its number in the menu, that each output takes: i32 [N]. Outputs of like scale choose alike."""
    weight = layer.scale.astype(np.float64) ** 2 / layer.energy
    per_bitline = price * -(-len(layer.kept.inputs) // target.crossbar.rows) / target.crossbar.cols
    return (weight[:, None] * errors + per_bitline * width).argmin(axis=1).astype(np.int32)


def _lowest(fits: Callable[[float], bool], steps: int = 40) -> float:
    """The lowest price that fits, by bisection of its logarithm."""
    low, high = -40.0, 20.0
    if fits(float(np.exp(low))):
        return float(np.exp(low))
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (low, middle) if fits(float(np.exp(middle))) else (middle, high)
    return float(np.exp(high))
