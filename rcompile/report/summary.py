"""Summary: from the lines of a campaign to what is shown. All statistics are here; the die is what is drawn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import stdev

from rcompile.report.curves import (
    Cleans,
    Setting,
    Value,
    Way,
    clean_of,
    clean_over_tasks,
    clean_scores,
    names_of,
    over_tasks,
    values_of,
)
from rcompile.report.lines import Results, Scored
from runtime.statistics.intervals import Interval, interval, paired
from runtime.statistics.tolerated import Tolerated, tolerated_rate

MAX_LOSS = 1.0  # points
MOST_DIES = 10  # of the worst ones


@dataclass(frozen=True, eq=False)
class Point:
    """The dies of one way at one share of stuck cells. stuck: the share asked, 0 for other effects alone, -1 of
    measured dies. score, loss: means over dies in points; loss is None without a clean score, sd with one die.
    """

    stuck: float
    dies: int
    score: Interval
    loss: Interval | None
    sd: float | None
    worst: Value


@dataclass(frozen=True)
class Series:
    """One way over all shares, rising. clean: the score that its losses count from. tolerated: the share of stuck cells
    that costs MAX_LOSS; None unless two shares have two dies each.
    """

    name: str
    clean: float | None
    points: tuple[Point, ...]
    tolerated: Tolerated | None

    @property
    def curve(self) -> tuple[Point, ...]:
        """The points that have a place on an axis of shares."""
        return tuple(point for point in self.points if point.stuck > 0)


@dataclass(frozen=True)
class Panel:
    """What is compared with each other."""

    title: str
    series: tuple[Series, ...]

    @property
    def drawn(self) -> bool:
        """Whether there is something to draw."""
        return any(series.curve for series in self.series)


@dataclass(frozen=True)
class Summary:
    """What a report shows. main: a panel for each model and target, over all tasks; tasks: for each task, if there are
    several. worst: the dies furthest below the mean of theirs. sources: a run of each model or bundle.
    """

    runs: int
    cut: bool
    metric: str
    main: tuple[Panel, ...]
    tasks: tuple[Panel, ...]
    worst: tuple[Point, ...]
    sources: tuple[Scored, ...]
    data: tuple[Scored, ...]
    versions: tuple[str, ...]


def summarize(results: Results) -> Summary:
    """What a report shows of these results."""
    runs = results.runs
    values, cleans = values_of(runs), clean_scores(runs)
    several = len({run.task for run in runs}) > 1
    means = over_tasks(values) if several else []
    names = names_of(sorted({value.way for value in values}, key=str))
    panels = _panels(values, cleans, names)
    points = [point for panel in panels for series in panel.series for point in series.points]
    return Summary(
        runs=len(runs),
        cut=results.cut,
        metric=", ".join(sorted({run.metric for run in runs})),
        main=_panels(means, clean_over_tasks(cleans), names) if several else panels,
        tasks=panels if several else (),
        worst=tuple(sorted(points, key=lambda p: (p.worst.score - p.score.mean, str(p.worst)))[:MOST_DIES]),
        sources=tuple({run.source_sha256: run for run in runs}.values()),
        data=tuple({(run.task, run.data_sha256): run for run in runs}.values()),
        versions=tuple(sorted({run.version for run in runs})),
    )


def _panels(values: Sequence[Value], cleans: Cleans, names: dict[Way, str]) -> tuple[Panel, ...]:
    grouped: dict[Setting, dict[Way, list[Value]]] = defaultdict(lambda: defaultdict(list))
    for value in values:
        grouped[value.setting][value.way].append(value)
    titles = _titles(list(grouped))
    panels = []
    for setting, ways in sorted(grouped.items(), key=lambda item: str(item[0])):
        clean = cleans.get(setting, {})
        ordered = sorted(ways, key=lambda way: (way.place, names[way]))
        series = (_series(names[way], ways[way], clean_of(clean, way)) for way in ordered)
        panels.append(Panel(titles[setting], tuple(series)))
    return tuple(panels)


def _titles(settings: Sequence[Setting]) -> dict[Setting, str]:
    """Model, target and task of each, and of the rest what they differ in."""
    titles = {}
    for setting in settings:
        differs = [
            word
            for i, word in enumerate(setting.rest)
            if len({s.rest[i] for s in settings if s.task == setting.task}) > 1
        ]
        titles[setting] = ", ".join([f"{setting.model or 'bundles'} on {setting.hardware}", setting.task, *differs])
    return titles


def _series(name: str, values: Sequence[Value], clean: float | None) -> Series:
    at: dict[float, list[Value]] = defaultdict(list)
    for value in values:
        at[value.stuck].append(value)
    points = tuple(_point(stuck, at[stuck], clean) for stuck in sorted(at))
    return Series(name, clean, points, _tolerated(points))


def _point(stuck: float, values: Sequence[Value], clean: float | None) -> Point:
    scores = [value.score for value in values]
    return Point(
        stuck=stuck,
        dies=len(scores),
        score=interval(scores),
        loss=None if clean is None else paired(scores, clean),
        sd=stdev(scores) if len(scores) > 1 else None,
        worst=min(values, key=lambda value: (value.score, value.die)),
    )


def _tolerated(points: Sequence[Point]) -> Tolerated | None:
    """Of the shares with two dies or more: one alone says nothing of others."""
    known = [(p.stuck, p.loss) for p in points if p.stuck > 0 and p.loss and isfinite(p.loss.low)]
    if len(known) < 2:
        return None
    return tolerated_rate([stuck for stuck, _ in known], [loss for _, loss in known], MAX_LOSS)
