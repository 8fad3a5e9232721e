"""Protect: decide how many bitlines hold each digit of each output, within the crossbars of the dense model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rcompile.errors import UnsupportedError, UsageError
from rcompile.hardware.target import Faults, Target
from rcompile.layout.compact import UsedLines
from rcompile.layout.normal_form import F32, I8, U8, digit_levels
from rcompile.layout.place import plain_crossbars
from rcompile.layout.quantize import QuantizedLinear
from rcompile.options import CompileOptions
from rcompile.protection.allocate import (
    F64,
    LayerErrors,
    Survey,
    allocate,
    crossbars_of,
    predict_errors,
    predicted_error,
)
from rcompile.protection.carry import CLOSE, LEAST_SHARE, TOLERATED_ERROR, carried_share, rates_of
from rcompile.protection.paper import published
from rcompile.vocabulary import Combiner, Scheme


@dataclass(frozen=True, eq=False)
class Protection:
    """replicas: u8 [N, digits] by layer, none for a layer as it is. predicted_error: relative squared error of an
    output, mean over layers.
    """

    combiner: Combiner
    replicas: Mapping[str, U8]
    sa0: float | None = None
    sa1: float | None = None
    predicted_error: float | None = None


UNPROTECTED = Protection("none", {})


@dataclass(frozen=True, eq=False)
class Candidate:
    """What a combiner and rates (SA0, SA1) lead to. replicas: u8 [N, magnitudes] by layer."""

    combiner: Combiner
    rates: tuple[float, float]
    error: float
    replicas: Mapping[str, U8]


# Of a combiner, rates, and the replicas that are held; None: those that are best at the rates.
Predicted = Callable[[Combiner, tuple[float, float], Mapping[str, U8] | None], Candidate]

# What each scheme allocates: u8 [N, magnitudes] by layer, of what is known of the layers, their predicted errors, and
# the crossbars there are.
Allocator = Callable[[Sequence[Survey], Mapping[str, LayerErrors], int, Target], dict[str, U8]]
SCHEMES: dict[Scheme, Allocator] = {"paper": published, "auto": allocate}


def survey(linear: QuantizedLinear, used: UsedLines, target: Target) -> Survey:
    """Take down what `protect` needs, so that the codes can be let go."""
    codes = linear.codes[np.ix_(used.inputs, used.outputs)]
    return survey_codes(linear.name, linear.codes.shape, used, codes, linear.weight_scale, target)


def survey_codes(
    name: str, shape: tuple[int, ...], used: UsedLines, codes: I8, weight_scale: F32, target: Target
) -> Survey:
    """As `survey`, of the codes of the used lines alone. shape: inputs and outputs of the layer."""
    inputs, outputs = shape
    scale = np.zeros(outputs, np.float32)
    scale[used.outputs] = weight_scale[used.outputs]
    energy = float((codes.astype(np.float64) ** 2).sum(axis=0) @ scale[used.outputs].astype(np.float64) ** 2)
    shares = _level_shares(codes, target)
    if not energy:  # a layer of zeros: nothing to protect
        return Survey(name, inputs, outputs, used, np.zeros_like(scale), 1.0, shares)
    return Survey(name, inputs, outputs, used, scale, energy, shares)


def _level_shares(codes: I8, target: Target) -> F64:
    """Share of cells at each level, as stored, for the digits of each magnitude: f64 [magnitudes, top + 1]."""
    encoding, top = target.encoding, target.top_level
    histogram = np.zeros((len(encoding.magnitudes), top + 1))
    levels_of_code = encoding.levels(top)
    for i, digit in enumerate(encoding.digits):
        for first in range(0, len(codes), target.crossbar.rows):
            levels = digit_levels(codes[first : first + target.crossbar.rows], levels_of_code[:, i])
            if target.weights.column_inversion:
                flip = 2 * levels.sum(axis=0, dtype=np.int64) > len(levels) * top
                levels = levels ^ flip * np.uint8(top)
            histogram[encoding.magnitudes.index(abs(digit))] += np.bincount(levels.reshape(-1), minlength=top + 1)
    return histogram / histogram.sum(axis=1, keepdims=True)


def protect(layers: Sequence[Survey], options: CompileOptions, target: Target) -> Protection:
    """The allocation of replicas that a scheme asks for, or finds.

    `paper`: three copies of the largest digit, and if those do not fit, the lowest digit of all outputs gives way (Li
    et al. 2024). `auto`: for each output the allocation of least predicted error, at the price of a bitline at which
    all fit; without rates for the largest share of stuck cells that some combiner is predicted to carry. Raises
    UnsupportedError if the target cannot vote so, or if the crossbars of the dense model do not hold the result.
    """
    choices = combiners_of(options, target)
    allocator = SCHEMES[options.protect or "none"]
    budget = sum(plain_crossbars(layer.inputs, layer.outputs, target) for layer in layers)
    sa0, sa1 = target.faults.chosen(options.sa0, options.sa1)
    if options.protect == "auto" and sa0 + sa1 == 0:
        raise UsageError(f"target '{target.name}' has no fault rates to protect against: give --sa0 and --sa1.")

    def predicted(combiner: Combiner, rates: tuple[float, float], held: Mapping[str, U8] | None) -> Candidate:
        errors = predict_errors(layers, combiner, target, *rates)
        replicas = allocator(layers, errors, budget, target) if held is None else held
        return Candidate(combiner, rates, predicted_error(layers, replicas, errors), replicas)

    if options.chooses_rates:
        best = _carrying_most(choices, predicted, target.faults)
    else:
        best = min((predicted(combiner, (sa0, sa1), None) for combiner in choices), key=lambda c: c.error)
    needed = sum(crossbars_of(layer, best.replicas[layer.name], target) for layer in layers)
    if needed > budget and not options.allow_extra_crossbars:
        raise UnsupportedError(
            f"--protect {options.protect} needs {needed} crossbars, the dense model {budget}. Prune the model (`rcompile train`, `rcompile prune`), "
            "or --allow-extra-crossbars."
        )
    by_digit = {name: target.encoding.by_digit(copies) for name, copies in best.replicas.items()}
    return Protection(best.combiner, by_digit, *best.rates, best.error)


def _carrying_most(choices: Sequence[Combiner], predicted: Predicted, faults: Faults) -> Candidate:
    """Of all combiners the one that carries most stuck cells, up to the target's; of equals the first."""
    total = faults.sa0_rate + faults.sa1_rate
    best: Candidate | None = None
    share = min(LEAST_SHARE, total)
    for combiner in choices:
        if best is not None and share == total:
            break
        least = share if best is None else min(share * (1 + CLOSE), total)
        found = predicted(combiner, rates_of(least, faults), None)
        if best is not None and found.error > TOLERATED_ERROR:
            continue
        # The best allocation depends little on the share: that of one share finds the next.
        least = carried_share(_error_of(predicted, combiner, found.replicas, faults), least, total)
        held = predicted(combiner, rates_of(least, faults), None).replicas
        share = carried_share(_error_of(predicted, combiner, held, faults), least, total)
        best = predicted(combiner, rates_of(share, faults), held)
    assert best is not None  # combiners_of names one at least
    return best


