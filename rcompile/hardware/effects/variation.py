"""Programming variation, and write-verify, which cuts it off."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np

from rcompile.hardware.effects.base import Constraint, Effect, Offending, PerLevel, largest, one_a_level, within
from rcompile.hardware.physics import Physics
from rcompile.hardware.section import key

if TYPE_CHECKING:
    from rcompile.hardware.target import Target

# Of a lognormal factor: e^2 is beyond anything that still computes.
MOST_SPREAD = 2.0


class Variation(Effect):
    """Programming variation: each cell's conductance deviates from what was meant."""

    source = "Milo et al., IRPS 2021, as CrossSim has it: 2.5 % of the range at 50 uS, 1.6 % at 225 uS. Wan et al., Nature 608 (2022), as aihwkit has it, after a second: 0.0087, 0.057, 0.042, 0.028 for four levels"
    does_something = ("sigma",)
    distribution: Annotated[
        Literal["normal", "lognormal"], key("`normal`: of the conductance; `lognormal`: of its logarithm")
    ] = "normal"
    sigma: Annotated[
        PerLevel,
        within(0, 4),
        key(
            "standard deviation, one number or one a level, level 0 first: in shares of g_lrs - g_hrs if normal, of ln(conductance) if lognormal"
        ),
    ] = 0.02

    def act(self, die: Physics, target: Target) -> Physics:
        """Normal: sigma in shares of the range, cut off at the tolerance of write-verify, if any. Lognormal: sigma of the logarithm."""
        cells = die.with_cells(target)
        sigma = np.broadcast_to(np.asarray(self.sigma, np.float64), cells.mean.shape)
        if self.distribution == "lognormal":
            return replace(die, cells=replace(cells, spread=np.hypot(cells.spread, sigma)))
        reach = np.ones(len(sigma))
        if verify := target.effects.write_verify:
            reach = np.array([math.erf(verify.tolerance / s / math.sqrt(2)) if s else 1.0 for s in sigma.tolist()])
        return replace(die, cells=replace(cells, sigma=sigma * target.top_level, reach=reach))


class WriteVerify(Effect):
    """Programming is repeated until a cell is within a tolerance: cuts off the normal variation there."""

    source = "of the order of Falcone et al., arXiv 2502.04524 (2025), as aihwkit has it: accepted within 2 % of the conductance that was meant"
    tolerance: Annotated[
        float, key("largest deviation that is accepted, in shares of g_lrs - g_hrs", gt=0, le=1, allow_inf_nan=False)
    ] = 0.02

    def act(self, die: Physics, target: Target) -> Physics:
        """Acts where the variation does."""
        return die


def one_sigma_a_level(target: Target) -> Offending:
    """a list must have one number for each of the 2^cell.bits levels."""
    variation = target.effects.variation
    return one_a_level(target, "effects.variation.sigma", variation.sigma) if variation else {}


def verify_needs_normal_variation(target: Target) -> Offending:
    """write_verify cuts off a normal variation: turn on effects.variation with distribution = "normal" as well."""
    effects = target.effects
    if effects.write_verify is None or (effects.variation and effects.variation.distribution == "normal"):
        return {}
    return {"effects.write_verify": effects.write_verify.tolerance}


def spread_is_bounded(target: Target) -> Offending:
    """the logarithm of a conductance must not spread by more than 2: lower variation.sigma, or nu_sigma or the time of drift."""
    variation, drift = target.effects.variation, target.effects.drift
    lognormal = variation is not None and variation.distribution == "lognormal"
    given = variation.sigma if variation is not None and lognormal else 0.0
    log_time = math.log(drift.time_second / drift.reference_second) if drift else 0.0
    spread = math.hypot(largest(given), drift.nu_sigma * log_time if drift else 0.0)
    if spread <= MOST_SPREAD:
        return {}
    if largest(given) > MOST_SPREAD:
        return {"effects.variation.sigma": given}
    return {"effects.drift.nu_sigma": drift and drift.nu_sigma}


CONSTRAINTS: tuple[Constraint, ...] = (one_sigma_a_level, verify_needs_normal_variation, spread_is_bounded)
