"""Figures: SVG that takes its colours from the page, dark or light, and that hides and shows nothing by colour alone.

matplotlib draws; what it writes for a file of its own is cut, and colours become the page's.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from html import escape
from math import isfinite, log
from typing import Any

import numpy as np

from rcompile.errors import UsageError
from rcompile.hardware.faults import Fault
from rcompile.report.bundles import Tile
from rcompile.report.summary import Panel, Point
from rcompile.report.words import percent

# What stands for each colour of the page until the SVG is written.
COLOURS = {
    "#0072b2": "var(--series-0)", "#c04b00": "var(--series-1)", "#007a5a": "var(--series-2)", "#a8407f": "var(--series-3)",
    "#8a6500": "var(--series-4)", "#4b4b4b": "var(--series-5)", "#767676": "var(--axis)", "#dddddd": "var(--grid)",
}  # fmt: skip
SERIES, AXIS, GRID = list(COLOURS)[:6], "#767676", "#dddddd"
MARKERS, DASHES = "osD^vPX", ["-", "--", "-.", (0, (5, 1, 1, 1, 1, 1))]
WIDE, NARROW, SMALL = (8.6, 4.2), (4.2, 4.6), (4.2, 3.1)  # inches, of 72 units of the SVG each
WRAP = 44  # characters of a legend's line
CHARACTERS = 13  # of an inch
MOST_MARKERS = 25
KINDS = {"good": "#ececec", "SA0": "#d55e00", "SA1": "#1f4e9c", "stuck between": "#7b2d8b"}


def curves(panel: Panel, size: tuple[float, float], links: Mapping[Point, str] | None = None) -> str:
    """Mean score against the share of stuck cells: a line a way, a band its interval. links: where each point leads.
    Raises UsageError without matplotlib.
    """
    with _style(f"{panel.title} {size}"):
        figure = _figure(size)
        axes = figure.subplots()
        handles = [_line(axes, n, series.curve, links or {}) for n, series in enumerate(panel.series) if series.curve]
        names = [textwrap.fill(series.name, WRAP) for series in panel.series if series.curve]
        handles += _clean_lines(axes, panel)
        names += ["without faults"] * (len(handles) - len(names))
        _axes(axes, panel, round(size[0]))
        figure.legend(handles, names, loc="outside upper left", ncols=_columns(names, size))
        return _svg(figure, {link: _said(point) for point, link in (links or {}).items()})


def tile_images(tile: Tile) -> str:
    """The levels of a tile as given and as held, and what its cells are stuck at."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    kinds = np.select([tile.faults == Fault.GOOD, tile.faults == Fault.SA0, tile.faults == Fault.SA1], [0, 1, 2], 3)
    with _style(tile.address):
        figure = _figure((8.6, 3.4))
        panels = figure.subplots(1, 3, sharey=True)
        for axes, levels, title in ((panels[0], tile.levels, "as programmed"), (panels[1], tile.held, "on this die")):
            image = axes.imshow(levels, cmap="viridis", interpolation="none", vmin=0, vmax=tile.top_level)
            axes.set(title=title, xlabel="bitline")
            axes.grid(False)
        figure.colorbar(image, ax=panels[:2], label="level", ticks=range(tile.top_level + 1), shrink=0.8)
        panels[2].imshow(kinds, cmap=ListedColormap(list(KINDS.values())), interpolation="none", vmin=0, vmax=3)
        panels[2].set(title="stuck cells", xlabel="bitline")
        panels[2].grid(False)
        counts = {name: int((kinds == kind).sum()) for kind, name in enumerate(KINDS)}
        shown = [name for name in list(KINDS)[1:] if counts[name]]
        swatches = [Patch(color=KINDS[name]) for name in shown]
        figure.legend(
            swatches, [f"{name}: {counts[name]:,} cells" for name in shown], loc="outside upper right", ncols=3
        )
        panels[0].set_ylabel("wordline")
        return _svg(figure, {})