def _error_of(
    predicted: Predicted, combiner: Combiner, held: Mapping[str, U8], faults: Faults
) -> Callable[[float], float]:
    """The error of an allocation, by the share of stuck cells."""
    return lambda share: predicted(combiner, rates_of(share, faults), held).error


def scheme_of(options: CompileOptions, target: Target, die_known: bool) -> Scheme:
    """The scheme that is asked for, by the map of a chip if not in words. Raises UsageError or UnsupportedError for one
    that cannot be.
    """
    if options.copies:
        combiners_of(options, target)
        if die_known:
            raise UsageError(
                f"--protect {options.protect} copies what is the same for every die; --die-map is for one die: give one of them."
            )
    if options.protect != "die":
        return options.protect or ("die" if die_known and target.weights.digit_shifts else "none")
    if not die_known:
        raise UsageError("--protect die is for a die that is known: give its map, --die-map MAP (`rcompile die`).")
    if not target.weights.digit_shifts:
        raise UnsupportedError(
            f"the shift-add of target '{target.name}' applies no digits but its own: name what it can under weights.digit_shifts, or --protect none, which keeps them."
        )
    return "die"


def combiners_of(options: CompileOptions, target: Target) -> Sequence[Combiner]:
    """The combiners to choose among. Raises UnsupportedError for a target that cannot vote, UsageError for one that it
    has not.
    """
    has = target.vote.combiners
    if not has:
        raise UnsupportedError(
            f"target '{target.name}' cannot vote: its periphery has nothing to vote with. Name what the hardware has under [vote] periphery, or --protect none."
        )
    if options.combiner is None:
        # The published recipe votes by the majority of each cell, or the nearest to it: the first of the vocabulary.
        return has[:1] if options.protect == "paper" else has
    if options.combiner not in has:
        raise UsageError(f"target '{target.name}' has no combiner '{options.combiner}'; it has {', '.join(has)}.")
    return [options.combiner]


def may_allocate_for(rates: tuple[float, float], options: CompileOptions, target: Target) -> bool:
    """Whether `protect` allocates for these rates (SA0, SA1): those that are asked for, or else a share of the target's
    for `auto`, the target's for `paper`.
    """
    faults = target.faults
    asked = faults.chosen(options.sa0, options.sa1)
    if not options.chooses_rates:
        return rates == asked
    share = sum(rates)
    return (
        sum(asked) > 0 and share <= sum(asked) * (1 + 1e-9) and np.allclose(rates, rates_of(share, faults), rtol=1e-9)
    )
