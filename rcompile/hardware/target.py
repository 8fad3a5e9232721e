"""Targets: what the hardware is, as validated data.

A target is a TOML file (`targets/*.toml` ships some). Units are in the key names; `Target` is frozen and hashable by
content.
"""

from __future__ import annotations

import hashlib
import math
from typing import Annotated, Any

from pydantic import Field, model_validator

from rcompile.canonical import canonical_json
from rcompile.hardware.effects.table import Effects
from rcompile.hardware.encoding import Encoding, differential_encoding, offset_encoding
from rcompile.hardware.section import Section, key
from rcompile.vocabulary import COMBINER_NEEDS, EncodingName, InputCoding, InputScale, Periphery, VotingCombiner


class Crossbar(Section):
    """One physical array."""

    rows: Annotated[int, key("wordlines of one crossbar", "wordlines", ge=1, le=4096)]
    cols: Annotated[int, key("bitlines of one crossbar", "bitlines", ge=1, le=4096)]
    active_rows: Annotated[
        int,
        key(
            "wordlines driven in one read: the operation unit", "wordlines", node_attribute="active_rows", ge=1, le=4096
        ),
    ]


class Cell(Section):
    """One ReRAM device."""

    bits: Annotated[int, key("bits held by one cell", "bit", node_attribute="cell_bits", ge=1, le=4)]
    g_hrs_siemens: Annotated[
        float, key("conductance of level 0, the high-resistance state", "S", ge=0, lt=1, allow_inf_nan=False)
    ]
    g_lrs_siemens: Annotated[
        float, key("conductance of the top level, the low-resistance state", "S", gt=0, lt=1, allow_inf_nan=False)
    ]
    read_voltage_volt: Annotated[float, key("voltage of a driven wordline", "V", gt=0, le=5, allow_inf_nan=False)]


class Weights(Section):
    """How weight codes become cells."""

    bits: Annotated[int, key("bits of a weight code", "bit", ge=2, le=8)]
    encoding: Annotated[
        EncodingName,
        key("`offset`: digits of q + 2^(bits-1); `differential`: magnitudes on a positive and a negative bitline"),
    ]
    column_inversion: Annotated[
        bool, key("store top - level on bitlines whose level sum exceeds half of full scale (ISAAC)")
    ]
    digit_shifts: Annotated[
        tuple[Annotated[int, Field(ge=0, le=7)], ...],
        key(
            "shifts that shift-add can apply to any bitline, for digits that are chosen for a die; none: each bitline's is wired",
            "bit",
            strict=False,
        ),
    ] = ()


class Inputs(Section):
    """How activations become wordline pulses."""

    bits: Annotated[int, key("bits of an input code", "bit", node_attribute="input_bits", ge=2, le=8)]
    coding: Annotated[InputCoding, key("what the planes of an input code are", node_attribute="input_coding")]
    dac_bits: Annotated[
        int, key("input bits applied per cycle, as one pulse", "bit", node_attribute="dac_bits", ge=1, le=4)
    ]
    scales: Annotated[
        tuple[InputScale, ...],
        key(
            "input scales that the hardware can apply: one per row at run time, or a calibrated constant",
            min_length=1,
            strict=False,
        ),
    ]


class Adc(Section):
    """The analog-to-digital converter at the foot of a bitline."""

    bits: Annotated[
        int, key("resolution; 0 for an ideal converter that never clips", "bit", node_attribute="adc_bits", ge=0, le=16)
    ]
    step_levels: Annotated[
        float,
        key(
            "one code, in levels of one cell; or give full_scale_levels, the sum that the largest code stands for",
            "levels",
            node_attribute="adc_step_levels",
            ge=1 / 256,
            le=4096,
            allow_inf_nan=False,
        ),
    ]

    @model_validator(mode="before")
    @classmethod
    def _step_of_full_scale(cls, given: Any) -> Any:
        """A full scale in place of the step: step = full scale / largest code."""
        if not isinstance(given, dict) or "full_scale_levels" not in given or "step_levels" in given:
            return given
        full_scale, bits = given["full_scale_levels"], given.get("bits")
        if not isinstance(bits, int) or not 1 <= bits <= 16:
            raise ValueError(
                "full_scale_levels is the sum that the largest code stands for: give adc.bits in 1 .. 16 as well"
            )
        if isinstance(full_scale, bool) or not isinstance(full_scale, int | float) or not 0 < full_scale < math.inf:
            raise ValueError(f"full_scale_levels is {full_scale}; give a positive number of levels")
        rest = {k: v for k, v in given.items() if k != "full_scale_levels"}
        return {**rest, "step_levels": full_scale / ((1 << bits) - 1)}


