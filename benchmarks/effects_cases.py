"""The effects that `effects.py` measures, each at several strengths: from what does no harm to what leaves little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from timing import stuck

from rcompile.hardware.changes import with_effects
from rcompile.hardware.effects.table import EFFECT_TYPES
from rcompile.hardware.target import Target
from runtime import Die


@dataclass(frozen=True)
class Case:
    """One effect at one strength. changes: as `--effect` has them. sa0, sa1: rates of stuck cells beside it.

    sets: changes of the target, as `rcompile compile --set` has them. default: the strength is the effect's default.
    drawn: the effect is another on each die.
    """

    group: str
    effect: str
    strength: str
    changes: tuple[str, ...] = ()
    sa0: float = 0.0
    sa1: float = 0.0
    sets: tuple[str, ...] = ()
    default: bool = False
    drawn: bool = True

    @property
    def options(self) -> str:
        """Of `rcompile compile` and `rcompile evaluate`; they name the case."""
        rates = [f"--sa0 {self.sa0:g} --sa1 {self.sa1:g}"] if self.sa0 or self.sa1 else []
        sets = [f"--set {change}" for change in self.sets]
        return " ".join(sets + rates + [f"--effect {change}" for change in self.changes])

    def die(self, seed: int, target: Target) -> Die:
        return Die(seed, self.sa0, self.sa1, with_effects(target, self.changes).effects)


Strengths = Sequence[tuple[str, float]]


def _cases(
    group: str,
    effect: str,
    strengths: Strengths,
    *keys: str,
    also: tuple[str, ...] = (),
    sets: tuple[str, ...] = (),
    drawn: bool = True,
) -> list[Case]:
    """One case a strength, which all keys are set to. also: changes that all of them have."""
    sections = [(EFFECT_TYPES[name](), key) for name, key in (key.split(".") for key in keys)]
    found = []
    for name, value in strengths:
        default = all(getattr(section, key) == value for section, key in sections)
        changes = (*(f"{key}={value:.6g}" for key in keys), *also)
        found.append(Case(group, effect, name, changes, sets=sets, default=default, drawn=drawn))
    return found


def _stuck(effect: str, shares: Sequence[float], *changes: str) -> list[Case]:
    rates = [(f"{100 * share:g} %", stuck(share)) for share in shares]
    return [
        Case(STUCK, effect, name, changes, float(f"{rate['sa0']:.4g}"), float(f"{rate['sa1']:.4g}"))
        for name, rate in rates
    ]


def _percent(*shares: float) -> Strengths:
    return [(f"{100 * share:g} %", share) for share in shares]


def _bare(*values: float) -> Strengths:
    return [(f"{value:f}".rstrip("0"), value) for value in values]


def _in(unit: str, *values: float) -> Strengths:
    return [(f"{value:g} {unit}", value) for value in values]


CELLS, READS, STUCK, DIGITAL = "cells", "reads", "stuck cells and broken lines", "flipped bits"
LEAKLESS, NO_LEAKAGE = "some of them without leakage", ("cell.g_hrs_siemens=0",)
AGES = (("an hour", 3600.0), ("a day", 86400.0), ("a month", 30 * 86400.0))
RISES = [(f"{rise:g} K", 300 + rise) for rise in (0.1, 1.0, 10.0)]
SEGMENTS = [(f"{1e3 * ohm:g} mΩ", ohm) for ohm in (1e-5, 1e-4, 1e-3, 0.73)]
WIRES = ("wires.wordline_segment_ohm", "wires.bitline_segment_ohm")
CASES: tuple[Case, ...] = (
    *_cases(CELLS, "variation, of the range", _percent(0.001, 0.002, 0.005, 0.02), "variation.sigma"),
    *_cases(CELLS, "variation of 2 %, verified within", _percent(0.001, 0.005, 0.02), "write_verify.tolerance", also=("variation",)),
    *_cases(CELLS, "variation, lognormal", _percent(0.002, 0.005, 0.02), "variation.sigma", also=("variation.distribution=lognormal",)),
    *_cases(CELLS, "drift of a day, exponent nu", _bare(1e-5, 1e-4, 1.8e-3), "drift.nu", also=("drift.nu_sigma=0",), drawn=False),
    *_cases(CELLS, "drift of a day, spread of nu", _bare(1e-5, 1e-4, 1.6e-3), "drift.nu_sigma", also=("drift.nu=0",)),
    *_cases(CELLS, "retention at 85 °C", AGES, "retention.time_second", drawn=False),
    *_cases(CELLS, "warmer by, at -0.1 % a kelvin", RISES, "temperature.kelvin", drawn=False),
    *_cases(CELLS, "wires, a segment", SEGMENTS, *WIRES, drawn=False),
    *_cases(READS, "noise of a cell, of the range", _percent(0.0002, 0.0005, 0.0022), "read_noise.cell_sigma"),
    *_cases(READS, "noise of the converter", _in("level", 0.05, 0.1, 0.2), "read_noise.converter_sigma_levels", also=("read_noise.cell_sigma=0",)),
    *_cases(READS, "offsets of converters", _in("level", 0.05, 0.1, 0.2, 0.5), "adc_error.offset_sigma_levels", also=("adc_error.gain_error_sigma=0",)),
    *_cases(READS, "gains of converters", _percent(0.0005, 0.001, 0.002, 0.01), "adc_error.gain_error_sigma", also=("adc_error.offset_sigma_levels=0",)),
    *_stuck("stuck cells", (0.0001, 0.001, 0.01)),
    *_stuck("stuck cells, in clusters", (0.001, 0.01), "clusters"),
    *_cases(STUCK, "stuck at a level between", _percent(0.001, 0.01), "stuck_between.rate"),
    *_cases(STUCK, "wear, writes", [(f"{n:,}", n) for n in (10_000, 30_000, 100_000)], "endurance.write_cycles"),
    *_cases(STUCK, "broken wordlines", _percent(0.001, 0.01, 0.05), "lines.wordline_rate", also=("lines.bitline_rate=0",)),
    *_cases(STUCK, "broken bitlines", _percent(0.001, 0.01, 0.05), "lines.bitline_rate", also=("lines.wordline_rate=0",)),
    *_cases(STUCK, "broken crossbars", _percent(0.001, 0.01, 0.05), "lines.crossbar_rate", also=("lines.wordline_rate=0", "lines.bitline_rate=0")),
    *_cases(DIGITAL, "of embeddings", _percent(0.001, 0.01, 0.1), "soft_errors.embedding_rate"),
    *_cases(DIGITAL, "of biases", _percent(0.0001, 0.001, 0.01), "soft_errors.bias_rate"),
    *_cases(DIGITAL, "of activations", _percent(0.001, 0.01, 0.1), "soft_errors.activation_rate"),
    *_cases(DIGITAL, "of ADC codes", _percent(0.00001, 0.0001, 0.001), "soft_errors.adc_code_rate"),
    *_cases(LEAKLESS, "variation, of the range", _percent(0.005, 0.02), "variation.sigma", sets=NO_LEAKAGE),
    *_cases(LEAKLESS, "warmer by, at -0.1 % a kelvin", RISES[1:], "temperature.kelvin", drawn=False, sets=NO_LEAKAGE),
    *_cases(LEAKLESS, "wires, a segment", SEGMENTS[2:], *WIRES, drawn=False, sets=NO_LEAKAGE),
    *_cases(LEAKLESS, "noise of a cell, of the range", _percent(0.0022), "read_noise.cell_sigma", sets=NO_LEAKAGE),
    *_cases(LEAKLESS, "offsets of converters", _in("level", 0.1, 0.5), "adc_error.offset_sigma_levels", also=("adc_error.gain_error_sigma=0",), sets=NO_LEAKAGE),
)  # fmt: skip
