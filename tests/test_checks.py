"""Checks without pytest: what a file may ask, what scores decide, baselines."""

import json
from pathlib import Path
from typing import Any

import pytest
from checked_bundle import BAD, GOOD, check, checked_project
from command_line import run
from hypothesis import given
from hypothesis import strategies as st

import rcompile
from rcompile.errors import BadInputError, RcompileError
from rcompile.options import CompileOptions
from rcompile.regression.check import Check, read_checks
from rcompile.regression.judge import judge, verdict
from rcompile.regression.run import Outcome, Place, run_check
from runtime.statistics.sequential import loss_verdict, yield_verdict


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checked_project(tmp_path_factory.mktemp("project"))


def outcome(project: Path, folder: Path, update: bool = False, **keys: Any) -> Outcome:
    path = folder / "it.rcheck.toml"
    path.write_text(check(project, **keys))
    ((_, asked),) = read_checks(path)
    return run_check(asked, Place(folder, folder / "cache", threads=1), update)


@pytest.mark.parametrize(
    ("keys", "found", "dies"),
    [
        ({"dies": "auto", "sa1": 1e-6, "max_loss_points": 2}, "pass", 4),
        ({"dies": "auto", "sa0": 0.1, "sa1": 0.3, "max_loss_points": 1}, "fail", range(4, 12)),
        ({"dies": "auto", "sa1": 1e-6, "max_loss_points": 2, "max_dies": 3}, "undecided", 3),
        ({"dies": "auto", "sa1": 1e-6, "min_score": 99, "min_yield": 0.8}, "pass", range(10, 40)),
        ({"dies": "auto", "stuck": 0.4, "max_loss_points": 1, "min_yield": 0.8}, "fail", range(2, 12)),
        ({"dies": "1-11", "sa1": 1e-6, "max_loss_points": 0, "min_yield": 0.7}, "pass", 11),
        ({"dies": "1-10", "sa1": 1e-6, "min_score": 99, "min_yield": 0.7}, "undecided", 10),
        ({"dies": "1-2", "sa1": 1e-6, "min_score": 99.5, "max_loss_points": 0.5}, "pass", 2),
        ({"dies": "1-4", "effects": ["variation"], "min_score": 500, "max_loss_points": 500}, "fail", 4),
        ({"dies": "1", "sa1": 1e-6, "max_loss_points": 2}, "undecided", 1),
        ({"min_score": 100}, "pass", 0),
        ({"min_score": 100.5}, "fail", 0),
    ],
)
def test_criteria(keys: dict[str, Any], found: str, dies: Any, project: Path, tmp_path: Path) -> None:
    said = outcome(project, tmp_path, **keys)
    assert said.verdict == found
    assert len(said.lines) in (dies if isinstance(dies, range) else (dies,))


@given(st.lists(st.floats(-3, 5, width=32), min_size=1, max_size=30), st.sampled_from([0.8, 0.95, 0.99]))
def test_auto_decides_as_the_sequential_verdicts_do(losses: list[float], confidence: float) -> None:
    """At the same die, and so that nothing changes after it."""
    common: dict[str, Any] = {"name": "a", "bundle": "b", "task": "sst2", "dies": "auto", "sa1": 0.1}
    limits = {"max_loss_points": 0.7001, "confidence": confidence}
    scores = [90.0 - lost for lost in losses]
    lost = [90.0 - score for score in scores]
    of_mean = loss_verdict(lost, 0.7001, confidence)
    of_yield = yield_verdict([loss <= 0.7001 for loss in lost], 0.6, confidence)
    for keys, expected in (({}, of_mean), ({"min_yield": 0.6}, of_yield)):
        asked = Check(**common, **limits, **keys)
        before = judge(asked, 90.0, scores[: expected.dies - 1], None) if expected.dies > 1 else ()
        assert not before or verdict(before) == "undecided"
        assert verdict(judge(asked, 90.0, scores[: expected.dies], None)) == expected.answer


