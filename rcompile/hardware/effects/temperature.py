"""Operating temperature."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import numpy as np

from rcompile.hardware.effects.base import Constraint, Effect, Offending, PerLevel, one_a_level, within
from rcompile.hardware.physics import Physics
from rcompile.hardware.section import key

if TYPE_CHECKING:
    from rcompile.hardware.target import Target


class Temperature(Effect):
    """Operating temperature: conductance changes by a coefficient a kelvin; retention loss speeds up."""

    source = "assumption: no published figure was found; sweep it"
    kelvin: Annotated[float, key("temperature of the array", "K", ge=200, le=500)] = 358.15
    reference_kelvin: Annotated[float, key("temperature at which the levels were programmed", "K", ge=200, le=500)] = (
        300.0
    )
    coefficient_per_kelvin: Annotated[
        PerLevel,
        within(-0.1, 0.1),
        key("relative change of the conductance, one number or one a level, level 0 first", "1/K"),
    ] = -0.001

    def act(self, die: Physics, target: Target) -> Physics:
        """G(T) = G(Tref) * (1 + coefficient * (T - Tref))."""
        rise = self.kelvin - self.reference_kelvin
        factor = 1 + np.asarray(self.coefficient_per_kelvin, np.float64) * rise
        return replace(die, cells=die.with_cells(target).scaled(factor))


def one_coefficient_a_level(target: Target) -> Offending:
    """a list must have one number for each of the 2^cell.bits levels."""
    hot = target.effects.temperature
    return one_a_level(target, "effects.temperature.coefficient_per_kelvin", hot.coefficient_per_kelvin) if hot else {}


def coefficient_keeps_conductance(target: Target) -> Offending:
    """the temperature must leave every conductance positive: 1 + coefficient * (kelvin - reference_kelvin) must exceed 0."""
    effect = target.effects.temperature
    if effect is None:
        return {}
    given = effect.coefficient_per_kelvin
    values = given if isinstance(given, tuple) else (given,)
    rise = effect.kelvin - effect.reference_kelvin
    return {} if all(1 + v * rise > 0 for v in values) else {"effects.temperature.coefficient_per_kelvin": given}


CONSTRAINTS: tuple[Constraint, ...] = (one_coefficient_a_level, coefficient_keeps_conductance)
