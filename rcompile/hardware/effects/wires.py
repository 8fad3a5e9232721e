"""Wire resistance."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from rcompile.hardware.effects.base import Effect
from rcompile.hardware.physics import Physics
from rcompile.hardware.section import key

if TYPE_CHECKING:
    from rcompile.hardware.target import Target


class Wires(Effect):
    """IR drop along wordlines and bitlines, to first order: good while wires take less than about a quarter of a current."""

    source = "32 nm node, cells of 2F x 2F: from the constants of NeuroSim 1.3. Takes most of the current of cells of a few kiloohm"
    does_something = ("wordline_segment_ohm", "bitline_segment_ohm")
    wordline_segment_ohm: Annotated[
        float, key("resistance of a wordline from one cell to the next", "ohm", ge=0, le=1e6, allow_inf_nan=False)
    ] = 0.73
    bitline_segment_ohm: Annotated[
        float, key("resistance of a bitline from one cell to the next", "ohm", ge=0, le=1e6, allow_inf_nan=False)
    ] = 0.73

    def act(self, die: Physics, target: Target) -> Physics:
        """Shares of the read voltage that one level's current loses; what a cell loses depends on all others, so that its tables stay."""
        level_siemens = (target.cell.g_lrs_siemens - target.cell.g_hrs_siemens) / target.top_level
        drops = (self.wordline_segment_ohm * level_siemens, self.bitline_segment_ohm * level_siemens)
        return replace(die, cells=die.with_cells(target), wordline_drop=drops[0], bitline_drop=drops[1])
