"""Cells stuck between HRS and LRS."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from rcompile.hardware.effects.base import Constraint, Effect, Offending, Rate
from rcompile.hardware.physics import Physics
from rcompile.hardware.section import key

if TYPE_CHECKING:
    from rcompile.hardware.target import Target


class StuckBetween(Effect):
    """Cells stuck at a level between HRS and LRS, each as likely as the others."""

    source = "assumption: a rate for campaigns"
    does_something = ("rate",)
    rate: Annotated[Rate, key("share of cells stuck at one of the levels 1 .. top - 1")] = 0.01

    def act(self, die: Physics, target: Target) -> Physics:
        """Of the cells that are not stuck otherwise."""
        return replace(die, between=self.rate * (1 - die.sa0 - die.sa1))


def levels_between_exist(target: Target) -> Offending:
    """cells of one bit have no level to be stuck at between HRS and LRS."""
    between = target.effects.stuck_between
    return {"effects.stuck_between.rate": between.rate} if between and target.cell.bits == 1 else {}


CONSTRAINTS: tuple[Constraint, ...] = (levels_between_exist,)
