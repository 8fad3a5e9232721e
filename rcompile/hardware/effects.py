"""Effects: what real arrays do beyond the ideal read, each a section that is off unless a target or the user turns it on.

docs/hardware.md defines what each does; `runtime/die/physics.py` holds the closed forms. A section's default values are its source's.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer

from rcompile.hardware.section import Section, key

Rate = Annotated[float, Field(ge=0, le=1)]


def _one_or_one_a_level(given: object) -> object:
    numbers = list(given) if isinstance(given, list | tuple) else [given]
    if not numbers or any(
        isinstance(n, bool) or not isinstance(n, int | float) or not math.isfinite(n) for n in numbers
    ):
        raise ValueError("give one number, or a list with one number a level")
    return tuple(numbers) if isinstance(given, list | tuple) else given


def _within(low: float, high: float) -> AfterValidator:
    def check(given: float | tuple[float, ...]) -> float | tuple[float, ...]:
        if not all(low <= n <= high for n in (given if isinstance(given, tuple) else (given,))):
            raise ValueError(f"give numbers in {low:g} .. {high:g}")
        return given

    return AfterValidator(check)


PerLevel = Annotated[float | tuple[float, ...], BeforeValidator(_one_or_one_a_level)]


class Effect(Section):
    """One effect. source: where its default values come from."""

    source: ClassVar[str]


class Variation(Effect):
    """Programming variation: each cell's conductance deviates from what was meant."""

    source = "Milo et al., IRPS 2021, as CrossSim has it: 2.5 % of the range at 50 uS, 1.6 % at 225 uS. Wan et al., Nature 608 (2022), as aihwkit has it, after a second: 0.0087, 0.057, 0.042, 0.028 for four levels"
    distribution: Annotated[
        Literal["normal", "lognormal"], key("`normal`: of the conductance; `lognormal`: of its logarithm")
    ] = "normal"
    sigma: Annotated[
        PerLevel,
        _within(0, 4),
        key(
            "standard deviation, one number or one a level, level 0 first: in shares of g_lrs - g_hrs if normal, of ln(conductance) if lognormal"
        ),
    ] = 0.02


class WriteVerify(Effect):
    """Programming is repeated until a cell is within a tolerance: cuts off the normal variation there."""

    source = "of the order of Falcone et al., arXiv 2502.04524 (2025), as aihwkit has it: accepted within 2 % of the conductance that was meant"
    tolerance: Annotated[
        float, key("largest deviation that is accepted, in shares of g_lrs - g_hrs", gt=0, le=1, allow_inf_nan=False)
    ] = 0.02


class Drift(Effect):
    """Conductance drift: G(t) = G(t0) * (t / t0)^-nu, nu normal from cell to cell."""

    source = "converted from Falcone et al., arXiv 2502.04524 (2025), as aihwkit has it, at 50 uS after a day: mean -0.089 uS * ln(t / 1 s), standard deviation 0.89 uS"
    time_second: Annotated[float, key("time since programming", "s", gt=0, le=1e12, allow_inf_nan=False)] = 86400.0
    reference_second: Annotated[
        float, key("time after programming at which a cell has its programmed conductance", "s", ge=1e-9, le=1e12)
    ] = 1.0
    nu: Annotated[float, key("drift exponent", ge=-1, le=1, allow_inf_nan=False)] = 0.0018
    nu_sigma: Annotated[float, key("its standard deviation from cell to cell", ge=0, le=1, allow_inf_nan=False)] = (
        0.0016
    )


class Retention(Effect):
    """Retention loss: what a cell conducts above HRS decays as exp(-(t / tau)^shape), tau by Arrhenius at effects.temperature.kelvin, or reference_kelvin without it."""

    source = "10 years at 85 C: Wei et al., IEDM 2011, a guarantee and no characteristic time; the activation energy and the shape are assumptions"
    time_second: Annotated[float, key("time since programming", "s", gt=0, le=1e12, allow_inf_nan=False)] = 86400.0
    characteristic_second: Annotated[
        float, key("tau: time to 1/e at reference_kelvin", "s", gt=0, le=1e15, allow_inf_nan=False)
    ] = 3.156e8
    shape: Annotated[float, key("exponent of the stretched exponential", gt=0, le=5, allow_inf_nan=False)] = 1.0
    reference_kelvin: Annotated[
        float, key("temperature at which tau is characteristic_second", "K", ge=200, le=500)
    ] = 358.15
    activation_electronvolt: Annotated[
        float, key("activation energy of the loss", "eV", ge=0, le=5, allow_inf_nan=False)
    ] = 1.2


class Temperature(Effect):
    """Operating temperature: conductance changes by a coefficient a kelvin; retention loss speeds up."""

    source = "assumption: no published figure was found; sweep it"
    kelvin: Annotated[float, key("temperature of the array", "K", ge=200, le=500)] = 358.15
    reference_kelvin: Annotated[float, key("temperature at which the levels were programmed", "K", ge=200, le=500)] = (
        300.0
    )
    coefficient_per_kelvin: Annotated[
        PerLevel,
        _within(-0.1, 0.1),
        key("relative change of the conductance, one number or one a level, level 0 first", "1/K"),
    ] = -0.001


class Wires(Effect):
    """IR drop along wordlines and bitlines, to first order: good while wires take less than about a quarter of a current."""

    source = "32 nm node, cells of 2F x 2F: from the constants of NeuroSim 1.3. Takes most of the current of cells of a few kiloohm"
    wordline_segment_ohm: Annotated[
        float, key("resistance of a wordline from one cell to the next", "ohm", ge=0, le=1e6, allow_inf_nan=False)
    ] = 0.73
    bitline_segment_ohm: Annotated[
        float, key("resistance of a bitline from one cell to the next", "ohm", ge=0, le=1e6, allow_inf_nan=False)
    ] = 0.73


