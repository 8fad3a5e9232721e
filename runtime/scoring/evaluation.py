"""Evaluate: a task's score for the source model and for the bundle, on a clean die and on faulty ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from rcompile.bundle.reader import Bundle
from rcompile.errors import BadInputError, Interrupted
from rcompile.hardware.effects.table import Effects
from rcompile.onnx_in.text import Feeds, TextEncoder, session_inputs
from rcompile.vocabulary import Combiner
from runtime.die.any_die import AnyDie
from runtime.ort.baseline import int8_session
from runtime.ort.session import CrossbarSession, LayerReport, load, quiet_options
from runtime.scoring.glue import Examples, Task, find_task, load_examples

BATCH = 32
Progress = Callable[[str, int, int], None]
Scorer = Callable[[ort.InferenceSession, str], dict[str, float]]  # of a session, under a name


@dataclass(frozen=True)
class DieScore:
    """The score on one die; a measured one has a seed for what its effects draw. sa0, sa1, between: the shares of its
    cells that are stuck at level 0, at the top level, and at one between.

    collapsed: share of bitlines whose reads fold into the integer product, exactly.
    """

    name: str
    seed: int
    sa0: float
    sa1: float
    between: float
    collapsed: float
    effects: Effects
    score: float
    metrics: dict[str, float]


@dataclass(frozen=True)
class Evaluation:
    """Scores in points (100 is perfect).

    source: the source model in fp32, None if the bundle does not hold it. int8: the same quantized by ONNX Runtime,
    None if not asked for. unfinished: dies that an interruption left without a score, by name.
    """

    task: str
    metric: str
    examples: int
    data: str
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
    task: str,
    *,
    data: str | Path | None = None,
    dies: Sequence[AnyDie] = (),
    combiner: Combiner | None = None,
    int8: bool = False,
    limit: int | None = None,
    threads: int = 0,
    progress: Progress = lambda what, done, total: None,
) -> Evaluation:
    """Score a bundle on a GLUE task. combiner: of replicas, None: as compiled. progress(what, done, total) is called
    after each batch. Raises RcompileError; of an interruption among the dies InterruptedEvaluation.
    """
    chosen = find_task(task)
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    examples = load_examples(chosen, data, limit)
    session = load(opened, threads=threads, combiner=combiner)
    batches = _batches(opened, session, examples)

    def score(session: ort.InferenceSession, what: str) -> dict[str, float]:
        return _scores(session, chosen, examples, batches, what, progress)

    source, quantized = _source_scores(opened, score, threads, int8)
    clean = score(session, "clean")
    scored: list[DieScore] = []
    interrupted = False
    try:
        scored.extend(_die_scores(session, dies, score, threads, combiner))
    except KeyboardInterrupt:
        interrupted = True
    result = Evaluation(
        task=task,
        metric=chosen.metric,
        examples=len(examples.labels),
        data=examples.origin,
        target=opened.manifest.target.name,
        combiner=combiner or opened.manifest.combiner,
        source=None if source is None else _mean(source),
        int8=None if quantized is None else _mean(quantized),
        clean=_mean(clean),
        dies=tuple(scored),
        metrics={"source": source, "int8": quantized, "clean": clean},
        unfinished=tuple(die.name for die in dies[len(scored) :]),
    )
    if interrupted:
        raise InterruptedEvaluation(result)
    return result


def _source_scores(
    bundle: Bundle, score: Scorer, threads: int, int8: bool
) -> tuple[dict[str, float] | None, dict[str, float] | None]:
    """Of the source model in fp32, if the bundle holds it, and quantized by ONNX Runtime, if that is asked for."""
    if not int8 and bundle.manifest.source.model is None:
        return None, None
    bundle.verify(n for n in bundle.manifest.files if n.startswith("source/"))
    source = score(source_session(bundle, threads), "fp32")
    return source, score(int8_session(source_file(bundle), threads), "int8") if int8 else None


def _die_scores(
    session: CrossbarSession,
    dies: Sequence[AnyDie],
    score: Scorer,
    threads: int,
    combiner: Combiner | None,
) -> Iterator[DieScore]:
    """The dies' scores as they are found."""
    for number, die in enumerate(dies, 1):
        if session.accepts(die):
            session.set_die(die)
        else:
            session = load(session.bundle, die, threads=threads, combiner=combiner)
        metrics = score(session, f"die {number} of {len(dies)} ({die.name})")
        shares = _shares(session.report())
        yield DieScore(die.name, die.seed, *shares, effects=die.effects, score=_mean(metrics), metrics=metrics)