def test_measured_dies_stand_for_themselves(project: Path, tmp_path: Path) -> None:
    chip = tmp_path / "chip.npz"
    assert run("die", "--target", "reram128x128", "--crossbars", 64, "--seed", 1, "--sa1", 0.4, "-o", chip).exit_code == 0  # fmt: skip
    (judged,) = outcome(project, tmp_path, maps="chip.npz", max_loss_points=1).judged
    assert judged.verdict == "fail" and judged.found.low == judged.found.high
    assert outcome(project, tmp_path, maps="chip.npz", max_loss_points=100, min_yield=1).verdict == "pass"


def test_a_baseline_is_of_the_same_dies_whatever_the_bundle(project: Path, tmp_path: Path) -> None:
    keys: dict[str, Any] = {"dies": "1-4", "sa0": 0.02, "sa1": 0.1, "baseline": "b.json", "task": "sst2"}
    with pytest.raises(BadInputError, match="`pytest --rcompile-update` writes it"):
        outcome(project, tmp_path, **keys)
    first = outcome(project, tmp_path, update=True, **keys)
    written = (tmp_path / "b.json").read_bytes()
    packed = CompileOptions(pack_cells=True)
    rcompile.compile_model(project / "m.onnx", "reram128x128", tmp_path / "packed.bundle", packed)
    second = outcome(project, tmp_path, **keys | {"bundle": "packed.bundle"})
    assert [o.verdict for o in (first, second)] == ["pass", "pass"] and second.judged[0].found.mean == 0
    assert first.runs[0].source.sha256 != second.runs[0].source.sha256
    assert (tmp_path / "b.json").read_bytes() == written
    better = json.loads(written)
    for die in better["dies"]:
        die["score"] += 2.0
    (tmp_path / "b.json").write_text(json.dumps(better))
    (judged,) = outcome(project, tmp_path, **keys).judged
    assert (judged.verdict, judged.found.mean) == ("fail", pytest.approx(2.0))
    assert outcome(project, tmp_path, **keys, max_regression_points=2.5).verdict == "pass"
    for other, said in (
        ({"limit": 5}, "is of other sentences"),
        ({"dies": "4-5"}, "has no score of seed 5"),
        ({"sa1": 0.2}, "has no score of seed 1, seed 2, seed 3, seed 4 with these faults"),
        ({"effects": ["variation"]}, "has no score of seed 1"),
    ):
        with pytest.raises(BadInputError, match=said):
            outcome(project, tmp_path, **keys | other)


def test_an_evaluation_is_a_baseline(project: Path, tmp_path: Path) -> None:
    asked = ("--die", "1-3", "--sa1", 0.1, "--effect", "variation", "--limit", 13)
    said = run("evaluate", project / "b.bundle", "--task", "sst2", "--data", project / "glue", *asked, "--json")
    (tmp_path / "b.json").write_text(said.stdout)
    keys: dict[str, Any] = {"dies": "1-3", "sa1": 0.1, "effects": ["variation"], "limit": 13, "baseline": "b.json"}
    (judged,) = outcome(project, tmp_path, **keys).judged
    assert judged.verdict == "pass" and judged.found.mean == 0
    with pytest.raises(BadInputError, match="has no score of seed 1"):
        outcome(project, tmp_path, **keys | {"effects": []})


def test_baselines_of_chips_and_of_the_clean_bundle(project: Path, tmp_path: Path) -> None:
    chip, keys = tmp_path / "chip.npz", {"maps": "chip.npz", "baseline": "b.json"}
    for seed, passes in ((1, True), (2, False)):
        chip.unlink(missing_ok=True)
        assert run("die", "--target", "reram128x128", "--crossbars", 64, "--seed", seed, "--sa1", 0.1, "-o", chip).exit_code == 0  # fmt: skip
        if passes:
            assert outcome(project, tmp_path, update=True, **keys).verdict == "pass"
            assert outcome(project, tmp_path, **keys).verdict == "pass"
        else:
            with pytest.raises(BadInputError, match=r"has no score of chip\.npz"):
                outcome(project, tmp_path, **keys)
    assert outcome(project, tmp_path, update=True, baseline="c.json").verdict == "pass"
    assert outcome(project, tmp_path, baseline="c.json").verdict == "pass"


