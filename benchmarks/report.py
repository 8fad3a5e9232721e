"""docs/results.md and its figures, from the lines of docs/results/*.jsonl. Same lines, same bytes.

python benchmarks/report.py
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")

import numpy as np
from matplotlib import pyplot

TASKS = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli")
SPLITS = {
    "qqp": "unofficial (CS224n) split of QQP, train sample of 24,700",
    "mnli": "official validation (matched), train sample of 9,999",
    "qnli": "official validation, train sample of 11,803",
    "wnli": "official; the majority class is what can be learned",
}
Line = dict[str, Any]
Scheme = tuple[str, str, str]
SHOWN: dict[Scheme, str] = {
    ("none", "none", "reram128x128"): "unprotected",
    ("paper", "select", "reram128x128"): "paper, in situ (`select`, 128-row reads)",
    ("auto", "select", "reram128x128"): "auto, in situ (`select`, 128-row reads)",
    ("paper", "select", "reram128x128-ou16"): "paper, in situ (`select`, 16-row reads)",
    ("auto", "select", "reram128x128-ou16"): "auto, in situ (`select`, 16-row reads)",
    ("paper", "cell", "reram128x128-storage"): "paper, storage (`cell`)",
    ("auto", "cell", "reram128x128-storage"): "auto, storage (`cell`)",
}
UNPROTECTED = ("none", "none", "reram128x128")
IN_READS: dict[Scheme, str] = {
    ("auto", "median", "reram128x128"): "auto, in situ (`median` of the codes, 128-row reads)",
    ("auto", "mean", "reram128x128"): "auto, in situ (`mean` of the codes, 128-row reads)",
}
# On all tasks; the others on a few.
MAIN = [s for s in SHOWN if s[1] != "select" or s == ("auto", "select", "reram128x128")]
DRAWN = [s for s in SHOWN if s[:2] != ("paper", "select")]
COLORS = dict(
    zip(SHOWN, ("tab:red", "wheat", "tab:orange", "lightgreen", "tab:green", "tab:purple", "tab:blue"), strict=True)
)


class Results:
    """The lines, looked up by what they are about."""

    def __init__(self, folder: Path) -> None:
        lines = [json.loads(text) for path in sorted(folder.glob("*.jsonl")) for text in path.read_text().splitlines()]
        self.lines: list[Line] = [line for line in lines if line["task"] in TASKS]
        self.tasks = [t for t in TASKS if any(line["task"] == t for line in self.lines)]

    def clean(self, task: str, scheme: str) -> Line | None:
        return next((x for x in self.lines if x["task"] == task and x["scheme"] == scheme and x["die"] is None), None)

    def score(self, task: str, scheme: str) -> float | None:
        line = self.clean(task, scheme)
        return None if line is None else line["score"]

    def dies(self, scheme: Scheme, fits: Callable[[Line], bool], tasks: Iterable[str]) -> dict[int, list[float]]:
        """Scores by die, one of each task."""
        found: dict[int, list[float]] = defaultdict(list)
        for x in self.lines:
            if (
                x["die"] is not None
                and (x["scheme"], x["combiner"], x["target"]) == scheme
                and x["task"] in tasks
                and fits(x)
            ):
                found[x["die"]].append(x["score"])
        return found

    def mean(self, scheme: Scheme, fits: Callable[[Line], bool], tasks: Sequence[str]) -> tuple[float, float] | None:
        """Mean over tasks and dies, and the standard deviation over dies of the mean over tasks; None if lines are missing."""
        found = self.dies(scheme, fits, tasks)
        averages = [np.mean(v) for v in found.values() if len(v) == len(tasks)]
        return (float(np.mean(averages)), float(np.std(averages, ddof=1))) if len(averages) > 1 else None

    def rates(self) -> list[float]:
        return sorted({round(x["sa0"] + x["sa1"], 10) for x in self.lines if x["sa0"] and x["sa1"]})

    def without_faults(self, scheme: Scheme, tasks: Sequence[str]) -> float | None:
        rows = [
            x["score"]
            for x in self.lines
            if x["die"] is None and (x["scheme"], x["combiner"], x["target"]) == scheme and x["task"] in tasks
        ]
        return float(np.mean(rows)) if len(rows) == len(tasks) else None


def both(rate: float) -> Callable[[Line], bool]:
    return lambda x: bool(x["sa0"] and x["sa1"]) and abs(x["sa0"] + x["sa1"] - rate) < 1e-9


def one(kind: str, rate: float) -> Callable[[Line], bool]:
    other = {"sa0": "sa1", "sa1": "sa0"}[kind]
    return lambda x: x[other] == 0 and abs(x[kind] - rate) < 1e-9


def tolerated(results: Results, scheme: Scheme, tasks: Sequence[str], loss: float = 1.0) -> tuple[float, bool] | None:
    """The fault rate at which the mean score is `loss` below the unprotected pruned model's without faults, between measured rates by the
    logarithm; and whether it was reached at all (False: the highest measured rate still holds).
    """
    clean = results.without_faults(UNPROTECTED, tasks)
    points = [(r, m[0]) for r in results.rates() if (m := results.mean(scheme, both(r), tasks))]
    if clean is None or not points:
        return None
    below = next((i for i, (_, score) in enumerate(points) if score < clean - loss), None)
    if below is None:
        return points[-1][0], False
    if below == 0:
        return points[0][0], True
    (r0, s0), (r1, s1) = points[below - 1], points[below]
    share = (s0 - (clean - loss)) / (s0 - s1)
    return float(np.exp(np.log(r0) + share * (np.log(r1) - np.log(r0)))), True


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def models_table(results: Results) -> str:
    rows = []
    losses = []
    for task in results.tasks:
        dense, pruned = results.score(task, "dense fp32"), results.score(task, "pruned fp32")
        plain = results.clean(task, "pruned")
        if dense is None or pruned is None or plain is None:
            continue
        losses.append((dense, results.score(task, "dense int8"), results.score(task, "dense"), pruned, plain["score"]))
        share = plain["crossbars"] / plain["crossbars_dense"]
        split = SPLITS.get(task, "official")
        rows.append(
            [
                task,
                plain["metric"],
                split,
                str(plain["examples"]),
                *map(number, losses[-1]),
                f"{100 * (1 - share):.1f} %",
            ]
        )
    rows.append(["mean", "", "", "", *(number(float(np.mean(c))) for c in zip(*losses, strict=True)), ""])
    return table(
        ["task", "score", "data", "examples", "dense fp32", "int8 (ONNX Runtime)", "dense crossbars", "pruned fp32", "pruned crossbars", "crossbars freed"],
        rows,
    )  # fmt: skip


def faults_table(results: Results, schemes: Iterable[Scheme], tasks: Sequence[str]) -> str:
    rows = []
    for scheme in schemes:
        name = (SHOWN | IN_READS)[scheme]
        cells = [results.mean(scheme, both(rate), tasks) for rate in results.rates()]
        if any(cells):
            clean = results.without_faults(scheme, tasks)
            rows.append([name, number(clean), *("" if c is None else f"{c[0]:.1f} ± {c[1]:.1f}" for c in cells)])
    return table(["scheme", "no faults", *(f"{100 * r:g} %" for r in results.rates())], rows)


def tolerance_table(results: Results, schemes: Iterable[Scheme], tasks: Sequence[str]) -> str:
    plain = tolerated(results, UNPROTECTED, tasks)
    assert plain is not None
    rows = []
    for scheme in schemes:
        name = SHOWN[scheme]
        found = tolerated(results, scheme, tasks)
        crossbars = [
            x
            for x in results.lines
            if (x["scheme"], x["combiner"], x["target"]) == scheme and x["die"] is None and x["task"] in tasks
        ]
        if found is None or not crossbars:
            continue
        sign = "" if found[1] else "over "
        used = sum(x["crossbars"] for x in crossbars) / sum(x["crossbars_dense"] for x in crossbars)
        rows.append([name, f"{100 * used:.0f} %", f"{sign}{100 * found[0]:.2f} %", f"{sign}{found[0] / plain[0]:.1f}x"])
    return table(["scheme", "crossbars of dense", "faulty cells at 1 point of loss", "times unprotected"], rows)


def kinds_table(results: Results, tasks: Sequence[str]) -> str:
    rows = []
    for scheme in MAIN:
        name = SHOWN[scheme]
        cells = [results.mean(scheme, one(kind, rate), tasks) for kind in ("sa0", "sa1") for rate in (0.001, 0.01)]
        if any(cells):
            rows.append([name, *("" if c is None else f"{c[0]:.1f} ± {c[1]:.1f}" for c in cells)])
    return table(["scheme", "SA0 0.1 %", "SA0 1 %", "SA1 0.1 %", "SA1 1 %"], rows)


def per_task_table(results: Results, rate: float) -> str:
    rows = []
    for task in results.tasks:
        cells = [results.mean(scheme, both(rate), [task]) for scheme in MAIN]
        clean = results.without_faults(UNPROTECTED, [task])
        rows.append([task, number(clean), *("" if c is None else f"{c[0]:.1f} ± {c[1]:.1f}" for c in cells)])
    return table(["task", "pruned, no faults", *(SHOWN[s] for s in MAIN)], rows)


def curve(axis: Any, results: Results, schemes: Iterable[Scheme], tasks: Sequence[str]) -> None:
    for scheme in schemes:
        points = [(r, *m) for r in results.rates() if (m := results.mean(scheme, both(r), tasks))]
        if points:
            rate, score, spread = np.array(points).T
            axis.errorbar(
                100 * rate,
                score,
                spread,
                label=SHOWN[scheme].replace("`", ""),
                color=COLORS[scheme],
                marker="o",
                markersize=3,
                capsize=2,
                linewidth=1.3,
            )
    clean = results.without_faults(UNPROTECTED, tasks)
    if clean is not None:
        axis.axhline(clean, color="grey", linewidth=0.8, linestyle=":")
    axis.set_xscale("log")
    percent = [100 * r for r in results.rates()]
    axis.set_xticks(percent, [f"{p:g}" for p in percent])
    axis.minorticks_off()
    axis.grid(alpha=0.3)


def figures(results: Results, tasks: Sequence[str], few: Sequence[str], out: Path) -> None:
    matplotlib.rcParams["svg.hashsalt"] = "rcompile"
    out.mkdir(parents=True, exist_ok=True)
    figure, axes = pyplot.subplots(1, 2, figsize=(10.4, 4.4), layout="constrained")
    for axis, schemes, some in ((axes[0], MAIN, tasks), (axes[1], DRAWN, few)):
        curve(axis, results, schemes, some)
        what = f"{len(some)} GLUE tasks" if len(some) > 3 else ", ".join(some)
        axis.set(xlabel="stuck cells, % (SA1:SA0 = 9.04:1.75)", ylabel=f"mean score of {what}")
        axis.legend(fontsize=8, frameon=False, loc="lower left")
    figure.savefig(out / "results-mean.svg", metadata={"Date": None})
    pyplot.close(figure)
    figure, axes = pyplot.subplots(3, 3, figsize=(9.6, 7.6), layout="constrained", sharex=True)
    for axis, task in zip(axes.flat, results.tasks, strict=False):
        curve(axis, results, DRAWN, [task])
        axis.set_title(task, fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("stuck cells, %", fontsize=9)
    figure.supylabel("score, points", fontsize=9)
    handles, labels = axes.flat[results.tasks.index(few[0])].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    figure.savefig(out / "results-tasks.svg", metadata={"Date": None})
    pyplot.close(figure)


def ranking(folder: Path) -> str:
    """Predicted against measured error over a spread of allocations, if it was run."""
    path = folder / "ranking.json"
    if not path.exists():
        return ""
    from scipy.stats import spearmanr

    found = json.loads(path.read_text())
    rows = [
        [r["name"], r["combiner"], f"{100 * r['predicted'] ** 0.5:.1f} %", f"{100 * r['measured'] ** 0.5:.1f} %"]
        for r in found["rows"]
    ]
    rho = spearmanr([r["predicted"] for r in found["rows"]], [r["measured"] for r in found["rows"]]).statistic
    text = TEMPLATE_RANKING.format(
        rho=rho, table=table(["allocation", "combiner", "predicted", "measured"], rows), **found["what"]
    )
    return text


TEMPLATE_RANKING = """
## Does the prediction rank allocations rightly?

{task}, {rate:.1%} faulty cells, {dies} dies: the predicted relative error of a layer's outputs, and the relative error of the logits that was measured
({examples} sentences). Spearman's rank correlation: **{rho:.2f}**.

{table}
"""

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
{ranking}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("docs/results"))
    parser.add_argument("--out", type=Path, default=Path("docs"))
    args = parser.parse_args()
    results = Results(args.results)
    tasks = [t for t in results.tasks if all(results.mean(s, both(0.01), [t]) for s in MAIN)]
    few = [t for t in tasks if all(results.mean(s, both(0.01), [t]) for s in SHOWN)]
    under_faults = {x["examples"] for x in results.lines if x["die"] is not None}
    figures(results, tasks, few, args.out / "figures")
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
        ranking=ranking(args.results),
    )
    (args.out / "results.md").write_text(text)


if __name__ == "__main__":
    main()
