"""Endurance: cells fail with write cycles."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from rcompile.hardware.effects.base import Effect, Rate
from rcompile.hardware.physics import Physics
from rcompile.hardware.section import key

if TYPE_CHECKING:
    from rcompile.hardware.target import Target


class Endurance(Effect):
    """Wear: cells fail with write cycles, by a Weibull law; adds to the fault rates."""

    source = (
        "10^6 cycles: Huang et al., IEDM 2013, four-level HfOx; the Weibull shape and the SA1 share are assumptions"
    )
    does_something = ("write_cycles",)
    write_cycles: Annotated[float, key("writes that each cell has seen", "cycles", ge=0, le=1e15)] = 1e5
    characteristic_cycles: Annotated[
        float, key("cycles after which 1 - 1/e of the cells failed", "cycles", ge=1, le=1e15)
    ] = 1e6
    shape: Annotated[float, key("Weibull shape", gt=0, le=20)] = 2.0
    sa1_share: Annotated[Rate, key("share of worn cells that stick at LRS; the others stick at HRS")] = 0.5

    @property
    def worn_share(self) -> float:
        """Share of cells that writing has worn out: 1 - exp(-(n / characteristic)^shape) (Weibull)."""
        return -math.expm1(-((self.write_cycles / self.characteristic_cycles) ** self.shape))

    def act(self, die: Physics, target: Target) -> Physics:
        """A cell that is stuck already cannot wear out."""
        healthy, worn = 1 - die.sa0 - die.sa1, self.worn_share
        wear1 = worn * self.sa1_share
        return replace(die, sa0=die.sa0 + healthy * (worn - wear1), sa1=die.sa1 + healthy * wear1)
