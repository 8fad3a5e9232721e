"""The command that makes virtual chips, `rcompile die`. No logic, as in main.py."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rcompile.cli.arguments import PATH, RATE, TARGET, effect_option
from rcompile.cli.terminal import JSON, force_option

if TYPE_CHECKING:
    from runtime.die.dies import Rate


@click.command()
@click.option("--target", required=True, type=TARGET, help="Target name, or a TOML file.")
@click.option("--crossbars", required=True, type=int, metavar="N", help="Crossbars of the chip.")
@click.option("--seed", required=True, type=int, metavar="S", help="Seed of the die, as `evaluate --die` takes it.")
@click.option("--sa0", type=RATE, metavar="RATE", help="Share of cells stuck at level 0, or `target`: the target's own.  [default: 0]")  # fmt: skip
@click.option("--sa1", type=RATE, metavar="RATE", help="Share of cells stuck at the top level, or `target`: the target's own.  [default: 0]")  # fmt: skip
@effect_option("What else makes cells stick: clusters, lines, stuck_between, endurance; none: off.")
@click.option("-o", "--output", "out", type=PATH, required=True, metavar="MAP.npz", help="File to write.")
@force_option("file")
@JSON
def die(
    target: str,
    crossbars: int,
    seed: int,
    sa0: Rate | None,
    sa1: Rate | None,
    changes: tuple[str, ...],
    out: Path,
    force: bool,
    as_json: bool,
) -> None:
    """Write the map of a virtual chip: which cells of its crossbars are stuck, and where.

    They are those of `rcompile evaluate --die S` with the same rates and effects.
    """
    from rcompile.cli import show
    from rcompile.hardware.changes import with_effects
    from rcompile.hardware.target_file import load_target
    from runtime.die.dies import virtual_die
    from runtime.die.write_map import write_chip_map

    hardware = load_target(target)
    effects = with_effects(hardware, changes).effects if changes else hardware.effects
    written = write_chip_map(virtual_die(hardware, seed, sa0, sa1, effects), hardware, crossbars, out, force=force)
    click.echo(
        show.to_json(written)
        if as_json
        else f"{written.crossbars:,} crossbars, {written.sa0:.3%} SA0, {written.sa1:.3%} SA1, {written.between:.3%} between -> {written.out}"
    )
