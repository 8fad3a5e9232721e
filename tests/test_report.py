"""Reports: what a campaign's results say, in numbers that are right and on a page that says them safely."""

import html.parser
import json
import os
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import BAD_INPUT, OK, USAGE, run
from hypothesis import given
from hypothesis import strategies as st
from report_lines import CLEAN, line, study, write
from scipy import stats

from rcompile.campaigns.store import RESULTS
from rcompile.report import words
from rcompile.report.lines import Results, Scored, read_results
from rcompile.report.page import write_report
from rcompile.report.summary import Panel, Summary, summarize

SHARES = (0.001, 0.01)
MOST_BYTES = 5_000_000


def summary_of(lines: list[dict[str, Any]]) -> Summary:
    return summarize(Results(tuple(map(Scored.model_validate, lines)), cut=False))


def text_of(lines: list[dict[str, Any]], folder: Path) -> str:
    write_report(write(folder / "r", lines), folder / "page.html", force=True)
    return (folder / "page.html").read_text()


@given(st.lists(st.lists(st.floats(0, 100), min_size=1, max_size=5), min_size=1, max_size=4))
def test_points_are_those_of_numpy(scores: list[list[float]]) -> None:
    lines = [line(None, CLEAN)]
    for i, values in enumerate(scores, 1):
        lines += [line(i / 100, value, seed=seed) for seed, value in enumerate(values)]
    (panel,) = summary_of(lines).main
    (series,) = panel.series
    assert [p.stuck for p in series.curve] == pytest.approx([i / 100 for i in range(1, len(scores) + 1)])
    for point, values in zip(series.points, scores, strict=True):
        assert (point.dies, point.worst.score) == (len(values), min(values))
        assert point.score.mean == pytest.approx(np.mean(values)) and point.loss.mean == pytest.approx(CLEAN - np.mean(values))  # fmt: skip
        if len(values) > 1 and np.ptp(values) > 1e-6:
            half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
            assert point.score.high - point.score.mean == pytest.approx(half)
            assert point.sd == pytest.approx(np.std(values, ddof=1))


def test_what_is_carried_is_where_the_loss_crosses_a_point() -> None:
    """Straight in the logarithm: from 0.5 points at 0.1 % to 5 at 1 %."""
    summary = summary_of(study({"none": 5, "auto": 0.5}, SHARES, 3))
    none, auto = summary.main[0].series
    assert none.tolerated.rate == pytest.approx(0.001 * 10 ** (0.5 / 4.5))
    assert auto.tolerated.where == "above the highest rate"
    assert words.heading(summary) == "auto carries more than 1 % stuck cells at one point of loss; none 0.13 %"


def test_one_share_gives_the_worst_point_and_one_die_no_interval() -> None:
    summary = summary_of(study({"none": 5, "auto": 0.5}, [0.01], 1))
    assert words.heading(summary) == "at worst, none scores 85.0 with 1 % stuck cells, 5.0 points below the clean score"
    point = summary.main[0].series[0].points[0]
    assert (point.sd, words.span(point.score), words.span(None)) == (None, "-", "-")
    assert "needs two shares" in words.carries_interval(summary.main[0].series[0])


def test_intervals_that_overlap_are_said() -> None:
    assert words.heading(summary_of(study({"none": 2.0, "auto": 1.9}, SHARES, 3))).endswith("; their intervals overlap")


def test_without_dies_there_is_nothing_to_compare(tmp_path: Path) -> None:
    assert "1 scores without faults" in text_of([line(None, 90.0)], tmp_path)


def names(panel: Panel) -> list[str]:
    return [series.name for series in panel.series]