def _line(axes: Any, number: int, points: Sequence[Point], links: Mapping[Point, str]) -> Any:
    """A line, its band and its markers; gives the handle for the legend."""
    from matplotlib.lines import Line2D

    looks: dict[str, Any] = {
        "color": SERIES[number % len(SERIES)],
        "linestyle": DASHES[number % len(DASHES)],
        "linewidth": 1.8,
    }
    marker: dict[str, Any] = {"marker": MARKERS[number % len(MARKERS)], "markersize": 6}
    at, means = [p.stuck for p in points], [round(p.score.mean, 4) for p in points]
    known = [p for p in points if isfinite(p.score.low)]
    lows, highs = [round(p.score.low, 4) for p in known], [round(p.score.high, 4) for p in known]
    axes.fill_between([p.stuck for p in known], lows, highs, color=looks["color"], alpha=0.15, linewidth=0)
    step = -(-len(points) // MOST_MARKERS)
    axes.plot(at, means, **looks, **({} if links else marker), markevery=step)
    for i in range(0, len(points) if links else 0, step):
        (dot,) = axes.plot(at[i], means[i], **marker, color=looks["color"], linestyle="none")
        dot.set_url(links[points[i]])
    return Line2D([], [], **{**looks, **marker})


def _clean_lines(axes: Any, panel: Panel) -> list[Any]:
    """The scores without faults, in the colours of their lines where they differ; gives the handle for the legend."""
    colours: dict[float, str] = {}
    for number, series in enumerate(panel.series):
        if series.clean is not None:
            colours.setdefault(series.clean, SERIES[number % len(SERIES)])
    lines = [
        axes.axhline(clean, color=colour if len(colours) > 1 else AXIS, linestyle=":", linewidth=1.6)
        for clean, colour in colours.items()
    ]
    return lines[:1]


def _columns(names: Sequence[str], size: tuple[float, float]) -> int:
    """Of a legend that is as wide as its figure."""
    return max(1, int(CHARACTERS * size[0] / (max(map(len, names)) + 8)))


def _axes(axes: Any, panel: Panel, ticks_wanted: int) -> None:
    """Ticks at shares that were measured. Bands of few dies are wider than all scores: they are cut."""
    points = [point for series in panel.series for point in series.curve]
    shares = sorted({point.stuck for point in points})
    known = [p.score.mean for p in points] + [s.clean for s in panel.series if s.clean is not None]
    margin = max(1.0, 0.15 * (max(known) - min(known)))
    least, most = log(shares[0]), log(shares[-1])
    room = 0.04 * (most - least) or 0.7
    axes.set(xscale="log", xlabel="share of stuck cells", ylabel="mean score, points")
    axes.set_ylim(round(min(known) - margin, 4), round(max(known) + margin, 4))
    axes.set_xlim(float(np.exp(least - room)), float(np.exp(most + room)))
    ticks = shares[:1]
    for share in shares[1:]:
        if log(share / ticks[-1]) >= (most - least) / ticks_wanted:
            ticks.append(share)
    axes.set_xticks(ticks, [percent(share) for share in ticks])
    axes.minorticks_off()


def _said(point: Point) -> str:
    """What is shown where a pointer rests on a point."""
    width = f" ({point.score.low:.2f} to {point.score.high:.2f})" if isfinite(point.score.low) else ""
    return f"{percent(point.stuck)} stuck cells: {point.score.mean:.2f}{width}, {point.dies} dies, worst {point.worst.score:.2f}"


def _figure(size: tuple[float, float]) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained")


def _style(salt: str) -> Any:
    """matplotlib's own style with ours, whatever its user likes; ids from the salt."""
    try:
        from matplotlib import style
    except ImportError:
        raise UsageError("a report needs matplotlib: pip install 'rcompile[report]'.") from None
    ours = {
        "svg.hashsalt": salt, "svg.fonttype": "none", "text.parse_math": False, "font.size": 9.5, "axes.titlesize": 10,
        "figure.facecolor": "none", "axes.facecolor": "none", "axes.edgecolor": AXIS, "axes.grid": True, "grid.color": GRID,
        "axes.spines.top": False, "axes.spines.right": False, "xtick.color": AXIS, "ytick.color": AXIS,
        "xtick.labelcolor": "black", "ytick.labelcolor": "black", "legend.frameon": False, "image.composite_image": False,
    }  # fmt: skip
    return style.context(["default", ours])


def _svg(figure: Any, titles: Mapping[str, str]) -> str:
    """The figure as part of a page. titles: of the points that are links, by where they lead."""
    written = io.StringIO()
    figure.savefig(written, format="svg", metadata={"Date": None})
    text = written.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<(metadata|style)\b.*?</\1>", "", text, flags=re.S)
    text = re.sub(r'^<svg [^>]*?(viewBox="[^"]*")[^>]*>', r'<svg \1 focusable="false">', text, flags=re.S)
    text = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", text)  # figure_1, axes_1, ...: of each figure of the page
    for colour, variable in COLOURS.items():
        text = text.replace(colour, variable)
    return re.sub(
        r'<a xlink:href="(#[^"]*)" target="_blank">',
        lambda found: (
            f'<a href="{found[1]}" aria-label="{escape(titles[found[1]])}"><title>{escape(titles[found[1]])}</title>'
        ),
        text,
    )
