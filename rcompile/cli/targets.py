"""The `rcompile targets` commands. No logic, as in main.py."""

from __future__ import annotations

import click

from rcompile.cli.arguments import TARGET as TARGET_NAME
from rcompile.cli.commands import Group
from rcompile.cli.terminal import JSON, stdout_console

TARGET = click.argument("target", type=TARGET_NAME)


@click.group(cls=Group)
def targets() -> None:
    """List, show and check hardware targets."""


@targets.command("list")
@JSON
def list_targets(as_json: bool) -> None:
    """The targets that ship."""
    from rcompile.cli import show
    from rcompile.hardware.shipped import target_names
    from rcompile.hardware.target_file import load_target

    loaded = [load_target(name) for name in target_names()]
    if as_json:
        click.echo(show.to_json([{"name": t.name, "description": t.description} for t in loaded]))
    else:
        click.echo("\n".join(f"{t.name:18} {t.description}" for t in loaded))


@targets.command("effects")
@JSON
def list_effects(as_json: bool) -> None:
    """What a die may do beyond the ideal read.

    Each effect's keys, with unit, default, meaning and source.
    """
    from rcompile.cli import show
    from rcompile.hardware.describe import described_effects

    rows = described_effects()
    if as_json:
        click.echo(show.to_json(rows))
    else:
        show.print_effects(rows, stdout_console())


@targets.command("show")
@TARGET
@JSON
def show_target(target: str, as_json: bool) -> None:
    """Every key of a target: value, unit, meaning, source."""
    from rcompile.cli import show
    from rcompile.hardware.target_file import load_target

    loaded = load_target(target)
    if as_json:
        click.echo(show.to_json(loaded))
    else:
        show.print_target(loaded, stdout_console())


@targets.command("check")
@TARGET
@JSON
def check_target(target: str, as_json: bool) -> None:
    """Validate a target file; every error at once, with its line."""
    from rcompile.cli import show
    from rcompile.hardware.target_file import load_target

    loaded = load_target(target)
    if as_json:
        click.echo(show.to_json(show.target_summary(loaded)))
    else:
        click.echo(
            f"{loaded.name}: valid; weights in digits {loaded.encoding}, a level-0 cell leaks {loaded.hrs_levels:.4f} levels"
        )
