"""Virtual dies: a seed, rates and effects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rcompile.hardware.effects.table import Effects
from rcompile.hardware.physics import Physics
from rcompile.hardware.target import Target
from rcompile.layout.normal_form import I32, U8
from rcompile.options import check_rates
from runtime.die.any_die import NO_EFFECTS, check_seed, checked_physics, die_option
from runtime.die.faults import fault_map


@dataclass(frozen=True)
class Die:
    """A virtual die. sa0, sa1: share of cells stuck at level 0 and at the top level. effects: what else is not ideal.

    Raises UsageError for rates that are no shares.
    """

    seed: int = 0
    sa0: float = 0.0
    sa1: float = 0.0
    effects: Effects = NO_EFFECTS

    def __post_init__(self) -> None:
        # NumPy's scalars are welcome, and plain numbers from here on.
        for name, kind in (("seed", int), ("sa0", float), ("sa1", float)):
            object.__setattr__(self, name, kind(getattr(self, name)))
        check_seed(self.seed)
        check_rates(self.sa0, self.sa1)

    @property
    def name(self) -> str:
        """`seed 3`."""
        return f"seed {self.seed}"

    def physics(self, target: Target) -> Physics:
        """The die's physics in numbers. Raises UsageError for effects that contradict the target."""
        return checked_physics(self.effects, target, self.sa0, self.sa1)

    def faults(self, layer: str, crossbars: I32, target: Target) -> U8:
        """The fault of each cell of a layer whose tiles are on these crossbars: u8 [T, rows, cols] of `Fault`."""
        found, array = self.physics(target), target.crossbar
        return np.stack(
            [fault_map(found, self.seed, int(x), array.rows, array.cols, target.top_level) for x in crossbars]
        )

    def options(self, target: Target) -> dict[str, str]:
        """The execution provider's live options for it (docs/runtime.md)."""
        return {"rcompile.die": die_option(self.seed, self.physics(target))}
