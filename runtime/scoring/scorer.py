"""Scorer: a bundle in a session and the sentences of a task, made ready once; a die is then a change of the session."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from rcompile.bundle.reader import Bundle
from rcompile.canonical import canonical_json
from rcompile.errors import BadInputError
from rcompile.onnx_in.text import TextEncoder, session_inputs
from rcompile.vocabulary import Combiner
from runtime.die.any_die import AnyDie
from runtime.ort.baseline import int8_session
from runtime.ort.session import CrossbarSession, load, quiet_options
from runtime.scoring.glue import Examples, Predictions, Task

BATCH = 32
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Score:
    """What a session is worth. metrics: every metric in points (100 is perfect). answers: what it said of each example,
    its class, or its value in a regression: [examples].
    """

    metrics: dict[str, float]
    answers: Predictions

    @property
    def points(self) -> float:
        """The score: the mean of the metrics."""
        return sum(self.metrics.values()) / len(self.metrics)


class Scorer:
    """Scores of one bundle on one task. threads, combiner: as `load` takes them. Raises RcompileError for a bundle that
    is damaged, has no tokenizer, or takes no text.
    """

    def __init__(
        self, bundle: Bundle, task: Task, examples: Examples, *, threads: int = 0, combiner: Combiner | None = None
    ) -> None:
        self.bundle, self.task, self.examples, self.threads, self.combiner = bundle, task, examples, threads, combiner
        self.session: CrossbarSession = load(bundle, threads=threads, combiner=combiner)
        if bundle.manifest.source.tokenizer is None:
            raise BadInputError(
                f"bundle '{bundle.folder}' has no tokenizer: put tokenizer.json beside the ONNX file and compile again."
            )
        encoder = TextEncoder(bundle.path(bundle.manifest.source.tokenizer), session_inputs(self.session))
        # Examples of like length together.
        order = np.argsort(encoder.lengths(examples.texts), kind="stable").tolist()
        self._batches = list(encoder.batches(examples.texts, order, BATCH))

    def on(self, die: AnyDie | None, what: str, progress: Progress) -> Score:
        """On a die, or without faults. progress(what, done, total) is called after each batch."""
        if self.session.accepts(die):
            self.session.set_die(die)
        else:
            self.session = load(self.bundle, die, threads=self.threads, combiner=self.combiner)
        return self.of(self.session, what, progress)

    def source(self, progress: Progress) -> Score:
        """Of the source model, in plain ONNX Runtime."""
        return self.of(source_session(self.bundle, self.threads), "fp32", progress)

    def int8(self, progress: Progress) -> Score:
        """Of the source model, quantized by ONNX Runtime."""
        return self.of(int8_session(source_file(self.bundle), self.threads), "int8", progress)

    def of(self, session: ort.InferenceSession, what: str, progress: Progress) -> Score:
        """Of any session with these inputs. Raises BadInputError for one that has no head for the task."""
        outputs = [o.name for o in session.get_outputs()]
        name = "logits" if "logits" in outputs else outputs[0]
        logits = np.zeros((len(self.examples.labels), self.task.labels))
        for done, (rows, feeds) in enumerate(self._batches, 1):
            try:
                (values,) = session.run([name], feeds)
            except ort.capi.onnxruntime_pybind11_state.InvalidArgument as error:
                raise BadInputError(
                    f"the model refuses what its tokenizer makes of the texts: {error}. Is it the tokenizer.json of this model?"
                ) from None
            if values.ndim != 2 or values.shape[1] != self.task.labels:
                raise _no_head(name, values.shape, self.task)
            # A flipped bit can make a number of any size, or none at all; what is not finite says nothing.
            logits[rows] = np.nan_to_num(values[: len(rows)], nan=0.0, posinf=0.0, neginf=0.0)
            progress(what, done, len(self._batches))
        return Score(self.task.scores(self.examples.labels, logits), self.task.predicted(logits))


def examples_sha256(examples: Examples) -> str:
    """The digest of texts and labels: two evaluations of one digest are of the same sentences."""
    texts = [list(text) if isinstance(text, tuple) else text for text in examples.texts]
    about = canonical_json({"texts": texts, "labels": examples.labels.tolist()})
    return hashlib.sha256(about.encode()).hexdigest()


def _no_head(name: str, found: tuple[Any, ...], task: Task) -> BadInputError:
    return BadInputError(
        f"output '{name}' has shape [batch, {', '.join(map(str, found[1:]))}]; task {task.name} needs a head of {task.labels} (logits). Compile a model fine-tuned for {task.name}."
    )


def source_file(bundle: Bundle) -> Path:
    """The source model that the bundle holds. Raises BadInputError if it holds none."""
    if bundle.manifest.source.model is None:
        raise BadInputError(f"bundle '{bundle.folder}' does not hold its source model; compile without --no-source.")
    bundle.verify(n for n in bundle.manifest.files if n.startswith("source/"))
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
