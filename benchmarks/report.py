"""docs/results.md and its figures, from the lines of docs/results/*.jsonl. Same lines, same bytes.

python benchmarks/report.py
"""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

from digests import data_shown
from report_data import IN_READS, MAIN, SHOWN, Results, both
from report_figures import figures
from report_tables import faults_table, kinds_table, models_table, per_task_table, ranking, tolerance_table

TEMPLATE = """# Results

Made by `make results` from the lines in [docs/results](results) (each with its task, scheme, combiner, target, fault rates, die, score, crossbars and
commit); this page by `python benchmarks/report.py`. Model: `{model}` (6 layers, hidden size 384), fine-tuned per task, then pruned by `rcompile train --keep 0.5`.
Scores are points of GLUE's metric, on the first examples of the validation split, as many as the table says. SA1:SA0 = 9.04:1.75, {dies} dies a point, mean ±
standard deviation over dies of the mean over tasks. Scores under faults are on the first {examples} examples. Images know nothing of the dies; replicas were
allocated for 2 % faulty cells.

## Pruning

{models}

all-MiniLM-L6-v2 lists QQP and MultiNLI among its own training data, so the scores of these two flatter it. Dense starting points are plain baselines.

## Faults

Mean over {count} tasks. All rows have the same pruned models.

{faults}

![mean score against fault rate](figures/results-mean.svg)

The fault rate at which the mean has lost one point against the pruned model without faults (between measured rates by the logarithm):

{tolerance}

### What the hardware decides

In-situ voting depends on how many wordlines are read at once: a replica that is whole over 16 wordlines is easy to find, one that is whole over 128 is not.
Mean over {few}:

{few_faults}

{few_tolerance}

All combiners side by side, on sst2:

{combiners}

One kind of fault alone:

{kinds}

At 1 % faulty cells, task by task:

{tasks}

![score of each task against fault rate](figures/results-tasks.svg)
{ranking}
{data}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("docs/results"))
    parser.add_argument("--out", type=Path, default=Path("docs"))
    args = parser.parse_args()
    results = Results(args.results)
    tasks = [t for t in results.tasks if all(results.mean(s, both(0.01), [t]) for s in MAIN)]
    few = [t for t in tasks if all(results.mean(s, both(0.01), [t]) for s in SHOWN)]
    under_faults = {x["examples"] for x in results.lines if x["die"] is not None}
    files = [*results.files, args.results / "ranking.json"]
    figures(results, tasks, few, args.out / "figures", data_shown(results.files))
    text = TEMPLATE.format(
        model=results.lines[0]["model"],
        dies=max(x["die"] or 0 for x in results.lines),
        examples=" to ".join(map(str, (min(under_faults), max(under_faults)))),
        models=models_table(results),
        count=len(tasks),
        faults=faults_table(results, MAIN, tasks),
        tolerance=tolerance_table(results, MAIN, tasks),
        few=", ".join(few),
        combiners=faults_table(results, SHOWN | IN_READS, ["sst2"]),
        few_faults=faults_table(results, SHOWN, few),
        few_tolerance=tolerance_table(results, SHOWN, few),
        kinds=kinds_table(results, tasks),
        tasks=per_task_table(results, 0.01),
        ranking=ranking(files[-1]),
        data=textwrap.fill(data_shown(files), 150),
    )
    (args.out / "results.md").write_text(text)


if __name__ == "__main__":
    main()