def test_what_is_not_alike_is_not_mixed() -> None:
    """Versions and targets have panels of their own; effects, mixtures of faults and combiners lines of their own."""
    cold, hot = ({"drift": {"nu": 0.1, "time_second": t}} for t in (1.0, 10.0))
    lines = [line(0.01, 80.0, seed=seed, effects=e) for seed in (1, 2) for e in ({}, cold, hot)]
    assert names(summary_of(lines).main[0]) == ["none, drift time_second=1.0", "none, drift time_second=10.0", "none, no effects"]  # fmt: skip
    two = summary_of([*lines, line(0.01, 70.0, version="0.2.0"), line(0.01, 60.0, changes=["adc.bits=7"])])
    assert [panel.title for panel in two.main] == [
        "m.onnx on reram128x128 adc.bits=7, sst2, 0.1.0", "m.onnx on reram128x128, sst2, 0.1.0", "m.onnx on reram128x128, sst2, 0.2.0",
    ]  # fmt: skip
    other = line(0.01, 50.0)
    other["die"] |= {"sa0": 0.01, "sa1": 0.0}
    assert names(summary_of([line(0.01, 80.0), other]).main[0]) == ["none, 0 % of stuck cells SA1", "none, 84 % of stuck cells SA1"]  # fmt: skip
    assert names(summary_of([line(0.01, 80.0), line(0.01, 80.0, combiner="mean")]).main[0]) == [
        "none, voting as compiled", "none, voting by mean",
    ]  # fmt: skip
    twins = summary_of([line(0.01, 80.0), line(0.01, 80.0, source_sha256="b" * 64)])
    assert names(twins.main[0]) == ["none, aaaaaaaa", "none, bbbbbbbb"]


def test_bundles_and_measured_dies() -> None:
    lines = [line(None, 90.0, model=m, source_sha256=m[0] * 64) for m in ("a.bundle", "b.bundle")]
    measured = [{**one, "die": {"map": f"{n}.npz", "map_sha256": str(n) * 64}} for one in lines for n in (1, 2)]
    (panel,) = summary_of([*lines, *measured]).main
    assert names(panel) == ["none (a.bundle), measured dies", "none (b.bundle), measured dies"]
    assert [(p.stuck, p.dies) for s in panel.series for p in s.points] == [(-1.0, 2)] * 2 and not panel.drawn


def test_losses_of_own_bundles_count_from_the_unprotected_model() -> None:
    none, die = summary_of(study({"none": 5, "die": 1}, SHARES, 3)).main[0].series
    assert (die.clean, die.points[-1].loss.mean) == (none.clean, pytest.approx(1))


def test_several_tasks_are_averaged_die_by_die() -> None:
    lines = study({"none": 5}, SHARES, 3, ["sst2", "cola"])
    for one in lines:
        one["score"] -= 10 * (one["task"] == "cola")
    lines.remove(next(one for one in lines if one["task"] == "cola" and one["die"] and one["die"]["seed"] == 2))
    found = summary_of(lines)
    (main,), (cola, sst2) = found.main, found.tasks
    assert (main.series[0].clean, main.series[0].points[0].dies, sst2.series[0].points[0].dies) == (CLEAN - 5, 2, 3)
    assert main.series[0].points[1].score.mean == pytest.approx((cola.series[0].points[1].score.mean + sst2.series[0].points[1].score.mean) / 2)  # fmt: skip
    assert words.heading(found).startswith("none carries 0.1")


