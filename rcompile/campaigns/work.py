"""Work: what a worker does. It opens bundles by path and digest, and keeps the last ones open, a session each."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

from rcompile.bundle.manifest import MANIFEST
from rcompile.bundle.reader import Bundle
from rcompile.campaigns.plan import DieAsked, Run, Source, TaskAsked
from rcompile.campaigns.store import BUNDLES
from rcompile.canonical import file_sha256
from rcompile.errors import BadInputError
from rcompile.layout.place import plain_crossbars
from rcompile.pipeline import compile_model, rehearse
from rcompile.vocabulary import Combiner
from runtime.die.any_die import AnyDie
from runtime.die.measured import read_die
from runtime.die.virtual import Die
from runtime.die.write_map import write_chip_map
from runtime.scoring.evaluation import DieScore, die_score
from runtime.scoring.question import Score
from runtime.scoring.scorer import Scorer
from runtime.scoring.task_file import find_task

# A session is one die at a time, whatever the threads of a worker.
_one_at_a_time = Lock()


@dataclass(frozen=True)
class Job:
    """A run, where its campaign lies, and the threads that it may take; 0: as many cores as the worker may use."""

    run: Run
    folder: Path
    threads: int


def compile_source(source: Source, folder: Path) -> None:
    """Compile a model into a campaign's cache, unless it is there."""
    out = bundle_of(source, folder)
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        compile_model(source.path, source.target, out, source.options)


def bundle_of(source: Source, folder: Path) -> Path:
    """Where the bundle lies."""
    return folder / BUNDLES / source.sha256[:32] if source.compiled else source.path


def score(job: Job) -> dict[str, Any]:
    """The line of one run. Raises RcompileError."""
    run, threads = job.run, job.threads or len(os.sched_getaffinity(0))
    with _one_at_a_time:
        if run.source.for_one_die:
            found, shares = _on_own_die(run, job.folder, threads)
        else:
            source = run.source
            sha256 = file_sha256(bundle_of(source, job.folder) / MANIFEST) if source.compiled else source.sha256
            scorer = _scorer(bundle_of(source, job.folder), sha256, run.task, run.combiner, threads)
            found, shares = _on(scorer, run.die)
        task = find_task(run.task.name)
        return {
            "key": run.key,
            **run.about(),
            "metric": task.metric,
            "examples": run.task.examples,
            "score": round(found.points, 6),
            "metrics": {name: round(value, 6) for name, value in found.metrics.items()},
            "found": shares and {name: getattr(shares, name) for name in ("sa0", "sa1", "between", "collapsed")},
        }


@lru_cache(maxsize=2)
def _scorer(bundle: Path, sha256: str, task: TaskAsked, combiner: Combiner | None, threads: int) -> Scorer:
    if file_sha256(bundle / MANIFEST) != sha256:
        raise BadInputError(
            f"bundle '{bundle}' is not the one that the campaign began with. Start the campaign again: it keeps what is finished."
        )
    return _opened(bundle, task, combiner, threads)


def _opened(bundle: Path, task: TaskAsked, combiner: Combiner | None, threads: int) -> Scorer:
    chosen = find_task(task.name)
    examples = chosen.load(task.data, task.limit)
    return Scorer(Bundle.open(bundle), chosen, examples, threads=threads, combiner=combiner)


def _on(scorer: Scorer, asked: DieAsked | None) -> tuple[Score, DieScore | None]:
    die = None if asked is None else _die(asked, scorer.bundle)
    found = scorer.on(die)
    return found, None if die is None else die_score(die, found, scorer.session.report())


def _die(asked: DieAsked, bundle: Bundle) -> AnyDie:
    if asked.map is None:
        return Die(asked.seed, asked.sa0, asked.sa1, asked.effects)
    if file_sha256(asked.map) != asked.map_sha256:
        raise BadInputError(f"fault map '{asked.map}' is not the one that the campaign began with. Start it again.")
    return read_die(asked.map, bundle)


def _on_own_die(run: Run, folder: Path, threads: int) -> tuple[Score, DieScore | None]:
    """Compile for the die, on a chip of as many crossbars as the dense model takes, and score on it."""
    source, asked = run.source, run.die
    assert asked is not None
    with tempfile.TemporaryDirectory(prefix=".die-", dir=folder) as place:
        chip, out = asked.map or Path(place) / "chip.npz", Path(place) / "bundle"
        if asked.map is None:
            layers = rehearse(source.path, source.target, stop_after="find").layers
            crossbars = sum(plain_crossbars(layer.inputs, layer.outputs, source.target) for layer in layers)
            write_chip_map(Die(asked.seed, asked.sa0, asked.sa1, asked.effects), source.target, crossbars, chip)
        compile_model(source.path, source.target, out, source.options, die_map=chip)
        scorer = _opened(out, run.task, run.combiner, threads)
        return _on(scorer, DieAsked(map=chip, map_sha256=file_sha256(chip)))
