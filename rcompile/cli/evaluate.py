"""The command that scores a bundle, `rcompile evaluate`. No logic, as in main.py."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rcompile.cli.arguments import DIRECTORY, PATH, RATE, SEEDS, TASK, effect_option
from rcompile.cli.commands import FAILED
from rcompile.cli.terminal import JSON, THREADS, data_option, progress_bar, stdout_console
from rcompile.vocabulary import Combiner, words

if TYPE_CHECKING:
    from runtime.die.dies import Rate
    from runtime.scoring.task import Task


@click.command()
@click.argument("bundle", type=DIRECTORY)
@click.option("--task", required=True, type=TASK, help="A GLUE task, `demo`, or your own: docs/tasks.md.")
@data_option("validation", " Of another task: a file in place of its own.")
@click.option(
    "--sa0",
    type=RATE,
    metavar="RATE",
    help="Share of cells stuck at level 0, or `target`: the target's own.  [default: 0 if --sa1 or --effect is given]",
)
@click.option(
    "--sa1",
    type=RATE,
    metavar="RATE",
    help="Share of cells stuck at the top level, or `target`: the target's own.  [default: 0 if --sa0 or --effect is given]",
)
@click.option(
    "--die",
    "seeds",
    multiple=True,
    type=SEEDS,
    metavar="SEEDS",
    help="Virtual dies with these faults: a seed, or several as 1,2 or 1-10. Repeatable.  [default: 0 if a rate or an effect is given, else none]",
)
@click.option(
    "--fault-map",
    "maps",
    multiple=True,
    type=PATH,
    metavar="FILE",
    help="A measured die: .npz, .safetensors or HDF5, of a chip or an array a layer. Repeatable.",
)
@effect_option(
    "Turn an effect of the dies on, or change it: drift, drift.time_second=1e6, ...; none: off. `rcompile targets effects` lists them."
)
@click.option(
    "--combiner",
    type=click.Choice(words(Combiner)),
    help="Combine replicas so.  [default: as compiled]",
)
@click.option(
    "--max-loss",
    type=float,
    metavar="POINTS",
    help="Exit code 1 unless the dies' mean loss, with its interval, is at most that; against the clean score, or --baseline.",
)
@click.option(
    "--min-score",
    type=float,
    metavar="POINTS",
    help="Exit code 1 unless the dies' mean score, with its interval, is at least that.",
)
@click.option(
    "--baseline",
    type=PATH,
    metavar="FILE",
    help="What an earlier `evaluate --json` of the same dies printed: the loss is counted from there, die by die; --max-loss is then 0 if it is not given.",
)
@click.option(
    "--confidence", type=float, default=0.95, show_default=True, metavar="SHARE", help="Of the intervals of limits."
)
@click.option("--int8", is_flag=True, help="Also score the source quantized to int8 by ONNX Runtime.")
@click.option("--limit", type=int, metavar="N", help="Only the first N examples.")
@THREADS
@JSON
@click.option("-q", "--quiet", is_flag=True, help="No progress bar.")
def evaluate(
    bundle: Path,
    task: Task,
    sa0: Rate | None,
    sa1: Rate | None,
    seeds: tuple[tuple[int, ...], ...],
    maps: tuple[Path, ...],
    changes: tuple[str, ...],
    max_loss: float | None,
    min_score: float | None,
    baseline: Path | None,
    confidence: float,
    as_json: bool,
    quiet: bool,
    **scoring: Any,
) -> None:
    """Score BUNDLE on a task: in fp32, clean, and on each die.

    \b
    rcompile evaluate bert.bundle --task sst2 --die 1-10 --sa0 0.001 --sa1 0.01
    rcompile evaluate bert.bundle --task sst2 --die 1-20 --sa1 0.001 --max-loss 1
    rcompile evaluate bert.bundle --task my.task.toml --die 1-10 --sa0 target --sa1 target
    """  # noqa: D301
    from rcompile.bundle.reader import Bundle
    from rcompile.cli import show
    from rcompile.cli.show_evaluation import described, die_options, print_evaluation
    from runtime.die.dies import chosen_dies
    from runtime.scoring.evaluation import InterruptedEvaluation
    from runtime.scoring.evaluation import evaluate as run
    from runtime.scoring.gate import judge, limits_of

    limits = limits_of(max_loss, min_score, baseline, confidence)
    opened = Bundle.open(bundle)
    dies = chosen_dies(opened, sa0, sa1, sum(seeds, ()), maps, changes)
    stopped = None
    with progress_bar(quiet or as_json) as progress:
        try:
            result = run(opened, task, dies=dies, progress=progress, **scoring)
        except InterruptedEvaluation as error:
            stopped, result = error, error.finished
    judged = () if stopped else judge(result, limits)
    if as_json:
        click.echo(show.to_json(described(result, judged, sys.argv)))
    else:
        print_evaluation(result, judged, stdout_console())
    if stopped:
        left = dies[len(result.dies) :]
        click.echo(f"interrupted; {stopped}; go on with {die_options(left, maps)}", err=True)
        sys.exit(stopped.exit_code)
    sys.exit(0 if all(j.verdict == "pass" for j in judged) else FAILED)