class Page(html.parser.HTMLParser):
    """Ids, links and what is loaded."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            elif name in ("href", "xlink:href", "src"):
                self.links.append(str(value))


def test_the_page_is_whole_and_needs_nothing_else(tmp_path: Path) -> None:
    text = text_of(study({"none": 5, "paper": 3, "auto": 1, "die": 0.5}, SHARES, 3, ["sst2", "cola"]), tmp_path)
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert all(link.startswith(("#", "data:")) for link in page.links) and "http" not in text and "url(#" in text
    assert "script" not in page.tags
    svgs = re.findall(r"<svg.*?</svg>", text, flags=re.S)
    for svg in svgs:
        ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns:xlink="http://www.w3.org/1999/xlink" ', 1))
    assert len(svgs) == 4  # the main one twice, and two tasks
    assert len(re.findall(r'<a href="#point-\d+" aria-label', text)) == 2 * 4 * len(SHARES)


def test_names_are_text(tmp_path: Path) -> None:
    hostile = "<script>alert('x')</script>&\"$x_1$\u202e.onnx"
    text = text_of([{**one, "model": hostile, "version": "<b>"} for one in study({"none": 5}, SHARES, 2)], tmp_path)
    assert not {"script", "b"} & Page(text).tags and "&lt;script&gt;alert" in text


def test_same_results_same_bytes(tmp_path: Path) -> None:
    """Also in another process, and from lines in another order, but for the digest of their file."""
    lines = study({"none": 5, "auto": 1}, SHARES, 3)
    text = text_of(lines, tmp_path)
    code = "import sys; from pathlib import Path; from rcompile.report.page import write_report; write_report(*map(Path, sys.argv[1:]))"
    again = [sys.executable, "-c", code, str(tmp_path / "r"), str(tmp_path / "again.html")]
    subprocess.run(
        again, check=True, env={**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    assert (tmp_path / "again.html").read_text() == text
    assert re.sub(r"[0-9a-f]{64}", "", text_of(lines[::-1], tmp_path)) == re.sub(r"[0-9a-f]{64}", "", text)


def test_ten_thousand_lines_are_a_small_page(tmp_path: Path) -> None:
    shares = [0.0001 * 1.01**i for i in range(500)]
    lines = study({"none": 5, "paper": 3, "auto": 1, "die": 0.2}, shares, 1, ["sst2", "cola", "mrpc", "rte", "qnli"])
    assert len(lines) > 10_000
    assert len(text_of(lines, tmp_path).encode()) < MOST_BYTES


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, page = write(tmp_path / "r", []), tmp_path / "page.html"
    for given_, said in ((tmp_path / "no", "is no folder"), (tmp_path, "holds no results.jsonl"), (folder, "no finished run")):  # fmt: skip
        refused = run("report", given_, "-o", page)
        assert refused.exit_code == BAD_INPUT and said in refused.output
    for damage, said in (({"score": "high"}, "score"), ({"die": {"sa0": 2}}, "die.sa0"), ({"protect": "luck"}, "protect")):  # fmt: skip
        write(folder, [line(None, 90.0), {**line(0.1, 50.0), **damage}])
        refused = run("report", folder, "-o", page)
        assert refused.exit_code == BAD_INPUT and f"line 2 is no result of a campaign: {said}" in refused.output
    write(folder, study({"none": 5}, SHARES, 2))
    for package in ("jinja2", "matplotlib"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            refused = run("report", folder, "-o", page)
            assert refused.exit_code == USAGE and "pip install 'rcompile[report]'" in refused.output
    assert not page.exists() and run("report", folder, "-o", page).exit_code == OK
    assert run("report", folder, "-o", page).exit_code == USAGE
    said = json.loads(run("report", folder, "-o", page, "--force", "--json").output)
    assert (said["runs"], said["bytes"]) == (5, page.stat().st_size)


def test_a_cut_line_is_left_out_and_said(tmp_path: Path) -> None:
    folder = write(tmp_path / "r", study({"none": 5}, SHARES, 2))
    before = read_results(folder)
    with (folder / RESULTS).open("a") as file:
        file.write('{"key": "cu')
    assert read_results(folder) == replace(before, cut=True)
    write_report(folder, tmp_path / "page.html")
    assert "A stop has cut the last line" in (tmp_path / "page.html").read_text()


def test_commands_are_quoted() -> None:
    from rcompile.report.repeat import evaluate_command

    hostile = Scored.model_validate(line(0.01, 50.0, model="$(reboot) x.bundle", effects={"drift": {"nu": 0.1}}))
    command = shlex.split(evaluate_command(hostile, {}))
    assert command[:3] == ["rcompile", "evaluate", "$(reboot) x.bundle"]
    assert command[-3:] == ["--effect=none", "--effect=drift", "--effect=drift.nu=0.1"]
