"""Gain and offset of converters."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from rcompile.hardware.effects.base import Constraint, Effect, Offending
from rcompile.hardware.physics import Physics
from rcompile.hardware.section import key

if TYPE_CHECKING:
    from rcompile.hardware.target import Target


class AdcError(Effect):
    """Gain and offset errors of the converters, before they quantize: a part that all share and a part of each bitline."""

    source = "assumption: of the order from which ASiM, arXiv 2411.11022, sees accuracy fall (a code)"
    does_something = ("offset_levels", "offset_sigma_levels", "gain_error", "gain_error_sigma")
    offset_levels: Annotated[float, key("offset that all have", "levels", ge=-4096, le=4096)] = 0.0
    offset_sigma_levels: Annotated[
        float, key("standard deviation of the offset from bitline to bitline", "levels", ge=0, le=4096)
    ] = 0.5
    gain_error: Annotated[float, key("relative gain error that all have", ge=-0.9, le=9)] = 0.0
    gain_error_sigma: Annotated[
        float, key("standard deviation of the gain error from bitline to bitline", ge=0, le=1)
    ] = 0.01

    def act(self, die: Physics, target: Target) -> Physics:
        """The numbers as they are."""
        return replace(
            die,
            gain=self.gain_error,
            gain_sigma=self.gain_error_sigma,
            offset=self.offset_levels,
            offset_sigma=self.offset_sigma_levels,
        )


def ideal_converters_do_not_err(target: Target) -> Offending:
    """an ideal converter (adc.bits = 0) has no errors and no codes to flip: leave this out, or give adc.bits."""
    return {"effects.adc_error": "on"} if target.effects.adc_error and not target.adc.bits else {}


CONSTRAINTS: tuple[Constraint, ...] = (ideal_converters_do_not_err,)
