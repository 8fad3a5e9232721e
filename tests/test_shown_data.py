"""Committed pages and figures are those of the committed data: each says the digests of the files that it shows."""

import json

import pytest
from scripts import ROOT

from rcompile.canonical import file_sha256

DOCS = ROOT / "docs"
MODEL = DOCS / "demo" / "sst2-minilm.onnx"
TASKS = [
    DOCS / "results" / f"{task}.jsonl"
    for task in ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli")
    if (DOCS / "results" / f"{task}.jsonl").exists()
]
GIVEN = [path for path in (DOCS / "results").glob("*.jsonl") if "-" in path.stem]
SHOWN = {
    "results.md": ([*TASKS, *GIVEN, DOCS / "results" / "ranking.json"], "python benchmarks/report.py"),
    "figures/results-mean.svg": (TASKS, "python benchmarks/report.py"),
    "figures/results-tasks.svg": (TASKS, "python benchmarks/report.py"),
    "effects.md": ([DOCS / "results" / "effects.jsonl"], "make effects"),
    "figures/effects.svg": ([DOCS / "results" / "effects.jsonl"], "make effects"),
    "figures/accuracy.svg": ([DOCS / "results" / "demo.json"], "make demo figures"),
    "figures/tile.svg": ([MODEL], "make demo figures"),
}
# A diagram, what commands print, and what a page looks like.
WITHOUT_DATA = {"figures/flow.svg", "figures/terminal.svg", "figures/report-wide.png", "figures/report-narrow.png"}


@pytest.mark.parametrize("name", SHOWN)
def test_what_is_shown_is_of_these_data(name: str) -> None:
    data, command = SHOWN[name]
    text = " ".join((DOCS / name).read_text().split())
    for path in data:
        assert f"{path.name} {file_sha256(path)[:12]}" in text, f"run `{command}`"


def test_every_figure_says_its_data_or_shows_none() -> None:
    figures = {f"figures/{path.name}" for path in (DOCS / "figures").iterdir()}
    assert figures == {name for name in SHOWN if name.startswith("figures/")} | WITHOUT_DATA


def test_the_effects_are_those_of_the_demo_model() -> None:
    about, *_ = (DOCS / "results" / "effects.jsonl").read_text().splitlines()
    assert json.loads(about)["model_sha256"] == file_sha256(MODEL)
