"""docs/results.md and its figures, from the lines of docs/results/*.jsonl. Same lines, same bytes.

python benchmarks/report.py
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from pathlib import Path

from digests import data_shown
from report_data import TASKS, Results
from report_figures import figures
from report_tables import cost_table, lost_table, models_table, per_task_table, ranking, rivals, tolerance_table
from schemes import GIVEN, SCHEMES

TEMPLATE = """# Results

Made by `make results` from the lines in [docs/results](results): what every die answered to every sentence, by scheme and share of stuck cells; this page by
`python benchmarks/report.py`. Model: `{model}` (6 layers, hidden size 384), fine-tuned per task, then pruned by `rcompile train --keep 0.5`.

One yardstick for all: the *dense* model, unprotected, on the same crossbars without faults. Points are of GLUE's metrics, on the same first {sentences} sentences of each task's
validation split for all schemes (without faults up to 1,000, where a table says so). SA1:SA0 = 9.04:1.75. {dies} dies a point, of a known die {known_dies}. Intervals are 95 % of a
bootstrap over dies and over sentences, the same ones in all schemes and rates; tasks are not drawn. Every scheme is what the plain command makes: `--protect paper` or `auto`, without rates, on
`reram128x128`, its `-ou16` (16 wordlines a read) and its `-storage` (cells read back one by one); *known die*: `--die-map` with the map of each die at each rate, of a chip that has as many crossbars as the dense model takes.

## Without faults

{models}

all-MiniLM-L6-v2 lists QQP and MultiNLI among its own training data, so the scores of these two flatter it. Dense starting points are plain baselines.

## Faults

Points lost against the dense model without faults, mean over {count}, with the interval; "none": what pruning and crossbars cost without faults.

{lost}

![points lost against the dense model, by share of stuck cells](figures/results-mean.svg)

The share of stuck cells at which the mean has lost one point, between measured rates by the logarithm; "over", "under": beyond all measured rates. Pruned models that score better than the dense ones
without faults ("none" below zero: learning from a teacher helps where data are few) have that much more to lose in the first column; the last one counts from each scheme's own score.

{tolerance}

What they take, relative to the dense model (at their most among rates and tasks; a known die at the rate where it takes most). Conversions are those of ADCs, of one input plane through all
layers; those of 16-row reads have 6 bits, all others 8. Crossbars are budgeted in total: a layer may take more than it does dense.

{cost}

Task by task:

{tasks}

![points lost by each task, by share of stuck cells](figures/results-tasks.svg)
{given}{rivals}{ranking}
{data}
"""
GIVEN_TEMPLATE = """
## {model}, {task}

A model that is given, fine-tuned elsewhere, on the first {sentences} sentences under faults.

{models}

{lost}

{cost}
"""
PER_TASK = (*((scheme.name, 0.01) for scheme in SCHEMES), ("known-die", 0.25), ("known-die", 0.35))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("docs/results"))
    parser.add_argument("--ranking", type=Path, default=Path("docs/results/ranking.json"))
    parser.add_argument("--rivals", type=Path, default=Path("docs/results/rivals.json"))
    parser.add_argument("--out", type=Path, default=Path("docs"))
    args = parser.parse_args()
    files = [path for task in TASKS if (path := args.results / f"{task}.jsonl").exists()]
    others = sorted(path for task in TASKS for path in args.results.glob(f"*-{task}.jsonl"))
    results = Results(files)
    figures(results, SCHEMES, args.out / "figures", data_shown(files))
    text = TEMPLATE.format(
        model=results.tasks[0].about["model"],
        sentences=sentences(results),
        dies=results.dies("dense", 0.001),
        known_dies=results.dies("known-die", 0.25),
        models=models_table(results),
        count=f"{len(files)} task{'s'[: len(files) > 1]}",
        lost=lost_table(results, SCHEMES),
        tolerance=tolerance_table(results, SCHEMES),
        cost=cost_table(results, SCHEMES),
        tasks=per_task_table(results, SCHEMES, PER_TASK),
        given=given_sections(others),
        rivals=rivals(args.rivals),
        ranking=ranking(args.ranking),
        data=textwrap.fill(data_shown([*files, *others, *(p for p in (args.rivals, args.ranking) if p.exists())]), 150),
    )
    (args.out / "results.md").write_text(text)


def sentences(results: Results) -> str:
    found = sorted({task.sentences for task in results.tasks})
    return str(found[0]) if len(found) == 1 else f"{found[-1]} ({found[0]} at least)"


def given_sections(files: Sequence[Path]) -> str:
    sections = []
    for path in files:
        results = Results([path])
        sections.append(
            GIVEN_TEMPLATE.format(
                model=results.tasks[0].about["model"],
                task=results.tasks[0].name,
                sentences=results.tasks[0].sentences,
                models=models_table(results),
                lost=lost_table(results, GIVEN),
                cost=cost_table(results, GIVEN),
            )
        )
    return "".join(sections)


if __name__ == "__main__":
    main()
