"""The `rcompile targets` commands. No logic, as in cli.py."""

from __future__ import annotations

import click

from rcompile.cli.terminal import JSON, stdout_console


@click.group()
def targets() -> None:
    """List, show and check hardware targets."""


@targets.command("list")
@JSON
def list_targets(as_json: bool) -> None:
    """The targets that ship."""
    from rcompile.cli import show
    from rcompile.hardware.target_file import load_target, target_names

    loaded = [load_target(name) for name in target_names()]
    if as_json:
        click.echo(show.to_json([{"name": t.name, "description": t.description} for t in loaded]))
    else:
        click.echo("\n".join(f"{t.name:18} {t.description}" for t in loaded))


@targets.command("effects")
@JSON
def list_effects(as_json: bool) -> None:
    """What a die may do beyond the ideal read: each effect's keys, with unit, default, meaning and source."""
    from rcompile.cli import show
    from rcompile.hardware.effect_rules import described_effects

    rows = described_effects()
    if as_json:
        click.echo(show.to_json(rows))
    else:
        show.print_effects(rows, stdout_console())


@targets.command("show")
@click.argument("target", metavar="NAME|FILE")
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
@click.argument("target", metavar="NAME|FILE")
def check_target(target: str) -> None:
    """Validate a target file; every error at once, with its line."""
    from rcompile.hardware.target_file import load_target

    loaded = load_target(target)
    click.echo(
        f"{loaded.name}: valid; {loaded.bitlines_per_output} bitlines an output, a level-0 cell leaks {loaded.hrs_levels:.4f} levels"
    )
