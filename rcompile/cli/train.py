"""The commands that prune a model for a target, `rcompile train` and `rcompile prune`. No logic, as in main.py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rcompile.cli.arguments import PATH, TASK_NAME
from rcompile.cli.arguments import TARGET as TARGET_NAME
from rcompile.cli.terminal import (
    JSON,
    QUIET,
    THREADS,
    data_option,
    force_option,
    progress_bar,
    stdout_console,
)
from rcompile.errors import Interrupted

if TYPE_CHECKING:
    from rcompile.train.run import Pruned

TARGET = click.option(
    "--target",
    required=True,
    type=TARGET_NAME,
    help="The target whose crossbars the budget counts.",
)
OUT = click.option(
    "-o",
    "--output",
    "out",
    type=PATH,
    required=True,
    metavar="DIR",
    help="Directory to write: Hugging Face files and model.onnx.",
)
KEEP = click.option(
    "--keep",
    type=float,
    default=0.5,
    show_default=True,
    metavar="SHARE",
    help="Share of the dense model's crossbars to keep.",
)
FORCE = force_option("directory")


@click.command()
@click.argument("source", metavar="DIR|NAME")
@click.option("--task", required=True, type=TASK_NAME, help="The GLUE task.")
@data_option("train")
@TARGET
@OUT
@KEEP
@click.option("--steps", type=int, default=1200, show_default=True, metavar="N", help="Optimizer steps.")
@click.option("--batch", type=int, default=16, show_default=True, metavar="N", help="Texts a step.")
@click.option(
    "--learning-rate",
    type=float,
    metavar="RATE",
    help="Peak rate of the weights.  [default: 5e-4, or 5e-5 with --keep 1]",
)
@click.option(
    "--patience",
    type=int,
    default=5,
    show_default=True,
    metavar="N",
    help="Stop after N checks (100 steps each) without improvement.",
)
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Seed of everything random.")
@click.option(
    "--fault-rate",
    type=float,
    default=0.0,
    show_default=True,
    metavar="RATE",
    help="Share of cells stuck while training.",
)
@click.option(
    "--voted",
    type=int,
    default=0,
    show_default=True,
    metavar="SLICES",
    help="Largest digits that --fault-rate spares, as replicas would.",
)
@click.option("--new-head", is_flag=True, help="Start with a fresh classification head; with --keep 1.")
@THREADS
@FORCE
@JSON
@QUIET
def train(
    source: str,
    task: str,
    data: Path | None,
    target: str,
    out: Path,
    new_head: bool,
    threads: int,
    force: bool,
    as_json: bool,
    quiet: bool,
    **recipe: Any,
) -> None:
    """Fine-tune a Hugging Face model on a GLUE task, and prune it.

    Gates learn which rows and columns it can do without. The pruned model learns from the given one as its teacher.
    With --keep 1 nothing is pruned, and it learns from the labels. A killed run goes on where it was when the same
    command is given again.
    """
    from rcompile.hardware.target_file import load_target
    from rcompile.train.extras import require

    require("torch", "transformers", "onnxscript")
    from rcompile.train.run import train as run
    from rcompile.train.run import use_threads
    from rcompile.train.trainer import Recipe
    from runtime.scoring.glue import TASKS

    if recipe["learning_rate"] is None:
        recipe["learning_rate"] = 5e-4 if recipe["keep"] < 1 else 5e-5
    use_threads(threads)
    with progress_bar(quiet or as_json) as progress, _said_what_is_kept(out, force):
        result = run(
            source,
            TASKS[task],
            data,
            load_target(target),
            out,
            Recipe(**recipe),
            new_head=new_head,
            force=force,
            progress=progress,
        )
    _print(result, as_json, quiet)


@click.command()
@click.argument("source", metavar="DIR|NAME")
@click.option(
    "--calibrate",
    "samples",
    type=PATH,
    required=True,
    metavar="FILE",
    help="Sample texts: a sentence a line, or two parted by a tab.",
)
@TARGET
@OUT
@KEEP
@THREADS
@FORCE
@JSON
@QUIET
def prune(
    source: str,
    samples: Path,
    target: str,
    out: Path,
    keep: float,
    threads: int,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Prune a fine-tuned Hugging Face model in one shot.

    Without training, for those who cannot `rcompile train`. Samples say which rows and columns matter
    least; least squares refit the rest, matrix after matrix. Give 500 sentences of the model's kind or more.
    """
    from rcompile.hardware.target_file import load_target
    from rcompile.train.extras import require

    require("torch", "transformers", "onnxscript")
    from rcompile.train.run import prune as run
    from rcompile.train.run import use_threads

    use_threads(threads)
    with progress_bar(quiet or as_json) as progress, _said_what_is_kept(out, force):
        result = run(source, samples, load_target(target), out, keep, force=force, progress=progress)
    _print(result, as_json, quiet)


@contextmanager
def _said_what_is_kept(out: Path, force: bool) -> Iterator[None]:
    """If the run in this context is interrupted, say what of it is in `out`, and how to go on."""
    from rcompile.train.run import CHECKPOINT, UNFINISHED

    try:
        yield
    except KeyboardInterrupt:
        if (out / CHECKPOINT).exists():
            without = ", without --force" if force else ""
            kept = f"'{out / CHECKPOINT}' is kept: the same command goes on from it{without}"
        elif (out / UNFINISHED).exists():
            kept = f"'{out}' is not whole: the same command starts again"
        else:
            kept = "nothing was left behind"
        raise Interrupted(kept) from None


def _print(result: Pruned, as_json: bool, quiet: bool) -> None:
    from rcompile.cli import show

    if as_json:
        click.echo(show.to_json(result))
    elif not quiet:
        show.print_pruned(result, stdout_console())
