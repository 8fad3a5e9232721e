"""The figures of docs/results.md. Same lines, same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")

import numpy as np
from matplotlib import pyplot
from report_data import DRAWN, MAIN, SHOWN, UNPROTECTED, Results, Scheme, both

COLORS = dict(
    zip(SHOWN, ("tab:red", "wheat", "tab:orange", "lightgreen", "tab:green", "tab:purple", "tab:blue"), strict=True)
)


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


def figures(results: Results, tasks: Sequence[str], few: Sequence[str], out: Path, shown: str) -> None:
    """shown: what the figures say about their data."""
    matplotlib.rcParams["svg.hashsalt"] = "rcompile"
    out.mkdir(parents=True, exist_ok=True)
    figure, axes = pyplot.subplots(1, 2, figsize=(10.4, 4.4), layout="constrained")
    for axis, schemes, some in ((axes[0], MAIN, tasks), (axes[1], DRAWN, few)):
        curve(axis, results, schemes, some)
        what = f"{len(some)} GLUE tasks" if len(some) > 3 else ", ".join(some)
        axis.set(xlabel="stuck cells, % (SA1:SA0 = 9.04:1.75)", ylabel=f"mean score of {what}")
        axis.legend(fontsize=8, frameon=False, loc="lower left")
    figure.savefig(out / "results-mean.svg", metadata={"Date": None, "Description": shown})
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
    figure.savefig(out / "results-tasks.svg", metadata={"Date": None, "Description": shown})
    pyplot.close(figure)
