"""Protect: decide how many bitlines hold each slice of each output, within the crossbars of the dense model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rcompile.errors import UnsupportedError, UsageError
from rcompile.hardware.target import Target, check_rates
from rcompile.layout.compact import Kept
from rcompile.layout.normal_form import U8, slice_digits
from rcompile.layout.place import plain_crossbars
from rcompile.layout.quantize import QuantizedLinear
from rcompile.protection.allocate import (
    Survey,
    allocate,
    crossbars_of,
    may_give_up,
    predict_errors,
    predicted_error,
)
from rcompile.vocabulary import Combiner, Scheme

# What the published recipe votes with, as far as the target can: the majority of each cell, or what is nearest to it.
PAPER_COMBINERS: tuple[Combiner, ...] = ("cell", "select", "median", "mean")


@dataclass(frozen=True)
class Guard:
    """What is asked of protection. sa0, sa1: the fault rates to allocate for. combiner: None to choose among the target's."""

    scheme: Scheme = "none"
    combiner: Combiner | None = None
    sa0: float | None = None
    sa1: float | None = None
    allow_extra_crossbars: bool = False

    def check(self) -> None:
        """Raises UsageError for what means nothing."""
        check_rates(self.sa0 or 0.0, self.sa1 or 0.0)
        if self.scheme == "none" and self != Guard():
            raise UsageError("a combiner, fault rates and extra crossbars are for --protect paper or auto.")


@dataclass(frozen=True, eq=False)
class Protection:
    """replicas: u8 [N, slices] by layer, none for a layer as it is. predicted_error: relative squared error of an output, mean over layers."""

    combiner: Combiner
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
    if not energy:  # a layer of zeros: nothing to protect
        return Survey(linear.name, inputs, outputs, kept, np.zeros_like(scale), 1.0, shares)
    return Survey(linear.name, inputs, outputs, kept, scale, energy, shares)


def protect(layers: Sequence[Survey], guard: Guard, target: Target) -> Protection:
    """The allocation of replicas that a scheme asks for, or finds.

    `paper`: three copies of the top slice, and if those do not fit, the lowest slice of all outputs gives way (Li et al. 2024). `auto`:
    for each output the allocation of least predicted error, at the price of a bitline at which all fit.
    Raises UnsupportedError if the target cannot vote so, or if the crossbars of the dense model do not hold the result.
    """
    choices = combiners_of(guard, target)
    budget = sum(plain_crossbars(layer.inputs, layer.outputs, target) for layer in layers)
    sa0, sa1 = target.faults.chosen(guard.sa0, guard.sa1)
    if guard.scheme == "auto" and sa0 + sa1 == 0:
        raise UsageError(f"target '{target.name}' has no fault rates to protect against: give --sa0 and --sa1.")
    found = []
    for combiner in choices:
        errors = predict_errors(layers, combiner, target, sa0, sa1)
        if guard.scheme == "auto":
            replicas = allocate(layers, errors, budget, target)
        else:
            replicas = _published(layers, budget, target)
        found.append((predicted_error(layers, replicas, errors), combiner, replicas))
    error, combiner, replicas = min(found, key=lambda f: f[0])
    needed = sum(crossbars_of(layer, replicas[layer.name], target) for layer in layers)
    if needed > budget and not guard.allow_extra_crossbars:
        raise UnsupportedError(
            f"--protect {guard.scheme} needs {needed} crossbars, the dense model {budget}. Prune the model (`rcompile train`, `rcompile prune`), "
            "or --allow-extra-crossbars."
        )
    return Protection(combiner, replicas, sa0, sa1, error)


def combiners_of(guard: Guard, target: Target) -> Sequence[Combiner]:
    """The combiners to choose among. Raises UnsupportedError for a target that cannot vote, UsageError for one that it has not."""
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
    embedded[0] = 0
    recipes = [tripled, embedded] if may_give_up(1, target) else [tripled]
    recipes = [r for r in recipes if int(r.sum()) * len(target.polarities) <= target.crossbar.cols]
    if not recipes:
        raise UnsupportedError(
            f"the {target.crossbar.cols} bitlines of target '{target.name}' do not hold an output with three copies of its top slice: widen crossbar.cols, or --protect auto."
        )
    choices = [{layer.name: np.tile(recipe, (layer.outputs, 1)) for layer in layers} for recipe in recipes]
    fitting = (c for c in choices if sum(crossbars_of(x, c[x.name], target) for x in layers) <= budget)
    return next(fitting, choices[0])
