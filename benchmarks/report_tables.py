"""The tables of docs/results.md, in Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from report_data import IN_READS, MAIN, SHOWN, UNPROTECTED, Results, Scheme, both, one, tolerated
from scipy.stats import spearmanr

SPLITS = {
    "qqp": "unofficial (CS224n) split of QQP, train sample of 24,700",
    "mnli": "official validation (matched), train sample of 9,999",
    "qnli": "official validation, train sample of 11,803",
    "wnli": "official; the majority class is what can be learned",
}
TEMPLATE_RANKING = """
## Does the prediction rank allocations rightly?

{task}, {rate:.1%} faulty cells, {dies} dies: the predicted relative error of a layer's outputs, and the relative error of the logits that was measured
({examples} sentences). Spearman's rank correlation: **{rho:.2f}**.

{table}
"""


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


def ranking(path: Path) -> str:
    """Predicted against measured error over a spread of allocations."""
    found = json.loads(path.read_text())
    rows = [
        [r["name"], r["combiner"], f"{100 * r['predicted'] ** 0.5:.1f} %", f"{100 * r['measured'] ** 0.5:.1f} %"]
        for r in found["rows"]
    ]
    rho = spearmanr([r["predicted"] for r in found["rows"]], [r["measured"] for r in found["rows"]]).statistic
    return TEMPLATE_RANKING.format(
        rho=rho, table=table(["allocation", "combiner", "predicted", "measured"], rows), **found["what"]
    )
