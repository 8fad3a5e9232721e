"""The commands that look at bundles, `rcompile inspect`, `check` and `diff`. No logic, as in main.py."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rcompile.cli.arguments import DIRECTORY, PATH
from rcompile.cli.commands import FAILED
from rcompile.cli.terminal import JSON, stdout_console


@click.command()
@click.argument("bundle", type=DIRECTORY)
@click.option("--tile", metavar="LAYER:T", help="One tile: its lines, levels and conductances.")
@JSON
def inspect(bundle: Path, tile: str | None, as_json: bool) -> None:
    """Show what BUNDLE holds, layer by layer or one tile."""
    from rcompile.bundle.reader import Bundle
    from rcompile.cli import show

    opened = Bundle.open(bundle)
    if tile is None and as_json:
        click.echo(show.to_json(show.bundle_summary(opened)))
    elif tile is None:
        show.print_bundle(opened, stdout_console())
    elif as_json:
        click.echo(show.to_json(show.tile_summary(*opened.tile(tile), opened.manifest.target)))
    else:
        show.print_tile(*opened.tile(tile), opened.manifest.target, stdout_console())


@click.command()
@click.argument("bundle", type=DIRECTORY)
@click.option(
    "--die-map",
    type=PATH,
    metavar="MAP",
    help="The map that BUNDLE was compiled for: every stuck cell must hold what it is stuck at.",
)
@JSON
def check(bundle: Path, die_map: Path | None, as_json: bool) -> None:
    """Check that BUNDLE is whole: schema, digests, images that decode.

    Every image must decode to the quantized weights, and the host graph must be the manifest's.
    """
    from rcompile.bundle.check import check as checked
    from rcompile.bundle.reader import Bundle
    from rcompile.cli import show

    checks = [{"what": what, "problems": problems} for what, problems in checked(Bundle.open(bundle), die_map)]
    problems = [f"{c['what']}: {p}" for c in checks for p in c["problems"]]
    if as_json:
        click.echo(show.to_json({"ok": not problems, "checks": checks}))
    else:
        click.echo("\n".join(problems) if problems else f"{bundle}: {len(checks)} checks, all good")
    sys.exit(FAILED if problems else 0)


@click.command()
@click.argument("a", type=DIRECTORY)
@click.argument("b", type=DIRECTORY)
@JSON
def diff(a: Path, b: Path, as_json: bool) -> None:
    """Compare bundles A and B: the cells that change. Exit code 1 if any does.

    Cells are compared crossbar by crossbar, whatever lies on them: also bundles for two maps of one chip.
    """
    from rcompile.bundle.diff import diff as compare
    from rcompile.bundle.reader import Bundle
    from rcompile.cli import show

    found = compare(Bundle.open(a), Bundle.open(b))
    if as_json:
        click.echo(show.to_json({"same": found.same, **vars(found)}))
    else:
        show.print_difference(found, stdout_console())
    sys.exit(0 if found.same else FAILED)
