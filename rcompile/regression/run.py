"""Run: score what a check asks, as campaigns do, and judge it."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rcompile.campaigns.plan import Run, TaskAsked, plan
from rcompile.campaigns.store import Line
from rcompile.campaigns.work import Job, compile_source, score
from rcompile.canonical import canonical_json
from rcompile.errors import BadInputError
from rcompile.regression.check import Check
from rcompile.regression.judge import Verdict, judge, verdict
from rcompile.version import full_version
from runtime.scoring.gate import HeldDie, Judgement, read_baseline

WAY_OUT = "`pytest --rcompile-update` writes it."


@dataclass(frozen=True)
class Place:
    """Where a check is run. folder: of the file that asks it; cache: of what is compiled; threads: of a session, 0: as
    many as there are cores.
    """

    folder: Path
    cache: Path
    threads: int = 0


@dataclass(frozen=True, eq=False)
class Outcome:
    """clean: the score without faults. runs, lines: of the dies that were tried, as campaigns have them."""

    check: Check
    task: TaskAsked
    clean: Line
    runs: tuple[Run, ...]
    lines: tuple[Line, ...]
    judged: tuple[Judgement, ...]

    @property
    def verdict(self) -> Verdict:
        """Of all criteria."""
        return verdict(self.judged)

    @property
    def scores(self) -> list[float]:
        """One a die; of the clean bundle where the check asks of no dies."""
        return _scores(self.clean, self.lines)


def run_check(check: Check, place: Place, update: bool = False) -> Outcome:
    """Score a check's bundle, clean and die by die, and judge it. update: write the baseline first, if it has one.
    Raises RcompileError.
    """
    _look_for(check, place.folder)
    asked = plan(check.study(place.folder))
    for source in asked.compiles:
        with waiting_for(place.cache / f"{source.sha256[:32]}.lock"):
            compile_source(source, place.cache)
    baseline = None if check.baseline is None or update else read_baseline(place.folder / check.baseline, WAY_OUT)
    first, *runs = asked.runs
    if baseline is not None:
        baseline.scores_of(first.task.name, first.task.sha256, [_die(run, 0.0) for run in runs])  # fits, or says so now
    clean = score(Job(first, place.cache, place.threads))
    lines: list[Line] = []
    for run in runs:
        lines.append(score(Job(run, place.cache, place.threads)))
        if check.auto and _settled(judge(check, clean["score"], _scores(clean, lines), None)):
            break
    tried = runs[: len(lines)]
    dies = [_die(run, line["score"]) for run, line in zip(tried, lines, strict=True)]
    if update and check.baseline is not None:
        _write(place.folder / check.baseline, first, clean, dies)
        baseline = read_baseline(place.folder / check.baseline)
    held = None
    if baseline is not None:  # an evaluation's scores are not rounded, those of lines are
        held = [round(before, 6) for before in baseline.scores_of(first.task.name, first.task.sha256, dies)]
    judged = judge(check, clean["score"], _scores(clean, lines), held)
    return Outcome(check, first.task, clean, tuple(tried), tuple(lines), judged)


@contextmanager
def waiting_for(lock: Path) -> Iterator[None]:
    """Keep other processes that ask for the same lock waiting while the block runs."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _look_for(check: Check, folder: Path) -> None:
    """Raises BadInputError for a bundle, a model, a map or a baseline that is not there."""
    named = (("bundle", check.bundle), ("model", check.model), *(("map", path) for path in check.maps))
    for what, path in named:
        if path is not None and not (folder / path).exists():
            raise BadInputError(f"there is no {what} '{folder / path}'. Make it before the tests are run.")


def _settled(judged: Sequence[Judgement]) -> bool:
    """Whether more dies would change nothing."""
    return verdict(judged) != "undecided"


def _scores(clean: Line, lines: Sequence[Line]) -> list[float]:
    return [line["score"] for line in lines] or [clean["score"]]


def _die(run: Run, score: float) -> HeldDie:
    """As a baseline has it."""
    die = run.die
    assert die is not None
    if die.map is not None:
        return HeldDie(name=die.map.name, score=score, asked=None, map_sha256=die.map_sha256)
    return HeldDie(name=f"seed {die.seed}", score=score, asked=(die.sa0, die.sa1), effects=die.effects)


def _write(path: Path, first: Run, clean: Line, dies: Sequence[HeldDie]) -> None:
    """A baseline, whole or not at all."""
    held = {
        "task": first.task.name,
        "data_sha256": first.task.sha256,
        "limit": first.task.limit,
        "source_sha256": first.source.sha256,
        "version": full_version(),
        "clean": clean["score"],
        "dies": [die.model_dump(mode="json", exclude_none=True) | {"asked": die.asked} for die in dies],
    }
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_text(canonical_json(held), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise BadInputError(f"cannot write baseline '{path}': {error.strerror}.") from None
