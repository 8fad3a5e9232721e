"""Words: what a summary says in sentences and in cells of tables."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite

from rcompile.report.summary import MAX_LOSS, Panel, Point, Series, Summary
from runtime.statistics.intervals import Interval

LIMIT = "one point" if MAX_LOSS == 1 else f"{MAX_LOSS:g} points"


def heading(summary: Summary) -> str:
    """The outcome of a campaign, of its first panel."""
    if not summary.main:
        return f"{summary.runs} scores without faults"
    return verdict(summary.main[0])


def verdict(panel: Panel) -> str:
    """The outcome: what each way carries, the best first; or the worst point where no two shares can be compared."""
    known = [series for series in panel.series if series.tolerated]
    if known:
        best = sorted(known, key=lambda series: -(series.tolerated.rate if series.tolerated else 0))
        carried = [f"{series.name} {carries(series)}" for series in best]
        carried[0] = f"{best[0].name} carries {carries(best[0])} stuck cells at {LIMIT} of loss"
        return "; ".join([*carried, *_overlap(best)])
    series, point = min(((s, p) for s in panel.series for p in s.points), key=lambda pair: pair[1].score.mean)
    lost = f", {point.loss.mean:.1f} points below the clean score" if point.loss else ""
    return f"at worst, {series.name} scores {point.score.mean:.1f} with {where(point)}{lost}"


def _overlap(best: Sequence[Series]) -> list[str]:
    """A warning where the best is not told apart from the next."""
    first, *others = [series.tolerated for series in best if series.tolerated]
    return ["their intervals overlap"] if any(other.high >= first.low for other in others) else []


def carries(series: Series) -> str:
    """The share of stuck cells that costs MAX_LOSS."""
    assert series.tolerated is not None
    return _share(series, series.tolerated.rate)


def carries_interval(series: Series) -> str:
    """The interval of that share."""
    found = series.tolerated
    if found is None:
        return "needs two shares with two dies each, and a clean score"
    low, high = _share(series, found.low), _share(series, found.high)
    return low if low == high else f"{low} to {high}"


def where(point: Point) -> str:
    """The faults of a point's dies."""
    if point.stuck < 0:
        return "the faults that were measured"
    return f"{percent(point.stuck)} stuck cells" if point.stuck else "effects alone"


def percent(share: float) -> str:
    """A share in percent, to three digits."""
    return f"{100 * share:.3g} %"


def span(found: Interval | None) -> str:
    """An interval, in points."""
    if found is None or not isfinite(found.low):
        return "-"
    return f"{found.low:.2f} to {found.high:.2f}"


def series_words(series: Series) -> str:
    """A line of a figure for those who do not see it."""
    if not series.curve:
        return ""
    first, last = series.curve[0], series.curve[-1]
    text = f"{series.name}: {first.score.mean:.1f} at {percent(first.stuck)}"
    return text if first is last else f"{text}, {last.score.mean:.1f} at {percent(last.stuck)}"


def panel_words(panel: Panel) -> str:
    """A figure for those who do not see it."""
    lines = "; ".join(filter(None, map(series_words, panel.series)))
    return f"Mean score against the share of stuck cells, {panel.title}. {lines}."


def _share(series: Series, rate: float) -> str:
    """A share; beyond those that were measured nothing is known."""
    measured = [p.stuck for p in series.curve if p.dies > 1]
    if rate == 0:
        return f"less than {100 * measured[0]:.2g} %"
    return f"more than {100 * measured[-1]:.2g} %" if rate == inf else f"{100 * rate:.2g} %"
