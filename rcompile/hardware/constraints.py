"""The rules between the keys of a target. A rule's docstring is the user's message; what it returns, if anything, is what offends."""

from __future__ import annotations

from rcompile.hardware.describe import describe
from rcompile.hardware.effects.base import Constraint, Offending
from rcompile.hardware.effects.table import EFFECT_CONSTRAINTS
from rcompile.hardware.target import Target


def operation_unit_fits(target: Target) -> Offending:
    """active_rows must not exceed rows: an operation unit is a group of one crossbar's wordlines."""
    active = target.crossbar.active_rows
    return {"crossbar.active_rows": active} if active > target.crossbar.rows else {}


def one_output_fits(target: Target) -> Offending:
    """cols must hold all bitlines of one output (one a digit of its weights): widen the crossbar, use more bits a cell or fewer weight bits."""
    cols = target.crossbar.cols
    return {"crossbar.cols": cols} if cols < target.bitlines_per_output else {}


def pulses_fit_codes(target: Target) -> Offending:
    """dac_bits must not exceed the bits of an input code: a cycle drives so many of them."""
    dac_bits = target.input.dac_bits
    return {"input.dac_bits": dac_bits} if dac_bits > target.input.bits else {}


def lrs_conducts_more(target: Target) -> Offending:
    """g_lrs_siemens must exceed g_hrs_siemens: LRS is the low-resistance state."""
    g_lrs = target.cell.g_lrs_siemens
    return {"cell.g_lrs_siemens": g_lrs} if g_lrs <= target.cell.g_hrs_siemens else {}


def leakage_is_small(target: Target) -> Offending:
    """a level-0 cell must leak at most 4096 levels, top * g_hrs / (g_lrs - g_hrs): widen the gap between the two conductances."""
    cell = target.cell
    return (
        {"cell.g_hrs_siemens": cell.g_hrs_siemens}
        if cell.g_lrs_siemens > cell.g_hrs_siemens and target.hrs_levels > 4096
        else {}
    )


def fault_rates_are_shares(target: Target) -> Offending:
    """sa0_rate + sa1_rate must not exceed 1: a cell is stuck one way."""
    faults = target.faults
    return {"faults.sa1_rate": faults.sa1_rate} if faults.sa0_rate + faults.sa1_rate > 1 else {}


def ideal_converters_have_no_step(target: Target) -> Offending:
    """an ideal converter (adc.bits = 0) gives the sum itself: step_levels must be 1."""
    adc = target.adc
    return {"adc.step_levels": adc.step_levels} if adc.bits == 0 and adc.step_levels != 1 else {}


def sources_name_keys(target: Target) -> Offending:
    """a source must name a key of this target, written section.key."""
    known = {row.key for row in describe(target)}
    return {f"sources.{key}": text for key, text in target.sources.items() if key not in known}


CONSTRAINTS: tuple[Constraint, ...] = (
    operation_unit_fits,
    one_output_fits,
    pulses_fit_codes,
    lrs_conducts_more,
    leakage_is_small,
    fault_rates_are_shares,
    ideal_converters_have_no_step,
    sources_name_keys,
    *EFFECT_CONSTRAINTS,
)
