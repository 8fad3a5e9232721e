"""Noise of reads."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from rcompile.hardware.effects.base import Constraint, Effect, Offending
from rcompile.hardware.physics import Physics
from rcompile.hardware.section import key

if TYPE_CHECKING:
    from rcompile.hardware.target import Target


class ReadNoise(Effect):
    """Noise of the current of each read. A draw belongs to the seed and the input: the same row of inputs meets the same noise."""

    source = "Lombardo et al., DRC 2024, as aihwkit has it: 0.17 uS at 50 uS a second after programming, 0.22 % of a range of 79 uS"
    does_something = ("cell_sigma", "converter_sigma_levels")
    cell_sigma: Annotated[
        float, key("standard deviation of what each driven cell adds, in shares of g_lrs - g_hrs", ge=0, le=1)
    ] = 0.0022
    converter_sigma_levels: Annotated[
        float, key("standard deviation of what the converter adds", "levels", ge=0, le=4096)
    ] = 0.0

    def act(self, die: Physics, target: Target) -> Physics:
        """Both in levels."""
        return replace(die, cell_noise=self.cell_sigma * target.top_level, noise=self.converter_sigma_levels)


def ideal_converters_add_no_noise(target: Target) -> Offending:
    """an ideal converter (adc.bits = 0) has no errors and no codes to flip: leave this out, or give adc.bits."""
    noise = target.effects.read_noise
    if target.adc.bits or noise is None or not noise.converter_sigma_levels:
        return {}
    return {"effects.read_noise.converter_sigma_levels": noise.converter_sigma_levels}


CONSTRAINTS: tuple[Constraint, ...] = (ideal_converters_add_no_noise,)
