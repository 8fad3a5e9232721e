"""The command that scores a grid, `rcompile campaign`. No logic, as in main.py."""

from __future__ import annotations

from pathlib import Path

import click

from rcompile.cli.arguments import PATH
from rcompile.cli.terminal import JSON, progress_bar, stdout_console


@click.command()
@click.argument("study", type=PATH)
@click.option("-o", "--output", "out", type=PATH, required=True, metavar="DIR", help="Folder of the results; what it holds is not computed again.")  # fmt: skip
@click.option("--workers", type=int, default=0, metavar="N", help="Processes of this machine.  [default: one a core]")
@click.option("--dask", "address", metavar="ADDRESS", help="Have the workers of a Dask scheduler compute: tcp://HOST:PORT, or a scheduler file.")  # fmt: skip
@click.option("--limit", type=int, metavar="N", help="At most N more runs now.")
@click.option("--until", "until_second", type=float, metavar="SECONDS", help="Begin no run after so long.")
@click.option("--dry-run", is_flag=True, help="Show what would be run; run nothing.")
@JSON
@click.option("-q", "--quiet", is_flag=True, help="No progress bar.")
def campaign(
    study: Path,
    out: Path,
    workers: int,
    address: str | None,
    limit: int | None,
    until_second: float | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Score every point of the grid that STUDY (TOML) spans, on every die.

    Started again, it computes what is missing. docs/campaigns.md says what a study may hold.

    \b
    rcompile campaign study.toml -o results/
    """  # noqa: D301
    from rcompile.campaigns.run import run_campaign
    from rcompile.campaigns.study import read_study
    from rcompile.cli import show
    from rcompile.cli.show_campaign import planned, print_campaign, print_planned

    asked = read_study(study)
    if dry_run:
        said = planned(asked, out)
        if as_json:
            click.echo(show.to_json(said))
        else:
            print_planned(said, stdout_console())
        return
    with progress_bar(quiet or as_json) as progress:
        found = run_campaign(asked, out, workers=workers, dask_address=address, limit=limit, until_second=until_second, progress=progress)  # fmt: skip
    if as_json:
        click.echo(show.to_json(found))
    else:
        print_campaign(found, stdout_console())
