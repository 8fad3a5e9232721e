"""Limits of an evaluation: passed, failed or undecided by the interval of the mean, with an exit code for scripts."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import BAD_INPUT, FAILED, OK, USAGE, run
from small_models import write_sentences

import runtime
from rcompile.errors import UsageError
from runtime.scoring.evaluation import Evaluation
from runtime.scoring.gate import Limits, judge, limits_of
from runtime.statistics.intervals import interval


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sentences(tmp_path_factory.mktemp("data") / "glue")


@pytest.fixture(scope="module")
def found(bundle_once: Path, data: Path) -> Evaluation:
    dies = [runtime.Die(seed, 0.0, 0.001) for seed in range(4)]
    return runtime.evaluate(bundle_once, "sst2", data=data, dies=dies)


@pytest.fixture(scope="module")
def bundle_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from small_models import tiny_classifier

    from rcompile import compile_model

    folder = tmp_path_factory.mktemp("bundle")
    compile_model(tiny_classifier(folder / "m.onnx"), "reram128x128", folder / "b")
    return folder / "b"


def with_scores(found: Evaluation, scores: list[float], clean: float = 90.0) -> Evaluation:
    dies = tuple(replace(die, score=score) for die, score in zip(found.dies, scores, strict=True))
    return replace(found, dies=dies, clean=clean, source=91.0)


@pytest.mark.parametrize(
    ("scores", "limits", "verdicts"),
    [
        ([89.0, 89.2, 88.8, 89.0], Limits(max_loss=1.5), ["pass"]),
        ([89.0, 89.2, 88.8, 89.0], Limits(max_loss=0.5), ["fail"]),
        ([89.0, 89.2, 88.8, 89.0], Limits(max_loss=1.0), ["undecided"]),
        ([89.0, 89.2, 88.8, 89.0], Limits(min_score=88.0, max_loss=1.5), ["pass", "pass"]),
        ([89.0, 89.2, 88.8, 89.0], Limits(min_score=89.0), ["undecided"]),
        ([89.0, 89.2, 88.8, 89.0], Limits(min_score=90.0), ["fail"]),
        ([89.0] * 4, Limits(max_loss=1.0, min_score=89.0), ["pass", "pass"]),
        ([89.0, 89.2, 88.8, 89.0], Limits(max_loss=1.2, confidence=0.9999), ["undecided"]),
    ],
)
def test_what_the_interval_says(found: Evaluation, scores: list[float], limits: Limits, verdicts: list[str]) -> None:
    judged = judge(with_scores(found, scores), limits)
    assert [j.verdict for j in judged] == verdicts
    if limits.min_score is not None:
        assert judged[-1].found == interval(scores, limits.confidence)


def test_no_dies_and_measured_dies_stand_for_themselves(found: Evaluation) -> None:
    without = replace(with_scores(found, [1, 2, 3, 4]), dies=())
    assert [j.verdict for j in judge(without, Limits(max_loss=1.0, min_score=90.1))] == ["pass", "fail"]
    with pytest.raises(UsageError, match="does not hold"):
        judge(replace(without, source=None), Limits(max_loss=1.0))
    chip = replace(found, dies=(replace(found.dies[0], asked=None, score=88.5),), clean=90.0)
    assert [j.verdict for j in judge(chip, Limits(max_loss=1.5))] == ["pass"]
    one = replace(found, dies=(replace(found.dies[0], score=88.5),), clean=90.0)
    assert [j.verdict for j in judge(one, Limits(max_loss=1.5))] == ["undecided"]


def test_a_baseline_is_compared_die_by_die(found: Evaluation, tmp_path: Path) -> None:
    """What dies have in common cancels: a small loss on dies that differ much is seen."""
    wide = np.array([60.0, 90.0, 70.0, 85.0])
    file = tmp_path / "before.json"

    def saved(scores: list[float], **changes: Any) -> None:
        held = with_scores(found, scores)
        from rcompile.cli.show import to_json

        file.write_text(json.dumps(json.loads(to_json(held)) | changes))

    saved(wide.tolist())
    now = with_scores(found, (wide - [0.5, 0.6, 0.4, 0.5]).tolist())
    assert [j.verdict for j in judge(now, limits_of(1.0, None, file))] == ["pass"]
    assert [j.verdict for j in judge(now, limits_of(None, None, file))] == ["fail"]
    assert [j.verdict for j in judge(with_scores(found, wide.tolist()), limits_of(None, None, file))] == ["pass"]


def test_the_command(bundle_once: Path, data: Path, tmp_path: Path) -> None:
    dies = ("--die", "0-3", "--sa1", 0.001)
    asked = ("evaluate", bundle_once, "--task", "sst2", "--data", data, *dies)
    shown = run(*asked, "--max-loss", 60, "--min-score", 1)
    assert (shown.exit_code, shown.output.count("\npass: mean ")) == (OK, 2), shown.output
    failed = run(*asked, "--min-score", 99.9, "--json")
    said = json.loads(failed.stdout)
    assert (failed.exit_code, said["judged"][0]["verdict"]) == (FAILED, "fail")
    assert {"bundle_sha256", "source_sha256", "data_sha256", "version", "seconds", "command"} <= set(said)
    assert [die["asked"] for die in said["dies"]] == [[0.0, 0.001]] * 4
    (tmp_path / "b.json").write_text(failed.stdout)
    assert run(*asked, "--baseline", tmp_path / "b.json").exit_code == OK
    assert "one die says nothing" in run(*asked[:-4], "--die", 1, "--sa1", 0.01, "--min-score", 50).output


@pytest.mark.parametrize(
    ("text", "arguments", "code", "said"),
    [
        ("{", (), BAD_INPUT, "cannot read baseline"),
        ('{"task": "sst2"}', (), BAD_INPUT, "cannot read baseline"),
        (None, ("--limit", 5), BAD_INPUT, "is of other sentences"),
        (None, ("--die", 9), BAD_INPUT, "has no score of seed 9"),
        (None, ("--confidence", 2), USAGE, "confidence is 2"),
    ],
)
def test_a_baseline_that_cannot_be_used(
    text: str | None, arguments: tuple[object, ...], code: int, said: str, bundle_once: Path, data: Path, tmp_path: Path
) -> None:
    asked = ("evaluate", bundle_once, "--task", "sst2", "--data", data, "--die", "1-2", "--sa1", 0.001)
    (tmp_path / "b.json").write_text(run(*asked, "--json").stdout if text is None else text)
    shown = run(*asked, "--baseline", tmp_path / "b.json", *arguments)
    assert (shown.exit_code, said in shown.output) == (code, True), shown.output