def source_file(bundle: Bundle) -> Path:
    """The source model that the bundle holds. Raises BadInputError if it holds none."""
    if bundle.manifest.source.model is None:
        raise BadInputError(f"bundle '{bundle.folder}' does not hold its source model; compile without --no-source.")
    return bundle.path(bundle.manifest.source.model)


def source_session(bundle: Bundle, threads: int = 0) -> ort.InferenceSession:
    """The source model that the bundle holds, in plain ONNX Runtime. Raises BadInputError if it holds none or it does
    not run.
    """
    path = source_file(bundle)
    options = quiet_options(threads)
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises one class a status code
        raise BadInputError(f"ONNX Runtime cannot run the source model of bundle '{bundle.folder}': {error}") from None


Batch = tuple[list[int], Feeds]


def _batches(bundle: Bundle, session: ort.InferenceSession, examples: Examples) -> list[Batch]:
    """Examples of like length together, each batch with the indices of its examples."""
    if bundle.manifest.source.tokenizer is None:
        raise BadInputError(
            f"bundle '{bundle.folder}' has no tokenizer: put tokenizer.json beside the ONNX file and compile again."
        )
    encoder = TextEncoder(bundle.path(bundle.manifest.source.tokenizer), session_inputs(session))
    order = np.argsort(encoder.lengths(examples.texts), kind="stable").tolist()
    return list(encoder.batches(examples.texts, order, BATCH))


def _scores(
    session: ort.InferenceSession, task: Task, examples: Examples, batches: list[Batch], what: str, progress: Progress
) -> dict[str, float]:
    outputs = [o.name for o in session.get_outputs()]
    name = "logits" if "logits" in outputs else outputs[0]
    logits: np.ndarray | None = None
    for done, (rows, feeds) in enumerate(batches, 1):
        try:
            (values,) = session.run([name], feeds)
        except ort.capi.onnxruntime_pybind11_state.InvalidArgument as error:
            raise BadInputError(
                f"the model refuses what its tokenizer makes of the texts: {error}. Is it the tokenizer.json of this model?"
            ) from None
        if values.ndim != 2 or values.shape[1] != task.labels:
            shape: Any = list(values.shape[1:])
            raise BadInputError(
                f"output '{name}' has shape [batch, {', '.join(map(str, shape))}]; task {task.name} needs a head of {task.labels} (logits). Compile a model fine-tuned for {task.name}."
            )
        if logits is None:
            logits = np.zeros((len(examples.labels), task.labels))
        # A flipped bit can make a number of any size, or none at all; what is not finite says nothing.
        logits[rows] = np.nan_to_num(values[: len(rows)], nan=0.0, posinf=0.0, neginf=0.0)
        progress(what, done, len(batches))
    assert logits is not None
    return task.scores(examples.labels, logits)


def _shares(report: Sequence[LayerReport]) -> tuple[float, float, float, float]:
    """Of all cells those stuck at level 0, at the top and between, and of all bitlines those that collapse."""
    cells, bitlines = sum(row.cells for row in report), sum(row.bitlines for row in report)
    stuck = (sum(row.sa0 for row in report), sum(row.sa1 for row in report), sum(row.between for row in report))
    return stuck[0] / cells, stuck[1] / cells, stuck[2] / cells, sum(row.collapsed for row in report) / bitlines


def _mean(metrics: dict[str, float]) -> float:
    return sum(metrics.values()) / len(metrics)
