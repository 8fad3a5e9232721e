"""How commands meet a terminal: the options that several share, progress bars and tables."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from rcompile.cli.arguments import PATH

THREADS = click.option("--threads", type=int, default=0, metavar="N", help="Threads.  [default: all cores]")
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document, also of an error.")
QUIET = click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")


def data_option(split: str, of_others: str = "") -> Any:
    """--data, where this split of a GLUE task lies, and what it is of other tasks."""
    return click.option(
        "--data",
        type=PATH,
        metavar="DIR|FILE" if of_others else "DIR",
        help=f"Folder of GLUE data, DIR/TASK/{split}*.parquet or .tsv.  [default: $RCOMPILE_GLUE, else the hub]{of_others}",
    )


def force_option(existing: str) -> Any:
    """--force, for a command that writes such a thing."""
    return click.option("--force", is_flag=True, help=f"Replace an existing {existing}.")


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on stderr, on a terminal only."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield lambda what, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("", visible=False)  # until there is something to count
        yield lambda what, done, total: bars.update(bar, description=what, completed=done, total=total, visible=True)


def stdout_console() -> Any:
    """A rich console on stdout."""
    from rich.console import Console

    if sys.stdout is not None and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal without shades or umlauts shows question marks
    on_terminal = sys.stdout is not None and sys.stdout.isatty()
    # Names may look like markup, and piped tables must not be cut at 80 columns.
    return Console(markup=False, width=None if on_terminal else 200)
