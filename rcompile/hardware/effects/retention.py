"""Retention loss."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from rcompile.hardware.effects.base import Constraint, Effect, Offending
from rcompile.hardware.physics import Physics
from rcompile.hardware.section import key

if TYPE_CHECKING:
    from rcompile.hardware.target import Target

BOLTZMANN_ELECTRONVOLT_PER_KELVIN = 8.617333262e-5


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

    def act(self, die: Physics, target: Target) -> Physics:
        """What a cell conducts above HRS is multiplied by exp(-(t / tau)^shape), tau = characteristic * exp(Ea / k * (1 / T - 1 / Tref))."""
        hot = target.effects.temperature
        kelvin = hot.kelvin if hot else self.reference_kelvin
        slowdown = 1 / kelvin - 1 / self.reference_kelvin
        exponent = self.activation_electronvolt / BOLTZMANN_ELECTRONVOLT_PER_KELVIN * slowdown
        log_ratio = math.log(self.time_second / self.characteristic_second) - exponent
        left = math.exp(-math.exp(min(self.shape * log_ratio, 50.0)))
        cells = die.with_cells(target).scaled(left)
        return replace(die, cells=replace(cells, base=cells.base + target.hrs_levels * (1 - left)))


def one_age(target: Target) -> Offending:
    """drift and retention must be seen at one time: give both the same time_second."""
    drift, retention = target.effects.drift, target.effects.retention
    if drift is None or retention is None or drift.time_second == retention.time_second:
        return {}
    return {"effects.retention.time_second": retention.time_second}


CONSTRAINTS: tuple[Constraint, ...] = (one_age,)
