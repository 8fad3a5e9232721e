"""Checks as pytest's items: outcomes, what a person and a machine read of them, baselines, workers, the fixture."""

import json
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from xml.etree import ElementTree

import pytest
from checked_bundle import BAD, GOOD, UNDECIDED, check, checked_project
from command_line import run

import rcompile
from rcompile.campaigns.workers import Workers

pytest_plugins = ["pytester"]
# Installed, it is loaded of itself. What others there are takes longer than a check.
PLUGIN = [] if entry_points(group="pytest11", name="rcompile") else ["-p", "rcompile.regression.plugin"]
OTHERS = ["-p", "no:hypothesispytest", "-p", "no:anyio"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checked_project(tmp_path_factory.mktemp("project"))


def checked(pytester: pytest.Pytester, text: str, *arguments: object) -> pytest.RunResult:
    """A run of pytest on a file of checks."""
    pytester.path.joinpath("it.rcheck.toml").write_text(text)
    return pytester.runpytest_inprocess(*PLUGIN, *OTHERS, *map(str, arguments))


def test_pass_fail_and_undecided(pytester: pytest.Pytester, project: Path) -> None:
    text = check(project, "good", **GOOD) + check(project, "bad", **BAD) + check(project, "few", **UNDECIDED)
    lenient = checked(pytester, text)
    lenient.assert_outcomes(passed=1, failed=1)
    said = lenient.stdout.str()
    assert "1 failed, 1 passed, 1 undecided" in said and "Traceback" not in said
    section = said[said.index("rcompile: undecided") :]
    assert "check 'few': undecided; sst2, 30 examples, 1 die on reram128x128" in section
    checked(pytester, text, "--rcompile-strict").assert_outcomes(passed=1, failed=2)
    assert checked(pytester, text, "-k", "few").ret == 0


def test_a_failure_says_how_to_see_it_again(pytester: pytest.Pytester, project: Path) -> None:
    effects = ["variation", "drift.time_second=1e6"]
    said = checked(pytester, check(project, **BAD, effects=effects, limit=20)).stdout.str()
    assert "  expected  mean loss against the clean score, at most 2\n" in said
    worst = said[said.index("  worst     seed ") :].split("\n")
    again = json.loads(run(*shlex.split(worst[1])[1:], "--json").stdout)
    (die,) = again["dies"]
    assert worst[0] == f"  worst     {die['name']}, score {die['score']:.2f}; again:"
    assert again["examples"] == 20


def test_a_model_is_compiled_once(pytester: pytest.Pytester, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = {"bundle": None, "model": str(project / "m.onnx"), "target": "reram128x128", "protect": "none"}
    said = checked(pytester, check(project, **model, **BAD)).stdout.str()
    compiled, evaluated = said[said.index("again:\n") :].split("\n")[1].strip().split(" && ")
    assert compiled.startswith(f"rcompile {project}/m.onnx --target reram128x128 --protect none --no-source -o m-none")
    assert run(*shlex.split(compiled)[1:]).exit_code == run(*shlex.split(evaluated)[1:]).exit_code == 0
    monkeypatch.setattr("rcompile.campaigns.work.compile_model", lambda *_: pytest.fail("compiled again"))
    checked(pytester, check(project, **model, **GOOD)).assert_outcomes(passed=1)


WRONG = """
[[check]]
name = "a"
bundel = "x"
task = "sst2"
min_score = "high"

[[check]]
name = "b"
task = "sst2"
dies = "5-1"
confidence = 95
"""


def test_every_error_of_a_file_at_once(pytester: pytest.Pytester) -> None:
    result = checked(pytester, WRONG)
    result.assert_outcomes(errors=1)
    said = result.stdout.str()
    told = ("4: bundel: there is no such key; there are name, bundle", "6: min_score: ", "11: dies: '5-1' is no seed", "12: confidence: ")  # fmt: skip
    places = [said.index(f"it.rcheck.toml:{line}") for line in told]
    assert places == sorted(places) and "has 4 errors" in said and "Traceback" not in said


def test_baselines_are_written_when_asked(pytester: pytest.Pytester, project: Path) -> None:
    text, file = check(project, **GOOD, baseline="b.json"), pytester.path / "b.json"
    missing = checked(pytester, text, "--rcompile-report", "r.json")
    missing.assert_outcomes(failed=1)
    assert "`pytest --rcompile-update` writes it" in missing.stdout.str() and not file.exists()
    (found,) = json.loads((pytester.path / "r.json").read_text())["checks"]
    assert found["verdict"] == "error" and "cannot read baseline" in found["message"]
    checked(pytester, text, "--rcompile-update").assert_outcomes(passed=1)
    file.write_text(file.read_text().replace('"score": 100.0', '"score": 103.0'))
    worse = checked(pytester, text)
    worse.assert_outcomes(failed=1)
    worse.stdout.fnmatch_lines(["  expected  mean loss against 'b.json', at most 0", "  found     3: fail"])


def test_junit_and_report(pytester: pytest.Pytester, project: Path) -> None:
    text = check(project, "z", **GOOD) + check(project, "bad", **BAD)
    pytester.path.joinpath("broken.rcheck.toml").write_text("[[check]]\n")
    options = ("--junitxml", "j.xml", "--rcompile-report", "out/r.json", "--continue-on-collection-errors")
    checked(pytester, text, *options).assert_outcomes(passed=1, failed=1, errors=1)
    cases = {case.get("name"): case for case in ElementTree.parse(pytester.path / "j.xml").iter("testcase")}
    stated = {p.get("name"): p.get("value") for p in cases["z"].iter("property")}
    always = dict.fromkeys(("score", "interval_low", "interval_high"), "100.0000")
    assert stated == {**always, "dies": "8", "verdict": "pass"}
    (failure,) = cases["bad"].iter("failure")
    assert "rcompile evaluate" in str(failure.text) and "Traceback" not in str(failure.text)
    said = json.loads((pytester.path / "out" / "r.json").read_text())
    assert [(c["file"], c["check"], c["verdict"], c["outcome"]) for c in said["checks"]] == [
        ("it.rcheck.toml", "bad", "fail", "failed"),
        ("it.rcheck.toml", "z", "pass", "passed"),
    ]
    assert said["unreadable"] == ["broken.rcheck.toml"]
    assert [d["die"]["seed"] for d in said["checks"][0]["dies"]] == list(range(1, 9))


def test_two_workers_find_the_same(pytester: pytest.Pytester, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("xdist")
    monkeypatch.setenv("PYTHONPATH", str(Path(rcompile.__file__).resolve().parent.parent))
    model = {"bundle": None, "model": str(project / "m.onnx"), "target": "reram128x128"}
    text = check(project, "good", **GOOD) + check(project, "few", **UNDECIDED)
    text += check(project, "bad", **BAD, **model) + check(project, "also bad", **BAD, **model)
    checked(pytester, text, "--rcompile-report", "one.json")
    (pytester.path / "broken.rcheck.toml").write_text("[[check]]\n")
    options = ("-n", "2", "--rcompile-report", "two.json", "--continue-on-collection-errors")
    shown = pytester.runpytest_subprocess(*PLUGIN, *OTHERS, *options)
    shown.assert_outcomes(failed=2, passed=1, errors=1)
    assert "1 undecided" in shown.stdout.str()
    one, two = (json.loads((pytester.path / f"{name}.json").read_text()) for name in ("one", "two"))
    assert two == one | {"unreadable": ["broken.rcheck.toml"]} and len(one["checks"]) == 4


@contextmanager
def threads(count: int) -> Iterator[Workers]:
    yield Workers(lambda: ThreadPoolExecutor(count), count)


FIXTURE = """
def test_it(rcompile_campaign):
    found = rcompile_campaign("study.toml")
    assert list(found["die.seed"][1:]) == [1, 2]
    assert found["score"][0] == 100
"""


def test_a_campaign_in_a_test(pytester: pytest.Pytester, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {"bundles": str(project / "b.bundle"), "tasks": "sst2", "data": str(project / "glue"), "dies": "1-2", "rates": [[0.0, 0.1]]}  # fmt: skip
    (pytester.path / "study.toml").write_text("\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items()))
    pytester.makepyfile(FIXTURE)
    monkeypatch.setattr("rcompile.campaigns.run.local", threads)
    pytester.runpytest_inprocess(*PLUGIN, *OTHERS).assert_outcomes(passed=1)
    monkeypatch.setattr("rcompile.campaigns.run.local", lambda *_: pytest.fail("computed again"))
    pytester.runpytest_inprocess(*PLUGIN, *OTHERS).assert_outcomes(passed=1)
