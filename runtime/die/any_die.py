"""What every kind of die can say of itself; a new kind is one module that does."""

from __future__ import annotations

from typing import Protocol

from rcompile.errors import UsageError
from rcompile.hardware.changes import check_effects
from rcompile.hardware.effects.table import Effects
from rcompile.hardware.physics import Physics, physics_of
from rcompile.hardware.target import Target
from rcompile.layout.normal_form import I32, U8

NO_EFFECTS = Effects()


class AnyDie(Protocol):
    """A chip: which cells are stuck, and what is drawn for them."""

    @property
    def name(self) -> str:
        """What a report calls it."""

    @property
    def seed(self) -> int:
        """Of everything that is drawn."""

    @property
    def effects(self) -> Effects:
        """What is not ideal, stuck cells aside."""

    def physics(self, target: Target) -> Physics:
        """The die's physics in numbers. Raises UsageError for effects that contradict the target."""

    def faults(self, layer: str, crossbars: I32, target: Target) -> U8:
        """The fault of each cell of a layer whose tiles are on these crossbars: u8 [T, rows, cols] of `Fault`."""

    def options(self, target: Target) -> dict[str, str]:
        """The execution provider's live options for it (docs/runtime.md)."""


def checked_physics(effects: Effects, target: Target, sa0: float = 0.0, sa1: float = 0.0) -> Physics:
    """The numbers of a die with these rates and effects. Raises UsageError for effects that contradict the target."""
    changed = target.model_copy(update={"effects": effects})
    check_effects(changed)
    return physics_of(changed, sa0, sa1)


def check_seed(seed: int) -> None:
    """Raises UsageError for a seed that is no u64."""
    if not 0 <= seed < 1 << 64:
        raise UsageError(f"die seed {seed} is not in 0 .. 2^64 - 1.")


def die_option(seed: int, physics: Physics, mapped: bool = False) -> str:
    """The value of `rcompile.die`."""
    return ",".join(filter(None, ("map" if mapped else "", f"seed={seed}", physics.text())))
