"""Campaigns: every run once, whoever computes it and however often it is stopped."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from command_line import BAD_INPUT, OK, USAGE, run
from small_models import tiny_classifier, write_sentences

import runtime
from rcompile.campaigns import run as running
from rcompile.campaigns.run import run_campaign
from rcompile.campaigns.store import RESULTS, read_lines
from rcompile.campaigns.study import read_study, study_of
from rcompile.campaigns.workers import Workers
from rcompile.errors import BadInputError
from rcompile.report.bundles import sources_of
from rcompile.report.lines import read_results
from rcompile.report.page import commands_of
from rcompile.report.summary import summarize

STUDY = """
models = "m.onnx"
targets = "reram128x128"
protect = ["none", "die"]
tasks = "sst2"
data = "glue"
limit = 12
rates = [[0.05, 0.2]]
dies = "1-2,7"
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    tiny_classifier(folder / "m.onnx")
    write_sentences(folder / "glue")
    (folder / "study.toml").write_text(STUDY)
    return folder / "study.toml"


@contextmanager
def threads(count: int) -> Iterator[Workers]:
    yield Workers(lambda: ThreadPoolExecutor(2), 2)


@pytest.fixture(scope="module")
def whole(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The campaign in one go."""
    out = tmp_path_factory.mktemp("whole") / "r"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "local", threads)
        assert run_campaign(read_study(study), out).missing == 0
    return out


def test_every_point_of_the_grid_is_scored_once(whole: Path, study: Path) -> None:
    lines = read_lines(whole)
    assert [line["key"] for line in lines] == sorted({line["key"] for line in lines})
    assert sorted((line["protect"], line["die"] and line["die"]["seed"]) for line in lines if line["die"]) == [
        (protect, seed) for protect in ("die", "none") for seed in (1, 2, 7)
    ]
    assert len(lines) == 7  # and one without faults, of the bundle that is the same for every die


def test_scores_are_those_of_evaluate(whole: Path, study: Path) -> None:
    lines = [line for line in read_lines(whole) if line["protect"] == "none"]
    (bundle,) = (whole / "bundles").iterdir()
    dies = [runtime.Die(seed, 0.05, 0.2) for seed in (1, 2, 7)]
    found = runtime.evaluate(bundle, "sst2", data=study.parent / "glue", limit=12, dies=dies)
    by_seed = {line["die"] and line["die"]["seed"]: line for line in lines}
    assert {seed: line["score"] for seed, line in by_seed.items()} == {
        None: round(found.clean, 6),
        **{die.seed: round(die.score, 6) for die in found.dies},
    }
    assert {seed: line["found"]["sa1"] for seed, line in by_seed.items() if seed} == {
        die.seed: die.sa1 for die in found.dies
    }


def test_it_goes_on_where_it_was(study: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "local", threads)
    asked, out = read_study(study), tmp_path / "r"
    assert run_campaign(asked, out, limit=3).missing == 4
    with (out / RESULTS).open("ab") as file:
        file.write(b'{"key": "cut')  # by a stop in the middle of a line
    computed: list[int] = []
    found = run_campaign(asked, out, progress=lambda what, done, total: computed.append(done))
    assert (max(computed), found.missing) == (4, 0)
    assert (out / RESULTS).read_bytes() == (whole / RESULTS).read_bytes()
    run_campaign(asked, out, progress=lambda *_: pytest.fail("nothing is left to do"))


class Losing(ThreadPoolExecutor):
    """An executor whose workers are lost a few times, with a job or before one comes to them."""

    left = 3

    def submit(self, *call: Any) -> Future[Any]:  # type: ignore[override]
        if Losing.left:
            Losing.left -= 1
            if Losing.left % 2:
                raise BrokenProcessPool("a worker was killed before")
            lost: Future[Any] = Future()
            lost.set_exception(BrokenProcessPool("a worker was killed"))
            return lost
        return super().submit(*call)


@pytest.mark.parametrize(("losses", "ends"), [(3, True), (10**9, False)])
def test_lost_workers_cost_nothing_but_time(
    losses: int, ends: bool, study: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def losing(count: int) -> Iterator[Workers]:
        yield Workers(lambda: Losing(2), 2)

    monkeypatch.setattr(running, "local", losing)
    Losing.left = losses
    if ends:
        assert run_campaign(read_study(study), tmp_path / "r").missing == 0
        assert (tmp_path / "r" / RESULTS).read_bytes() == (whole / RESULTS).read_bytes()
    else:
        with pytest.raises(BadInputError, match="lost 6 times in a row"):
            run_campaign(read_study(study), tmp_path / "r")


def children(of: int) -> list[int]:
    return [int(n) for t in Path(f"/proc/{of}/task").iterdir() for n in (t / "children").read_text().split()]


def test_killed_campaigns_and_workers(study: Path, whole: Path, tmp_path: Path) -> None:
    """Real processes: the campaign is killed after its first line, then a worker of its successor."""
    out = tmp_path / "r"
    command = [sys.executable, "-c", "from rcompile.cli.main import main; main()", "campaign", study, "-o", out]

    def lines() -> int:
        return (out / RESULTS).read_bytes().count(b"\n") if (out / RESULTS).exists() else 0

    def started() -> subprocess.Popen[bytes]:
        before, process = lines(), subprocess.Popen([*map(str, command), "--workers", "2"], stdout=subprocess.DEVNULL)
        while process.poll() is None and lines() == before:
            time.sleep(0.01)
        return process

    killed = started()
    team = children(killed.pid)
    killed.kill()
    killed.wait()
    other = started()
    for worker in children(other.pid)[-1:]:
        os.kill(worker, signal.SIGKILL)
    assert other.wait() == 0
    assert (out / RESULTS).read_bytes() == (whole / RESULTS).read_bytes()
    time.sleep(0.1)
    assert not [pid for pid in team if Path(f"/proc/{pid}/cwd").exists()], "workers end with their campaign"


def test_a_bundle_that_changes_meanwhile(study: Path, whole: Path, tmp_path: Path) -> None:
    from rcompile.campaigns.plan import plan
    from rcompile.campaigns.work import Job, score

    (bundle,) = (whole / "bundles").iterdir()
    asked = plan(study_of({"bundles": [str(bundle)], "tasks": "sst2", "data": str(study.parent / "glue")}))
    moved = tmp_path / "moved"
    moved.mkdir()
    manifest = (bundle / "manifest.json").read_text()
    try:
        (bundle / "manifest.json").write_text(manifest + " ")
        with pytest.raises(BadInputError, match="is not the one that the campaign began with"):
            score(Job(asked.runs[0], moved, 1))
    finally:
        (bundle / "manifest.json").write_text(manifest)


def test_a_campaign_on_dask(study: Path, whole: Path, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        first = run("campaign", study, "-o", tmp_path / "r", "--dask", cluster.scheduler_address, "--limit", 3)
        assert (first.exit_code, "4 runs are missing" in first.output) == (OK, True), first.output
        os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)
        assert run("campaign", study, "-o", tmp_path / "r", "--dask", cluster.scheduler_address).exit_code == OK
    assert (tmp_path / "r" / RESULTS).read_bytes() == (whole / RESULTS).read_bytes()


def test_a_scheduler_that_is_not_there(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("rcompile.campaigns.workers.TIMEOUT", "0.2s")
    result = run("campaign", study, "-o", tmp_path / "r", "--dask", "tcp://127.0.0.1:9")
    assert (result.exit_code, "no Dask scheduler answers at 'tcp://127.0.0.1:9'" in result.output) == (BAD_INPUT, True)


def test_every_error_of_a_study_at_once(study: Path) -> None:
    wrong = study.parent / "wrong.toml"
    wrong.write_text('models = "none.onnx"\ntarget = "x"\nprotect = "al"\nlimit = 0\ndies = "5-1"\ntasks = "sst2"\n')
    result = run("campaign", wrong, "-o", study.parent / "never")
    assert result.exit_code == BAD_INPUT
    for line, said in ((2, "target: there is no such key"), (3, "protect: "), (4, "limit: "), (5, "dies: '5-1' is no")):
        assert f"wrong.toml:{line}: {said}" in result.output
    assert not (study.parent / "never").exists()


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ({"models": None, "targets": None}, "name bundles, or models and targets"),
        ({"targets": None}, "models are compiled for targets"),
        ({"dies": None}, "virtual dies have seeds"),
        ({"models": "none.onnx"}, "there is no"),
        ({"targets": "reram12"}, "did you mean reram128x128"),
        ({"targets": "none.toml"}, "cannot read target file"),
        ({"tasks": "sst3"}, "no such task"),
        ({"effects": [["drift"]]}, "drift makes none stick"),
    ],
)
def test_a_study_that_cannot_be_run(edits: dict[str, Any], said: str, study: Path, tmp_path: Path) -> None:
    import tomllib

    data = {k: v for k, v in (tomllib.loads(STUDY) | edits).items() if v is not None}
    path = study.parent / "edited.toml"
    path.write_text("\n".join(f"{key} = {json.dumps(value)}" for key, value in data.items()))
    result = run("campaign", path, "-o", tmp_path / "never")
    assert result.exit_code in (BAD_INPUT, USAGE) and said in result.output, result.output
    assert not (tmp_path / "never").exists()


def test_what_a_campaign_would_do(study: Path, whole: Path) -> None:
    said = json.loads(run("campaign", study, "-o", whole, "--dry-run", "--json").stdout)
    assert (said["runs"], said["known"], said["compiles"], len(said["points"])) == (7, 7, 1, 2)


def test_a_campaign_as_a_table(study: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tomllib

    import rcompile

    monkeypatch.setattr(running, "local", threads)
    monkeypatch.chdir(study.parent)
    data = tomllib.loads(STUDY) | {"protect": "none", "dies": [2]}
    found = rcompile.campaign(data, limit=2)
    scores = {line["die"] and line["die"]["seed"]: line["score"] for line in read_lines(whole) if line["protect"] == "none"}  # fmt: skip
    assert list(found["score"]) == [scores[None], scores[2]]
    assert found["die.seed"][1] == 2 and found["found.sa1"][1] > 0.15


def test_the_commands_of_a_report_repeat_its_scores(
    whole: Path, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the worst dies: on the bundle that lies there, and on one that is compiled for the die."""
    shutil.copytree(whole, tmp_path / "r")
    for name in ("m.onnx", "tokenizer.json"):
        shutil.copy(study.parent / name, tmp_path / "r")
    monkeypatch.chdir(tmp_path / "r")
    monkeypatch.setenv("RCOMPILE_GLUE", str(study.parent / "glue"))
    summary = summarize(read_results(Path()))
    commands = commands_of(summary, sources_of(Path(), summary.sources))
    assert {point.worst.runs[0].protect for point, _ in commands} == {"none", "die"}
    for point, command in commands:
        for part in command.split(" && "):
            done = run(*shlex.split(part)[1:], "--json")
            assert done.exit_code == OK, done.output
        assert round(json.loads(done.output)["dies"][0]["score"], 6) == point.worst.score