class ReadNoise(Effect):
    """Noise of the current of each read. A draw belongs to the seed and the input: the same row of inputs meets the same noise."""

    source = "Lombardo et al., DRC 2024, as aihwkit has it: 0.17 uS at 50 uS a second after programming, 0.22 % of a range of 79 uS"
    cell_sigma: Annotated[
        float, key("standard deviation of what each driven cell adds, in shares of g_lrs - g_hrs", ge=0, le=1)
    ] = 0.0022
    converter_sigma_levels: Annotated[
        float, key("standard deviation of what the converter adds", "levels", ge=0, le=4096)
    ] = 0.0


class AdcError(Effect):
    """Gain and offset errors of the converters, before they quantize: a part that all share and a part of each bitline."""

    source = "assumption: of the order from which ASiM, arXiv 2411.11022, sees accuracy fall (a code)"
    offset_levels: Annotated[float, key("offset that all have", "levels", ge=-4096, le=4096)] = 0.0
    offset_sigma_levels: Annotated[
        float, key("standard deviation of the offset from bitline to bitline", "levels", ge=0, le=4096)
    ] = 0.5
    gain_error: Annotated[float, key("relative gain error that all have", ge=-0.9, le=9)] = 0.0
    gain_error_sigma: Annotated[
        float, key("standard deviation of the gain error from bitline to bitline", ge=0, le=1)
    ] = 0.01


class Endurance(Effect):
    """Wear: cells fail with write cycles, by a Weibull law; adds to the fault rates."""

    source = (
        "10^6 cycles: Huang et al., IEDM 2013, four-level HfOx; the Weibull shape and the SA1 share are assumptions"
    )
    write_cycles: Annotated[float, key("writes that each cell has seen", "cycles", ge=0, le=1e15)] = 1e5
    characteristic_cycles: Annotated[
        float, key("cycles after which 1 - 1/e of the cells failed", "cycles", ge=1, le=1e15)
    ] = 1e6
    shape: Annotated[float, key("Weibull shape", gt=0, le=20)] = 2.0
    sa1_share: Annotated[Rate, key("share of worn cells that stick at LRS; the others stick at HRS")] = 0.5


class Clusters(Effect):
    """Stuck cells come in clusters: the fault rates vary from block to block of a crossbar, their mean unchanged. Needs stuck cells."""

    source = "blocks of gamma-distributed fault density: Koren, Koren and Stapper, IEEE Trans. Computers 42 (1993); alpha 2 is usual for yield, the side is an assumption"
    side_cells: Annotated[int, key("side of a block", "cells", ge=1, le=4096)] = 16
    alpha: Annotated[int, key("cluster parameter; small: few dense clusters, large: no clusters", ge=1, le=64)] = 2


class Lines(Effect):
    """Failures of whole wordlines, bitlines and crossbars: their cells read as SA0."""

    source = (
        "assumption: Chen et al., IEEE Trans. Computers 64 (2015), find line failures in a 4-Mb array but give no share"
    )
    wordline_rate: Annotated[Rate, key("wordlines that are broken")] = 1e-3
    bitline_rate: Annotated[Rate, key("bitlines that are broken")] = 1e-3
    crossbar_rate: Annotated[Rate, key("crossbars that are broken")] = 0.0


class StuckBetween(Effect):
    """Cells stuck at a level between HRS and LRS, each as likely as the others."""

    source = "assumption: a rate for campaigns"
    rate: Annotated[Rate, key("share of cells stuck at one of the levels 1 .. top - 1")] = 0.01


class SoftErrors(Effect):
    """Bit flips in the digital parts, and in the codes that the converters give."""

    source = (
        "rates are for campaigns. Gao et al., IEEE TDMR 2024, doi 10.1109/TDMR.2024.3478753, study text embeddings so"
    )
    embedding_rate: Annotated[Rate, key("numbers of the embedding tables with one flipped bit")] = 0.0
    bias_rate: Annotated[Rate, key("biases with one flipped bit")] = 0.0
    number_bit: Annotated[
        int | None, key("the bit that flips in them, 0 the lowest of float32; none: any of the 32", ge=0, le=31)
    ] = None
    activation_rate: Annotated[Rate, key("input codes with one flipped bit, drawn by seed and row of inputs")] = 0.0
    activation_bit: Annotated[
        int | None, key("the bit that flips in an input code, 0 the lowest; none: any", ge=0, le=7)
    ] = None
    adc_code_rate: Annotated[Rate, key("ADC codes with one flipped bit, drawn by seed, row of inputs and read")] = 0.0
    adc_code_bit: Annotated[int | None, key("the bit that flips in a code, 0 the lowest; none: any", ge=0, le=15)] = (
        None
    )


class Effects(Section):
    """The effects that are on; None is off."""

    variation: Variation | None = None
    write_verify: WriteVerify | None = None
    drift: Drift | None = None
    retention: Retention | None = None
    temperature: Temperature | None = None
    wires: Wires | None = None
    read_noise: ReadNoise | None = None
    adc_error: AdcError | None = None
    endurance: Endurance | None = None
    clusters: Clusters | None = None
    lines: Lines | None = None
    stuck_between: StuckBetween | None = None
    soft_errors: SoftErrors | None = None

    @model_serializer(mode="wrap")
    def _only_those_on(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in serialize(self).items() if value is not None}

    @property
    def names(self) -> list[str]:
        """The effects that are on."""
        return [name for name in type(self).model_fields if getattr(self, name) is not None]
