"""One layer of a bundle on one die."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rcompile.bundle.reader import Layer
from rcompile.hardware.physics import Physics
from rcompile.hardware.target import Target
from rcompile.layout.normal_form import I64, U8
from runtime.die.any_die import AnyDie
from runtime.die.cells import F64, actual_levels
from runtime.die.flips import flipped_activations
from runtime.die.reads import Reading, reading_of

IDEAL = Physics()


@dataclass(frozen=True, eq=False)
class LayerOnDie:
    """What one layer is on one die. levels: [T, rows, cols], u8 or analog in levels. reading: None for ideal reads."""

    levels: U8 | F64
    reading: Reading | None = None
    physics: Physics = IDEAL
    seed: int = 0
    first_crossbar: int = 0

    def struck(self, codes: I64, input_bits: int) -> I64:
        """Input codes after soft errors."""
        return flipped_activations(codes, self.physics, self.seed, self.first_crossbar, input_bits)


def on_die(die: AnyDie | None, layer: Layer, target: Target) -> LayerOnDie:
    """A layer of a bundle on a die; None is a clean one."""
    levels, crossbars = layer.tiles.levels, layer.tiles.placement.crossbar
    if die is None:
        return LayerOnDie(levels)
    physics, faults = die.physics(target), die.faults(layer.entry.name, crossbars, target)
    held = actual_levels(physics, die.seed, crossbars, levels, faults, target)
    reading = reading_of(physics, die.seed, crossbars, target.crossbar.cols)
    return LayerOnDie(held, reading, physics, die.seed, int(np.asarray(crossbars)[0]))
