"""The command that shows a campaign, `rcompile report`. No logic, as in main.py."""

from __future__ import annotations

from pathlib import Path

import click

from rcompile.cli.arguments import DIRECTORY, PATH
from rcompile.cli.terminal import JSON, force_option


@click.command()
@click.argument("folder", metavar="DIR", type=DIRECTORY)
@click.option("-o", "--output", "out", type=PATH, required=True, metavar="FILE.html", help="File to write.")
@force_option("file")
@JSON
def report(folder: Path, out: Path, force: bool, as_json: bool) -> None:
    """Show the results of a campaign, which lie in DIR, as one HTML page that needs nothing else.

    It says which share of stuck cells costs a point, draws scores against it, and names the worst dies.

    \b
    rcompile campaign study.toml -o results/
    rcompile report results/ -o report.html
    """  # noqa: D301
    from rcompile.cli import show
    from rcompile.report.page import write_report

    written = write_report(folder, out, force=force)
    click.echo(show.to_json(written) if as_json else f"{written.heading}: {written.runs:,} scores -> {written.out}")
