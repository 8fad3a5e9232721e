"""Plan: what a study asks to be scored, one run for every point of its grid on every die."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from rcompile.bundle.manifest import MANIFEST
from rcompile.bundle.reader import Bundle
from rcompile.campaigns.study import Study
from rcompile.canonical import canonical_json, file_sha256
from rcompile.errors import BadInputError, RcompileError, UsageError
from rcompile.hardware.changes import with_effects
from rcompile.hardware.effects.table import Effects
from rcompile.hardware.target import Target
from rcompile.hardware.target_file import load_target
from rcompile.options import CompileOptions
from rcompile.protection.carry import rates_of
from rcompile.protection.protect import scheme_of
from rcompile.version import full_version
from rcompile.vocabulary import Combiner, Scheme
from runtime.die.measured import STICKING
from runtime.die.virtual import Die
from runtime.scoring.task_file import find_task


@dataclass(frozen=True, eq=False)
class Source:
    """What a bundle comes from: given as it is, or to be compiled. sha256: of all that decides its bytes."""

    path: Path
    sha256: str
    target: Target
    protect: Scheme
    changes: tuple[str, ...] = ()
    compiled: bool = False

    @property
    def for_one_die(self) -> bool:
        """Whether it is compiled for each die anew."""
        return self.compiled and self.protect == "die"

    @property
    def options(self) -> CompileOptions:
        """Of its compile."""
        return CompileOptions(protect=self.protect, keep_source=False)


@dataclass(frozen=True, eq=False)
class DieAsked:
    """A die: virtual, with a seed, rates and effects; or a map, as a file with its digest."""

    seed: int = 0
    sa0: float = 0.0
    sa1: float = 0.0
    effects: Effects = field(default_factory=Effects)
    map: Path | None = None
    map_sha256: str | None = None

    def about(self) -> dict[str, Any]:
        """What decides it."""
        if self.map is not None:
            return {"map": self.map.name, "map_sha256": self.map_sha256}
        return {"seed": self.seed, "sa0": self.sa0, "sa1": self.sa1, "effects": self.effects.model_dump(mode="json", exclude_none=True)}  # fmt: skip


@dataclass(frozen=True)
class TaskAsked:
    """A task, how many examples it has, and their digest."""

    name: str
    data: Path | None
    limit: int | None
    examples: int
    sha256: str


@dataclass(frozen=True, eq=False)
class Run:
    """One score: a bundle on a task and a die, None for the one without faults. folder: of the campaign."""

    source: Source
    task: TaskAsked
    combiner: Combiner | None
    die: DieAsked | None

    def about(self) -> dict[str, Any]:
        """Everything that decides the score, as a line of the results says it."""
        source, task = self.source, self.task
        return {
            "model": source.path.name,
            "source_sha256": source.sha256,
            "target": source.target.name,
            "changes": list(source.changes),
            "protect": source.protect,
            "task": task.name,
            "data_sha256": task.sha256,
            "limit": task.limit,
            "combiner": self.combiner,
            "die": self.die and self.die.about(),
            "version": full_version(),
        }

    @property
    def key(self) -> str:
        """A digest of that."""
        return hashlib.sha256(canonical_json(self.about()).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Plan:
    """All runs of a study, those of one bundle, task and combiner together; and the bundles that are compiled once."""

    runs: tuple[Run, ...]
    compiles: tuple[Source, ...]


def plan(study: Study) -> Plan:
    """Look at everything that a study names before anything is run. Raises BadInputError with every error at once."""
    problems: list[str] = []
    sources = list(_kept(_sources(study), problems))
    tasks = [_task(study, name) for name in study.tasks]
    runs = []
    for source, task, combiner in product(sources, tasks, study.combiners):
        dies = list(_kept(_dies(study, source), problems))
        clean = [] if source.for_one_die else [None]
        runs += [Run(source, task, combiner, die) for die in [*clean, *dies]]
    if problems:
        raise BadInputError("the study cannot be run:\n" + "\n".join(f"  {p}" for p in dict.fromkeys(problems)))
    compiles = dict.fromkeys(source for source in sources if source.compiled and not source.for_one_die)
    return Plan(tuple(runs), tuple(compiles))


def _kept(found: Iterator[Any], problems: list[str]) -> Iterator[Any]:
    """What could be made; what is wrong with the rest goes to the problems."""
    for make in found:
        try:
            yield make()
        except RcompileError as error:
            problems.append(str(error))


def _sources(study: Study) -> Iterator[Any]:
    for path in study.bundles:
        yield lambda path=path: _given(path)
    for model, target, changes, scheme in product(study.models, study.targets, study.changes, study.protect):
        yield lambda m=model, t=target, c=changes, p=scheme: _to_compile(m, t, c, p)


def _given(path: Path) -> Source:
    manifest = Bundle.open(path).manifest
    return Source(path, file_sha256(path / MANIFEST), manifest.target, manifest.options.protect or "none")


def _to_compile(model: Path, name: str, changes: tuple[str, ...], protect: Scheme) -> Source:
    target = load_target(name, changes)
    scheme_of(CompileOptions(protect=protect), target, protect == "die")
    decides = {"model": file_sha256(model), "target": target.sha256, "protect": protect, "version": full_version()}
    digest = hashlib.sha256(canonical_json(decides).encode()).hexdigest()
    return Source(model, digest, target, protect, changes, compiled=True)


def _dies(study: Study, source: Source) -> Iterator[Any]:
    target = source.target
    rates = [*study.rates, *((rates_of(share, target.faults)) for share in study.stuck)] or [(0.0, 0.0)]
    for effects, (sa0, sa1), seed in product(study.effects, rates, study.dies):
        yield lambda s=seed, a=sa0, b=sa1, e=effects: _virtual(source, s, a, b, e)
    for path in study.maps:
        yield lambda path=path: DieAsked(map=path, map_sha256=file_sha256(path))


def _virtual(source: Source, seed: int, sa0: float, sa1: float, changes: tuple[str, ...]) -> DieAsked:
    effects = with_effects(source.target, changes).effects
    die = Die(seed, sa0, sa1, effects)
    die.physics(source.target)
    if source.for_one_die and (others := [name for name in effects.names if name not in STICKING]):
        raise UsageError(f"protect = 'die' knows stuck cells alone, {', '.join(others)} makes none stick.")
    return DieAsked(die.seed, die.sa0, die.sa1, effects)


def _task(study: Study, name: str) -> TaskAsked:
    examples = find_task(name).load(study.data, study.limit)
    return TaskAsked(name, study.data, study.limit, examples.count, examples.sha256)
