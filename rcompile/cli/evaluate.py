"""The command that scores a bundle, `rcompile evaluate`. No logic, as in cli.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rcompile.cli.terminal import JSON, PATH, SEEDS, TASK, THREADS, data_option, progress_bar, stdout_console


@click.command()
@click.argument("bundle", type=PATH)
@TASK
@data_option("validation")
@click.option(
    "--sa0",
    type=float,
    metavar="RATE",
    help="Share of cells stuck at level 0.  [default: 0 if --sa1 or --effect is given, else the target's]",
)
@click.option(
    "--sa1",
    type=float,
    metavar="RATE",
    help="Share of cells stuck at the top level.  [default: 0 if --sa0 or --effect is given, else the target's]",
)
@click.option(
    "--die",
    "seeds",
    multiple=True,
    type=SEEDS,
    metavar="SEEDS",
    help="Virtual dies: a seed, or several as 1,2 or 1-10. Repeatable.  [default: 0 if a rate or an effect is given, else none]",
)
@click.option(
    "--fault-map",
    "maps",
    multiple=True,
    type=PATH,
    metavar="FILE",
    help="A measured die: .safetensors or .npz, one array a layer. Repeatable.",
)
@click.option(
    "--effect",
    "changes",
    multiple=True,
    metavar="NAME[.KEY=VALUE]",
    help="Turn an effect of the dies on, or change it: drift, drift.time_second=1e6, ...; none: off. Repeatable. `rcompile targets effects` lists them.  [default: the target's]",
)
@click.option(
    "--combiner",
    type=click.Choice(["none", "cell", "median", "mean", "select"]),
    help="Combine replicas so.  [default: as compiled]",
)
@click.option("--int8", is_flag=True, help="Also score the source quantized to int8 by ONNX Runtime.")
@click.option("--limit", type=int, metavar="N", help="Only the first N examples.")
@THREADS
@JSON
@click.option("-q", "--quiet", is_flag=True, help="No progress bar.")
def evaluate(
    bundle: Path,
    task: str,
    data: Path | None,
    sa0: float | None,
    sa1: float | None,
    seeds: tuple[tuple[int, ...], ...],
    maps: tuple[Path, ...],
    changes: tuple[str, ...],
    combiner: Any,
    int8: bool,
    limit: int | None,
    threads: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Score BUNDLE on a GLUE task: source in fp32, crossbars clean, and on each die."""
    from rcompile.bundle.reader import Bundle
    from rcompile.cli import show
    from rcompile.cli.show_evaluation import print_evaluation
    from rcompile.hardware.effect_rules import with_effects
    from runtime.die.dies import chosen_dies
    from runtime.scoring.evaluation import evaluate as run

    opened = Bundle.open(bundle)
    effects = with_effects(opened.manifest.target, changes).effects if changes else None
    dies = chosen_dies(opened, sa0, sa1, sum(seeds, ()), maps, effects)
    with progress_bar(quiet or as_json) as progress:
        result = run(
            opened, task, data=data, dies=dies, combiner=combiner, int8=int8, limit=limit, threads=threads, progress=progress,
        )  # fmt: skip
    if as_json:
        click.echo(show.to_json(result))
    else:
        print_evaluation(result, stdout_console())