ONE = {"dies": "1", "sa1": 0.1, "min_score": 1}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"target": "reram128x128"}, "name a bundle, or a model and a target"),
        ({"bundle": None, "model": "m.onnx"}, "name a bundle, or a model and a target"),
        ({"protect": "auto"}, "is protected already"),
        ({**ONE, "stuck": 0.1}, "give stuck, or sa0 and sa1"),
        ({"dies": "1", "min_score": 1}, "virtual dies have seeds"),
        ({**ONE, "maps": "x.npz"}, "give dies or maps"),
        ({**ONE, "dies": "1,1"}, "a die is there twice"),
        ({**ONE, "max_dies": 3}, "max_dies is for"),
        ({"dies": "1", "sa1": 0.1}, "name a criterion"),
        ({"dies": "1", "sa1": 0.1, "min_yield": 0.5, "baseline": "b.json"}, "min_yield needs"),
        ({**ONE, "min_yield": 1}, "no number of dies proves"),
        ({"max_loss_points": 1}, "need dies or maps"),
        ({**ONE, "max_regression_points": 1}, "needs a baseline"),
        ({**ONE, "dies": "auto", "baseline": "b.json"}, "give their seeds"),
    ],
)
def test_checks_that_mean_nothing(keys: dict[str, Any], said: str, project: Path, tmp_path: Path) -> None:
    (tmp_path / "it.rcheck.toml").write_text("\n" + check(project, **keys))
    with pytest.raises(BadInputError, match=rf"it\.rcheck\.toml:2: [^\n]*{said}"):
        read_checks(tmp_path / "it.rcheck.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it.rcheck.toml:1: there is no [[check]]"),
        ("check = []", "it.rcheck.toml:1: there is no [[check]]"),
        ("[[check", "is not valid TOML"),
        ('x = 1\n[[check]]\nname = "a"\ntask = "sst2"\n', "it.rcheck.toml:1: x: there is no such key; there are check"),
        ('check = [{name = "a"}]', "it.rcheck.toml:1: task: Field required"),
        ('[[check]]\nname = "a"\n[[check]]\ntask = 1\n', "it.rcheck.toml:4: task: Input should be a valid string"),
    ],
)
def test_files_that_are_none(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "it.rcheck.toml").write_text(text)
    with pytest.raises(BadInputError) as caught:
        read_checks(tmp_path / "it.rcheck.toml")
    assert said in str(caught.value)


def test_names_and_baselines_are_each_checks_own(project: Path, tmp_path: Path) -> None:
    keys = GOOD | {"baseline": "b.json"}
    (tmp_path / "it.rcheck.toml").write_text(check(project, **keys) + check(project, **keys))
    with pytest.raises(BadInputError) as caught:
        read_checks(tmp_path / "it.rcheck.toml")
    for said in ("10: name: an earlier check has 'it' already", "10: baseline: an earlier check has 'b.json'"):
        assert f"it.rcheck.toml:{said}" in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"bundle": "gone.bundle"}, "there is no bundle"),
        ({"bundle": None, "model": "gone.onnx", "target": "reram128x128"}, "there is no model"),
        ({"task": "sst3"}, "no such task 'sst3'"),
        ({"effects": ["drif"]}, "drift"),
        ({"sa0": 0.9, "sa1": 0.9}, "fault rates"),
    ],
)
def test_what_cannot_be_run(keys: dict[str, Any], said: str, project: Path, tmp_path: Path) -> None:
    with pytest.raises(RcompileError, match=said):
        outcome(project, tmp_path, **BAD | keys)
