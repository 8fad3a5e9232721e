"""docs/figures/effects.svg: what each effect costs, at every strength. Same lines, same bytes."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import matplotlib

matplotlib.use("svg")

from effects_cases import CASES, CELLS, DIGITAL, LEAKLESS, READS, STUCK, Case
from effects_scores import CLEAN, Scores
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

COLORS = {CELLS: "tab:red", READS: "tab:purple", STUCK: "tab:blue", DIGITAL: "tab:green", LEAKLESS: "tab:brown"}
PANELS = ((CELLS, READS), (STUCK, DIGITAL, LEAKLESS))
# In rows: between effects, and for a group's name.
GAP, HEADING = 0.6, 1.6


def draw(scores: Scores, path: Path, shown: str) -> None:
    """shown: what the figure says of its data."""
    matplotlib.rcParams["svg.hashsalt"] = "rcompile"
    figure, panels = pyplot.subplots(1, 2, figsize=(12.5, 9.0), layout="constrained", sharex=True)
    by_panel = [[[case for case in CASES if case.group == group] for group in groups] for groups in PANELS]
    rows = max(_panel(axes, groups, scores) for axes, groups in zip(panels, by_panel, strict=True))
    for axes in panels:
        clean, majority = scores.score(CLEAN).value, scores.majority
        axes.axvline(clean, color="grey", linestyle=":", linewidth=1)
        axes.axvline(majority, color="grey", linestyle="--", linewidth=0.8)
        axes.text(clean, 0, f"clean {clean:.1f}", ha="center", va="bottom", fontsize=8, color="dimgrey")
        axes.text(
            majority, 0, f"always the same answer {majority:.1f}", ha="center", va="bottom", fontsize=8, color="dimgrey"
        )
        axes.set(xlabel="accuracy, points", ylim=(1.02 * rows, 0))
    figure.legend(handles=_legend(), loc="outside lower center", ncols=3, frameon=False, fontsize=8.5)
    figure.savefig(path, metadata={"Date": None, "Description": shown})
    pyplot.close(figure)


def _panel(axes: Axes, groups: list[list[Case]], scores: Scores) -> float:
    """A row a strength, groups one below the other; how many rows they take."""
    ticks: list[tuple[float, str]] = []
    y = 0.0
    left = axes.get_yaxis_transform()
    for cases in groups:
        y += HEADING
        axes.text(
            -0.2,
            y,
            cases[0].group,
            transform=left,
            ha="right",
            color=COLORS[cases[0].group],
            weight="bold",
            va="center",
        )
        y += 1
        for effect, strengths in groupby(cases, lambda case: case.effect):
            start = y
            axes.text(-0.2, y, effect, transform=left, ha="right", va="center", fontsize=8.5)
            for case in strengths:
                _row(axes, y, case, scores)
                ticks.append((y, case.strength))
                y += 1
            axes.axhspan(start - 0.5, y - 0.5, color="black", alpha=0.04, linewidth=0)
            y += GAP
    axes.set_yticks([at for at, _ in ticks], [name for _, name in ticks], fontsize=7.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return y


def _row(axes: Axes, y: float, case: Case, scores: Scores) -> None:
    clean, change, color = scores.score(CLEAN).value, scores.change(case.options), COLORS[case.group]
    axes.plot(
        [clean + change.low, clean + change.high], [y, y], color=color, linewidth=2.2, alpha=0.4, solid_capstyle="butt"
    )
    face = color if case.default else "white"
    axes.plot(clean + change.value, y, "o", color=color, markerfacecolor=face, markersize=4.5)


def _legend() -> list[Line2D]:
    return [
        Line2D([], [], color="black", marker="o", linestyle="", markersize=4.5, label="the effect's default strength"),
        Line2D(
            [],
            [],
            color="black",
            marker="o",
            markerfacecolor="white",
            linestyle="",
            markersize=4.5,
            label="another strength",
        ),
        Line2D(
            [], [], color="black", alpha=0.4, linewidth=2.2, label="95 % interval of the difference to clean crossbars"
        ),
    ]
