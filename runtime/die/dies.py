"""The dies that a command line asks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rcompile.bundle.reader import Bundle
from rcompile.errors import UsageError
from rcompile.hardware.changes import with_effects
from rcompile.hardware.effects.table import Effects
from rcompile.hardware.target import Target
from runtime.die.any_die import AnyDie
from runtime.die.measured import read_die
from runtime.die.virtual import Die

Rate = float | Literal["target"]  # a share of all cells, or the target's own


def chosen_dies(
    bundle: Bundle,
    sa0: Rate | None,
    sa1: Rate | None,
    seeds: Sequence[int],
    maps: Sequence[Path],
    changes: Sequence[str] = (),
) -> list[AnyDie]:
    """The dies that a command line asks for. A rate that is not given is 0 where another or an effect is; seeds are
    then 0. changes: of the target's effects, as `with_effects` takes them.

    Raises UsageError for a seed without a rate or an effect: the target's rates are those of a technology's first dies,
    and ruin any score.
    """
    target = bundle.manifest.target
    given = sa0 is not None or sa1 is not None
    chosen = with_effects(target, changes).effects if changes else target.effects
    asked = bool(changes and chosen.names)
    own = target.faults
    if seeds and not given and not asked:
        raise UsageError(
            f"--die needs fault rates: --sa0 RATE and --sa1 RATE; or --sa0 target --sa1 target, "
            f"the {100 * own.sa0_rate:g} % and {100 * own.sa1_rate:g} % of '{target.name}'; or an --effect."
        )
    asked_seeds = seeds or ([0] if given or (asked and not maps) else [])
    virtual = [virtual_die(target, seed, sa0, sa1, chosen) for seed in asked_seeds]
    dies: list[AnyDie] = [*virtual, *(read_die(path, bundle, chosen) for path in maps)]
    for die in dies:
        die.physics(target)  # says now what does not fit
    return dies


def virtual_die(target: Target, seed: int, sa0: Rate | None, sa1: Rate | None, effects: Effects) -> Die:
    """A virtual die whose rates may be the target's own; one that is not given is 0."""
    own = target.faults
    rates = (own.sa0_rate if sa0 == "target" else sa0 or 0.0, own.sa1_rate if sa1 == "target" else sa1 or 0.0)
    return Die(seed, *rates, effects)
