"""Conductance drift."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import numpy as np

from rcompile.hardware.effects.base import Constraint, Effect, Offending
from rcompile.hardware.physics import Physics
from rcompile.hardware.section import key

if TYPE_CHECKING:
    from rcompile.hardware.target import Target


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

    def act(self, die: Physics, target: Target) -> Physics:
        """A factor, and with normal nu a lognormal one (its logarithm is -nu * ln(t / t0))."""
        cells = die.with_cells(target)
        log_time = math.log(self.time_second / self.reference_second)
        spread = np.hypot(cells.spread, self.nu_sigma * log_time)
        return replace(die, cells=replace(cells.scaled(math.exp(-self.nu * log_time)), spread=spread))


def drift_starts_at_reference(target: Target) -> Offending:
    """drift must be seen after its reference: time_second must not be below reference_second."""
    drift = target.effects.drift
    return (
        {"effects.drift.time_second": drift.time_second} if drift and drift.time_second < drift.reference_second else {}
    )


CONSTRAINTS: tuple[Constraint, ...] = (drift_starts_at_reference,)
