"""Evaluate: a task's score for the source model and for the bundle, on a clean die and on faulty ones."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rcompile.bundle.manifest import MANIFEST
from rcompile.bundle.reader import Bundle
from rcompile.canonical import file_sha256
from rcompile.errors import Interrupted
from rcompile.hardware.effects.table import Effects
from rcompile.version import full_version
from rcompile.vocabulary import Combiner
from runtime.die.any_die import AnyDie
from runtime.die.virtual import Die
from runtime.ort.session import LayerReport
from runtime.scoring.question import Progress, Score, silent
from runtime.scoring.scorer import Scorer
from runtime.scoring.task import Examples, Task
from runtime.scoring.task_file import find_task


@dataclass(frozen=True)
class DieScore:
    """The score on one die; a measured one is named as its map, and has a seed for what its effects draw. asked: SA0
    and SA1 rates of a virtual one, None of a measured one. sa0, sa1, between: the shares of its cells that are stuck at
    level 0, at the top level, and at one between.

    collapsed: share of bitlines whose reads fold into the integer product, exactly.
    """

    name: str
    seed: int
    asked: tuple[float, float] | None
    sa0: float
    sa1: float
    between: float
    collapsed: float
    effects: Effects
    score: float
    metrics: dict[str, float]


@dataclass(frozen=True)
class Evaluation:
    """Scores in points (100 is perfect). metrics: as the task names them; points too, unless a name says another unit.

    source: the source model in fp32, None if the bundle does not hold it. int8: the same quantized by ONNX Runtime,
    None if not asked for. unfinished: dies that an interruption left without a score, by name. Digests: of the bundle's
    manifest, of the source model, of the sentences and labels. version: of rcompile, with its commit.
    """

    task: str
    metric: str
    examples: int
    data: str
    data_sha256: str
    bundle_sha256: str
    source_sha256: str
    version: str
    seconds: float
    target: str
    combiner: Combiner
    source: float | None
    int8: float | None
    clean: float
    dies: tuple[DieScore, ...]
    metrics: dict[str, dict[str, float] | None]
    unfinished: tuple[str, ...] = ()


class InterruptedEvaluation(Interrupted):
    """The user stopped an evaluation (Ctrl-C) among its dies. finished: the scores until then."""

    def __init__(self, finished: Evaluation) -> None:
        done, left = len(finished.dies), len(finished.unfinished)
        super().__init__(f"{done} of {done + left} dies are scored")
        self.finished = finished


def evaluate(  # noqa: PLR0913  # a user's call names them
    bundle: str | Path | Bundle,
    task: str | Task,
    *,
    data: str | Path | None = None,
    dies: Sequence[AnyDie] = (),
    combiner: Combiner | None = None,
    int8: bool = False,
    limit: int | None = None,
    threads: int = 0,
    progress: Progress = silent,
) -> Evaluation:
    """Score a bundle on a task: its name, the path of its TOML file, `module:object`, or itself. data: where its
    examples are, if not where the task says. combiner: of replicas, None: as compiled. progress(what, done, total) is
    called after each batch. Raises RcompileError; of an interruption among the dies InterruptedEvaluation.
    """
    began = time.monotonic()
    chosen = find_task(task) if isinstance(task, str) else task
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    examples = chosen.load(data, limit)
    scorer = Scorer(opened, chosen, examples, threads=threads, combiner=combiner)
    source = scorer.source(progress) if int8 or opened.manifest.source.model is not None else None
    quantized = scorer.int8(progress) if int8 else None
    clean = scorer.on(None, "clean", progress)
    scored: list[DieScore] = []
    with suppress(KeyboardInterrupt):
        scored.extend(_die_scores(scorer, dies, progress))
    result = Evaluation(
        task=chosen.name,
        metric=chosen.metric,
        examples=examples.count,
        data=examples.origin,
        **_digests(opened, examples),
        version=full_version(),
        seconds=round(time.monotonic() - began, 3),
        target=opened.manifest.target.name,
        combiner=combiner or opened.manifest.combiner,
        source=_points(source),
        int8=_points(quantized),
        clean=clean.points,
        dies=tuple(scored),
        metrics={"source": _metrics(source), "int8": _metrics(quantized), "clean": clean.metrics},
        unfinished=tuple(die.name for die in dies[len(scored) :]),
    )
    if result.unfinished:
        raise InterruptedEvaluation(result)
    return result


def _die_scores(scorer: Scorer, dies: Sequence[AnyDie], progress: Progress) -> Iterator[DieScore]:
    """The dies' scores as they are found."""
    for number, die in enumerate(dies, 1):
        found = scorer.on(die, f"die {number} of {len(dies)} ({die.name})", progress)
        yield die_score(die, found, scorer.session.report())


def die_score(die: AnyDie, found: Score, report: Sequence[LayerReport]) -> DieScore:
    """A score with what the session says of the die: of all cells those stuck at level 0, at the top and between, and
    of all bitlines those that collapse.
    """
    cells, bitlines = sum(row.cells for row in report), sum(row.bitlines for row in report)
    return DieScore(
        name=die.name,
        seed=die.seed,
        asked=(die.sa0, die.sa1) if isinstance(die, Die) else None,
        sa0=sum(row.sa0 for row in report) / cells,
        sa1=sum(row.sa1 for row in report) / cells,
        between=sum(row.between for row in report) / cells,
        collapsed=sum(row.collapsed for row in report) / bitlines,
        effects=die.effects,
        score=found.points,
        metrics=found.metrics,
    )


def _digests(bundle: Bundle, examples: Examples) -> dict[str, str]:
    """Of what is scored, and on what."""
    return {
        "data_sha256": examples.sha256,
        "bundle_sha256": file_sha256(bundle.folder / MANIFEST),
        "source_sha256": bundle.manifest.source.sha256,
    }


def _points(score: Score | None) -> float | None:
    return None if score is None else score.points


def _metrics(score: Score | None) -> dict[str, float] | None:
    return None if score is None else score.metrics
