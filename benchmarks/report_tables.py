"""The tables of docs/results.md, in Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from report_data import Results
from resampling import F64, interval
from schemes import DENSE, Scheme
from scipy.stats import spearmanr

SPLITS = {
    "qqp": "unofficial (CS224n) split of QQP, train sample of 24,700",
    "mnli": "official validation (matched), train sample of 9,999",
    "qnli": "official validation, train sample of 11,803",
    "wnli": "official; the majority class is what can be learned",
}
MODELS = ("dense fp32", "dense int8", "dense", "pruned fp32", "pruned")
TEMPLATE_RANKING = """
## Does the prediction rank allocations rightly?

{task}, {rate:.1%} faulty cells, {dies} dies: the predicted relative error of a layer's outputs, and the relative error of the logits that was measured
({examples} sentences). Spearman's rank correlation: **{rho:.2f}**.

{table}
"""
TEMPLATE_RIVALS = """
## Rivals, when the die is known

What is published for chips whose stuck cells are known, and what `--die-map` does, step by step (`python benchmarks/rivals.py`): the demo's pruned model, no training, no more crossbars than the dense model, the
same {dies} chips for all. Each field: the relative error of a layer's outputs on {samples} sentences, mean over layers, and SST-2 on {sentences} sentences (fp32 {fp32:.1f}), mean over chips. What cells
hold is put into the model as weights, the rest computed in fp32. The rivals are our reading of their papers: one tensor of weights at a time, offset digits, cells of two bits.

{table}
"""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def percent(rate: float) -> str:
    return f"{100 * rate:g} %"


def with_interval(values: F64) -> str:
    """`0.4 (-0.2 to 1.1)`."""
    low, high = interval(values)
    return f"{values[0]:.1f} ({values[low]:.1f} to {values[high]:.1f})".replace("-0.0", "0.0")


def models_table(results: Results) -> str:
    """Scores without faults, as the lines have them."""
    rows, found = [], []
    for task in results.tasks:
        lines = [task.lines[name, 0.0][0] if (name, 0.0) in task.lines else None for name in MODELS]
        found.append([np.nan if line is None else line["score"] for line in lines])
        plain = lines[-1]
        freed = "" if plain is None else f"{100 * (1 - plain['crossbars'] / task.about['dense']['crossbars']):.1f} %"
        split = SPLITS.get(task.name, "official")
        sentences = str(task.about["sentences"])
        rows.append([task.name, task.task.metric, split, sentences, *map(_score, found[-1]), freed])
    if len(rows) > 1:
        rows.append(["mean", "", "", "", *(_score(float(np.mean(column))) for column in zip(*found, strict=True)), ""])
    return table(
        ["task", "score", "data", "sentences", "dense fp32", "int8 (ONNX Runtime)", "dense, crossbars", "pruned fp32", "pruned, crossbars", "crossbars freed"],
        rows,
    )  # fmt: skip


def _score(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.1f}"


def lost_table(results: Results, schemes: Sequence[Scheme]) -> str:
    """Points lost against the dense model without faults; one table, schemes down, rates across."""
    rates = sorted({rate for scheme in schemes for rate in results.rates(scheme)})
    rows = []
    for scheme in schemes:
        there = [0.0, *results.rates(scheme)]
        if len(there) > 1:
            cells = [with_interval(results.lost(scheme.name, rate)) if rate in there else "" for rate in (0.0, *rates)]
            rows.append([scheme.title, *cells])
    return table(["scheme", "none", *map(percent, rates)], rows)


def cost_table(results: Results, schemes: Sequence[Scheme]) -> str:
    rows = []
    for scheme in schemes:
        if not results.rates(scheme):
            continue
        shares = [results.most(scheme, key) for key in ("crossbars", "cells", "conversions")]
        layer = max(
            line["layer_share"]
            for task in results.tasks
            for (name, _), lines in task.lines.items()
            if name == scheme.name
            for line in lines
        )
        rows.append([scheme.title, *("read back" if s is None else f"{s:.2f}" for s in shares), f"{layer:.2f}"])
    header = (
        "scheme",
        "crossbars",
        "cells that hold weights",
        "conversions a product",
        "crossbars of the widest layer",
    )
    return table(header, rows)


def tolerance_table(results: Results, schemes: Sequence[Scheme]) -> str:
    plain = results.tolerated(DENSE, DENSE.name)
    rows = []
    for scheme in schemes:
        if results.rates(scheme):
            found, own = (results.tolerated(scheme, of) for of in (DENSE.name, scheme.name))
            rows.append(
                [scheme.title, found.text(100, " %"), (found / plain).text(1, "x"), own.text(100, " %")]
                if scheme != DENSE
                else [scheme.title, found.text(100, " %"), "1x", own.text(100, " %")]
            )
    header = ("scheme", "a point below dense", "times dense, unprotected", "a point below itself without faults")
    return table(header, rows)


def per_task_table(results: Results, schemes: Sequence[Scheme], shown: Sequence[tuple[str, float]]) -> str:
    """Points lost by task. shown: schemes by name, with the rate."""
    title = {scheme.name: scheme.title for scheme in schemes}
    alone = {name: results.of(name) for name in results.names}
    clean = [f"{one.mean(DENSE.name, 0.0)[0]:.1f}" for one in alone.values()]
    rows = [["score of dense, no faults", *clean]]
    for name, rate in shown:
        if results.dies(name, rate):
            cells = [with_interval(one.lost(name, rate)) for one in alone.values()]
            rows.append([f"{title[name]}, {percent(rate)}", *cells])
    return table(["points lost", *alone], rows)


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


def rivals(path: Path) -> str:
    """Error and score of every scheme that writes weights around stuck cells; nothing if they were not measured."""
    if not path.exists():
        return ""
    found = json.loads(path.read_text())
    fields: dict[tuple[str, float], list[tuple[float, float]]] = {}
    for row in found["rows"]:
        fields.setdefault((row["scheme"], row["rate"]), []).append((row["outputs"], row["score"]))
    rates = list(dict.fromkeys(rate for _, rate in fields))
    rows = []
    for name in dict.fromkeys(name for name, _ in fields):
        means = [np.mean(fields[name, rate], axis=0) for rate in rates]
        rows.append([name, *(f"{100 * error:.1f} %, {score:.1f}" for error, score in means)])
    return TEMPLATE_RIVALS.format(table=table(["scheme", *map(percent, rates)], rows), **found["what"])