class Faults(Section):
    """What share of cells this technology leaves stuck: `rcompile evaluate --sa0 target --sa1 target`."""

    sa0_rate: Annotated[float, key("cells stuck at HRS, level 0", "1", ge=0, le=1)]
    sa1_rate: Annotated[float, key("cells stuck at LRS, the top level", "1", ge=0, le=1)]

    def chosen(self, sa0: float | None, sa1: float | None) -> tuple[float, float]:
        """The rates (SA0, SA1) that are asked for: the target's if neither is given; one alone means that kind of fault
        alone.
        """
        return (self.sa0_rate, self.sa1_rate) if sa0 is None and sa1 is None else (sa0 or 0.0, sa1 or 0.0)


class Vote(Section):
    """How replicas can be combined; docs/hardware.md defines each combiner."""

    periphery: Annotated[
        tuple[Periphery, ...],
        key(
            "what there is to vote with: `readback` of cells one by one, as memory; a `self_test` at power-on whose choice is kept; a `sorter` or an `adder` of the codes that one read gives",
            strict=False,
        ),
    ] = ()

    @property
    def combiners(self) -> tuple[VotingCombiner, ...]:
        """Those that the periphery can do."""
        return tuple(combiner for combiner, needed in COMBINER_NEEDS.items() if needed <= set(self.periphery))


class Target(Section):
    """A validated hardware description."""

    name: Annotated[str, key("name of the target", "", pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=64)]
    description: Annotated[str, key("one sentence of what it models", "")]
    crossbar: Crossbar
    cell: Cell
    weights: Weights
    input: Inputs
    adc: Adc
    faults: Faults
    vote: Vote = Vote()
    effects: Effects = Effects()
    sources: Annotated[dict[str, str], key("where each number comes from, by dotted key", "")] = Field(
        default_factory=dict
    )

    @property
    def top_level(self) -> int:
        """The level of the low-resistance state: 2^bits - 1."""
        return (1 << self.cell.bits) - 1

    @property
    def top_pulse(self) -> int:
        """The largest pulse that a DAC drives: 2^dac_bits - 1."""
        return (1 << self.input.dac_bits) - 1

    @property
    def node_attributes(self) -> dict[str, int | str]:
        """What the provider must know of the hardware, by attribute of a crossbar node: docs/bundle.md."""
        carried: dict[str, int | str] = {
            "hrs_levels": repr(self.hrs_levels),
            "likelier_level": self.likelier_level,
        }
        for section in (self.crossbar, self.cell, self.weights, self.input, self.adc):
            carried |= section.node_attributes
        return carried

    @property
    def encoding(self) -> Encoding:
        """The digits that weights are written in."""
        of = offset_encoding if self.weights.encoding == "offset" else differential_encoding
        return of(self.weights.bits, self.cell.bits)

    @property
    def digits_apply(self) -> frozenset[int]:
        """The digits that shift-add can apply to any bitline, beside the encoding's own."""
        added = frozenset(1 << shift for shift in self.weights.digit_shifts)
        return added | {-digit for digit in added} if self.subtracts else added

    @property
    def subtracts(self) -> bool:
        """Whether shift-add subtracts what some bitlines read anyway, so that digits may be negative."""
        return self.weights.column_inversion or self.weights.encoding == "differential"

    @property
    def bitlines_per_output(self) -> int:
        """Bitlines that hold one output's weights over one row block."""
        return len(self.encoding.digits)

    @property
    def weight_code_max(self) -> int:
        """Largest weight code: 2^(bits-1) - 1."""
        return (1 << (self.weights.bits - 1)) - 1

    @property
    def likelier_level(self) -> int:
        """What a cell holds of which the replicas read level 0 and the top level equally often: the level that sticks
        less.
        """
        return 0 if self.faults.sa1_rate >= self.faults.sa0_rate else self.top_level

    @property
    def hrs_levels(self) -> float:
        """Leakage of a level-0 cell in levels: top * g_hrs / (g_lrs - g_hrs)."""
        return self.top_level * self.cell.g_hrs_siemens / (self.cell.g_lrs_siemens - self.cell.g_hrs_siemens)

    def stored_bits(self, packed: bool) -> int:
        """Bits that a cell takes in a tile file: 8, or packed as few as hold it and divide a byte."""
        return 1 << (self.cell.bits - 1).bit_length() if packed else 8

    def conductance_siemens(self, level: int) -> float:
        """Conductance that programs `level`: linear between HRS and LRS."""
        return self.cell.g_hrs_siemens + level / self.top_level * (self.cell.g_lrs_siemens - self.cell.g_hrs_siemens)

    @property
    def sha256(self) -> str:
        """Digest of the canonical JSON of every key."""
        return hashlib.sha256(canonical_json(self.model_dump(mode="json")).encode()).hexdigest()
