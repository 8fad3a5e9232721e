"""What `rcompile campaign` prints."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from rcompile.campaigns.plan import plan
from rcompile.campaigns.run import Campaign
from rcompile.campaigns.store import Line, read_lines
from rcompile.campaigns.study import Study
from rcompile.cli.show import count, table


@dataclass(frozen=True)
class Planned:
    """What a campaign would do. known: runs that its folder holds."""

    runs: int
    known: int
    compiles: int
    points: tuple[str, ...]


def planned(study: Study, folder: Path) -> Planned:
    """The runs of a study, and how many of them are known."""
    asked = plan(study)
    keys = {line["key"] for line in read_lines(folder)}
    points = dict.fromkeys(" ".join(_point(run.about())) for run in asked.runs)
    return Planned(len(asked.runs), sum(run.key in keys for run in asked.runs), len(asked.compiles), tuple(points))


def print_planned(said: Planned, console: Console) -> None:
    """That, for people."""
    console.print("\n".join(said.points), highlight=False)
    console.print(
        f"{count(said.runs)} runs, {count(said.known)} of them known; {count(said.compiles)} models to compile",
        highlight=False,
    )


def print_campaign(found: Campaign, console: Console) -> None:
    """Scores by point, for people."""
    dies: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for line in found.lines:
        dies[(*_point(line), _ailment(line))].append(line["score"])
    rows = table("model", "target", "protect", "combiner", "task", "dies", "n", "score", "sd", "worst", right=frozenset({6, 7, 8, 9}))  # fmt: skip
    for point, scores in dies.items():
        spread = f"{statistics.stdev(scores):.2f}" if len(scores) > 1 else "-"
        rows.add_row(*point, str(len(scores)), f"{statistics.mean(scores):.2f}", spread, f"{min(scores):.2f}")
    console.print(rows)
    if found.missing:
        console.print(f"{count(found.missing)} runs are missing; the same command goes on", highlight=False)


def _point(line: Line) -> tuple[str, ...]:
    """What is common to all dies."""
    target = " ".join([line["target"], *line["changes"]])
    return line["model"], target, line["protect"], line["combiner"] or "as compiled", line["task"]


def _ailment(line: Line) -> str:
    """What ails the dies."""
    die = line["die"]
    if die is None:
        return "clean"
    if "map" in die:
        return str(die["map"])
    return ", ".join([f"SA0 {100 * die['sa0']:.4g} %, SA1 {100 * die['sa1']:.4g} %", *die["effects"]])
