"""How commands meet a terminal: errors, exit codes, progress bars and tables."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from click_default_group import DefaultGroup

from rcompile.errors import RcompileError

FAILED = 1
INTERNAL_ERROR = 70
INTERRUPTED = 130


PATH = click.Path(path_type=Path)
TASK = click.option(
    "--task", required=True, metavar="TASK", help="sst2, cola, mrpc, stsb, qqp, mnli, qnli, rte or wnli."
)
THREADS = click.option("--threads", type=int, default=0, metavar="N", help="Threads.  [default: all cores]")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
QUIET = click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")


def data_option(split: str) -> Any:
    """--data, where this split of a task lies."""
    return click.option(
        "--data",
        type=PATH,
        metavar="DIR",
        help=f"Folder of GLUE data, DIR/TASK/{split}*.parquet or .tsv.  [default: $RCOMPILE_GLUE, else the hub]",
    )


def force_option(existing: str) -> Any:
    """--force, for a command that writes such a thing."""
    return click.option("--force", is_flag=True, help=f"Replace an existing {existing}.")


class _Seeds(click.ParamType):  # type: ignore[type-arg]  # generic in newer click only
    """Die seeds: 7, or 1,2,5, or 1-10, or any of them joined by commas."""

    name = "seeds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The seeds, in the order given."""
        if isinstance(value, tuple):
            return value
        seeds: list[int] = []
        for part in value.split(","):
            first, dash, last = part.partition("-")
            if (
                not first.isdecimal()
                or (dash and not last.isdecimal())
                or int(last or first) - int(first) not in range(MAX_DIES)
            ):
                self.fail(f"'{part}' is no seed and no range of up to {MAX_DIES} seeds such as 1-10.", param, ctx)
            seeds.extend(range(int(first), int(last or first) + 1))
        return tuple(seeds)


MAX_DIES = 100_000
SEEDS = _Seeds()


class Commands(DefaultGroup):
    """Commands whose errors are one message and a stable exit code, and that take --debug in any place."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **named: Any) -> Any:
        """Run the command line."""
        given = list(sys.argv[1:] if args is None else args)
        debug = ["--debug"] if "--debug" in given else []
        return super().main([*debug, *(a for a in given if a != "--debug")], *rest, **named)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("interrupted; nothing was left behind", err=True)
            sys.exit(INTERRUPTED)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if ctx.params.get("debug"):
                raise
            message, code = _in_one_message(error)
            click.echo(message, err=True)
            sys.exit(code)


def _in_one_message(error: Exception) -> tuple[str, int]:
    """What the user reads, and the exit code."""
    if isinstance(error, RcompileError):
        return f"error: {error}", error.exit_code
    if isinstance(error, OSError):
        return f"error: {error}", RcompileError.exit_code
    bug = "This is a bug: report it with the output of `rcompile --debug ...`."
    return f"internal error: {type(error).__name__}: {error}. {bug}", INTERNAL_ERROR


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
        bar = bars.add_task("")
        yield lambda what, done, total: bars.update(bar, description=what, completed=done, total=total)


def stdout_console() -> Any:
    """A rich console on stdout."""
    from rich.console import Console

    if sys.stdout is not None and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal without shades or umlauts shows question marks
    on_terminal = sys.stdout is not None and sys.stdout.isatty()
    # Names may look like markup, and piped tables must not be cut at 80 columns.
    return Console(markup=False, width=None if on_terminal else 200)
