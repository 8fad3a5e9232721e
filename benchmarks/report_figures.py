"""The figures of docs/results.md. Same lines, same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")

import numpy as np
from matplotlib import pyplot
from report_data import Results
from resampling import interval
from schemes import SCHEMES, Scheme

COLORS = dict(
    zip(
        (scheme.name for scheme in SCHEMES),
        ("black", "tab:red", "tab:brown", "tab:orange", "tab:green", "tab:cyan", "tab:blue", "tab:purple"),
        strict=True,
    )
)
MOST_LOST = 20  # what is worse is off the figure


def curves(axis: Any, results: Results, schemes: Sequence[Scheme], band: bool) -> None:
    """Points lost by rate, with the 95 % interval."""
    for scheme in schemes:
        rates = results.rates(scheme)
        if not rates:
            continue
        lost = [results.lost(scheme.name, rate) for rate in rates]
        percent, style = 100 * np.array(rates), {"color": COLORS[scheme.name]}
        axis.plot(percent, [x[0] for x in lost], label=scheme.title, marker="o", markersize=3, linewidth=1.3, **style)
        if band:
            low, high = zip(*(x[list(interval(x))] for x in lost), strict=True)
            axis.fill_between(percent, low, high, alpha=0.15, linewidth=0, **style)
    axis.axhline(0, color="grey", linewidth=0.8, linestyle=":")
    axis.set_xscale("log")
    ticks = (0.01, 0.1, 1, 10) if not band else (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 40)
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    axis.set_xlim(0.008, 50)
    axis.grid(alpha=0.3)


def figures(results: Results, schemes: Sequence[Scheme], out: Path, shown: str) -> None:
    """shown: what the figures say about their data."""
    matplotlib.rcParams["svg.hashsalt"] = "rcompile"
    out.mkdir(parents=True, exist_ok=True)
    about = {"Date": None, "Description": shown}
    figure, axis = pyplot.subplots(figsize=(9.6, 4.6), layout="constrained")
    curves(axis, results, schemes, band=True)
    axis.set_ylim(MOST_LOST, -2)
    axis.set_yticks((0, 1, 5, 10, 15, MOST_LOST))
    axis.set(
        xlabel="stuck cells, % (SA1:SA0 = 9.04:1.75)",
        ylabel=f"points lost against the dense model,\nmean of {len(results.tasks)} GLUE task{'s'[: len(results.tasks) > 1]}",
    )
    axis.axhline(1, color="grey", linewidth=0.8, linestyle="--")
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    figure.savefig(out / "results-mean.svg", metadata=about)
    pyplot.close(figure)
    figure, axes = pyplot.subplots(3, 3, figsize=(9.6, 7.6), layout="constrained", sharex=True)
    for axis, task in zip(axes.flat, results.tasks, strict=False):
        curves(axis, results.of(task.name), schemes, band=False)
        axis.invert_yaxis()
        axis.set_title(task.name, fontsize=9)
    for axis in list(axes.flat)[len(results.tasks) :]:
        axis.set_axis_off()
    for axis in axes[-1]:
        axis.set_xlabel("stuck cells, %", fontsize=9)
    figure.supylabel("points lost against the dense model", fontsize=9)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    figure.savefig(out / "results-tasks.svg", metadata=about)
    pyplot.close(figure)
