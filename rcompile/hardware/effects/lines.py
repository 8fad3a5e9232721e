"""Broken wordlines, bitlines and crossbars."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from rcompile.hardware.effects.base import Effect, Rate
from rcompile.hardware.physics import Physics
from rcompile.hardware.section import key

if TYPE_CHECKING:
    from rcompile.hardware.target import Target


class Lines(Effect):
    """Failures of whole wordlines, bitlines and crossbars: their cells read as SA0."""

    source = (
        "assumption: Chen et al., IEEE Trans. Computers 64 (2015), find line failures in a 4-Mb array but give no share"
    )
    does_something = ("wordline_rate", "bitline_rate", "crossbar_rate")
    wordline_rate: Annotated[Rate, key("wordlines that are broken")] = 1e-3
    bitline_rate: Annotated[Rate, key("bitlines that are broken")] = 1e-3
    crossbar_rate: Annotated[Rate, key("crossbars that are broken")] = 0.0

    def act(self, die: Physics, target: Target) -> Physics:
        """The rates as they are."""
        return replace(die, wordline=self.wordline_rate, bitline=self.bitline_rate, crossbar=self.crossbar_rate)
