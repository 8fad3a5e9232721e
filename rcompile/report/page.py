"""Page: a summary as one HTML file that needs nothing else. Same results, same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rcompile.bundle.scratch import new_file
from rcompile.campaigns.store import RESULTS
from rcompile.canonical import file_sha256
from rcompile.errors import UsageError
from rcompile.report import words
from rcompile.report.bundles import Source, sources_of, tile_of
from rcompile.report.figures import NARROW, SMALL, WIDE, curves, tile_images
from rcompile.report.lines import Results, read_results
from rcompile.report.repeat import evaluate_command
from rcompile.report.summary import MAX_LOSS, Panel, Point, Summary, summarize
from rcompile.version import full_version

TEMPLATE = "page.html"
MOST_FIGURES = 24  # of tasks; the tables have the rest


@dataclass(frozen=True)
class Report:
    """What was written. runs: scores that it shows; heading: its outcome in a sentence."""

    out: Path
    runs: int
    bytes: int
    heading: str


@dataclass(frozen=True)
class Drawn:
    """A figure, in the sizes that it comes in, and in words."""

    title: str
    svgs: tuple[str, ...]
    said: str


def write_report(folder: Path, out: Path, *, force: bool = False) -> Report:
    """The report of a campaign's folder. Raises BadInputError for a folder that is none, UsageError for a file that
    exists and without the packages of the extra `report`.
    """
    results = read_results(folder)
    summary = summarize(results)
    with new_file(out, force) as partial:
        text = page(folder, results, summary)
        partial.write_text(text, encoding="utf-8")
    return Report(out, summary.runs, len(text.encode()), words.heading(summary))


def page(folder: Path, results: Results, summary: Summary) -> str:
    """The page as text."""
    template = _template()
    anchors = {point: f"#point-{n}" for n, point in enumerate(_points(summary))}
    sources = sources_of(folder, summary.sources)
    tile = tile_of(folder, summary.worst)
    shown: dict[str, Any] = template.render(
        words=words,
        summary=summary,
        anchors=anchors,
        main=[_main(panel, anchors) for panel in summary.main[:MOST_FIGURES] if panel.drawn],
        tasks=[_small(panel) for panel in summary.tasks[:MOST_FIGURES] if panel.drawn],
        left_out=max(0, len(summary.main) - MOST_FIGURES) + max(0, len(summary.tasks) - MOST_FIGURES),
        sources=sources,
        commands=commands_of(summary, sources),
        tile=tile,
        tile_svg=tile and tile_images(tile),
        results=RESULTS,
        results_sha256=file_sha256(folder / RESULTS),
        version=full_version(),
        max_loss=MAX_LOSS,
    )
    return str(shown)


def _template() -> Any:
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError:
        raise UsageError("a report needs jinja2: pip install 'rcompile[report]'.") from None
    place = FileSystemLoader(Path(__file__).parent)
    made = Environment(loader=place, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return made.get_template(TEMPLATE)


def _points(summary: Summary) -> Iterator[Point]:
    """Those that figures lead to."""
    for panel in summary.main[:MOST_FIGURES]:
        for series in panel.series:
            yield from series.points


def _main(panel: Panel, anchors: dict[Point, str]) -> Drawn:
    svgs = (curves(panel, WIDE, anchors), curves(panel, NARROW, anchors))
    return Drawn(panel.title, svgs, words.panel_words(panel))


def _small(panel: Panel) -> Drawn:
    return Drawn(panel.title, (curves(panel, SMALL),), words.panel_words(panel))


def commands_of(summary: Summary, sources: tuple[Source, ...]) -> list[tuple[Point, str]]:
    """What repeats each of the worst dies."""
    dense = {(s.run.model, s.run.target): s.ledger.crossbars_dense for s in sources if s.ledger and not s.run.changes}
    return [(point, evaluate_command(point.worst.runs[0], dense)) for point in summary.worst]
