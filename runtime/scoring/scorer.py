"""Scorer: a bundle in a session and the texts of a task, made ready once; a die is then a change of the session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnxruntime as ort

from rcompile.bundle.reader import Bundle
from rcompile.errors import BadInputError
from rcompile.onnx_in.names import labels_in, same_in_another_order
from rcompile.onnx_in.text import TextEncoder, session_inputs
from rcompile.vocabulary import Combiner
from runtime.die.any_die import AnyDie
from runtime.ort.baseline import int8_session
from runtime.ort.session import CrossbarSession, load, quiet_options
from runtime.scoring.task import Answers, Examples, Task, finite, no_head

BATCH = 32
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Score:
    """What a session is worth. points: the score (100 is perfect). answers: what it said of each text, as its task has
    it: a class, a value, a vector, ...: [texts, ...].
    """

    points: float
    metrics: dict[str, float]
    answers: Answers


class Scorer:
    """Scores of one bundle on one task. threads, combiner: as `load` takes them. Raises RcompileError for a bundle that
    is damaged, has no tokenizer, takes no text, or has the task's labels in another order.
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
        _check_labels(self.session, task, examples)
        tokenizer = bundle.path(bundle.manifest.source.tokenizer)
        encoder = TextEncoder(tokenizer, session_inputs(self.session), examples.max_tokens)
        # Examples of like length together.
        order = np.argsort(encoder.lengths(examples.texts), kind="stable").tolist()
        self._batches = list(encoder.batches(examples.texts, order, BATCH))
        if examples.labels is None:
            says = self._answers(source_session(bundle, threads), "fp32", lambda what, done, total: None)
            self.examples = replace(examples, labels=says)

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
        answers = self._answers(session, what, progress)
        metrics = self.task.scores(self.examples, answers)
        mean = sum(metrics.values()) / len(metrics)
        return Score(metrics.get(self.task.metric, mean), metrics, answers)

    def _answers(self, session: ort.InferenceSession, what: str, progress: Progress) -> Answers:
        names = _outputs(session, self.task)
        answers: Answers = np.empty(0)
        for done, (rows, feeds, encodings) in enumerate(self._batches, 1):
            try:
                values = session.run(names, feeds)
            except ort.capi.onnxruntime_pybind11_state.InvalidArgument as error:
                raise BadInputError(
                    f"the model refuses what its tokenizer makes of the texts: {error}. Is it the tokenizer.json of this model, and does it take {self.examples.max_tokens} tokens?"
                ) from None
            outputs = {name: finite(value[: len(rows)]) for name, value in zip(names, values, strict=True)}
            said = self.task.answers(encodings, outputs)
            if done == 1:
                answers = np.zeros((len(self.examples.texts), *said.shape[1:]), said.dtype)
            answers[rows] = said
            progress(what, done, len(self._batches))
        return answers


def _outputs(session: ort.InferenceSession, task: Task) -> list[str]:
    """The outputs that a task looks at, or as many of the first. Raises BadInputError for a session that has fewer."""
    there, wanted = [o.name for o in session.get_outputs()], list(task.outputs)
    if set(wanted) <= set(there):
        return wanted
    if len(there) < len(wanted):
        raise no_head(task.name, f"the model's only output is '{there[0]}'", " and ".join(wanted))
    return there[: len(wanted)]


def _check_labels(session: ort.InferenceSession, task: Task, examples: Examples) -> None:
    """Raises BadInputError for a model that has the task's labels in another order; one that names none, or others,
    says nothing of their order.
    """
    model = labels_in(session.get_modelmeta().custom_metadata_map)
    if same_in_another_order(model, examples.label_names):
        raise BadInputError(
            f"the model's labels are {', '.join(model)}, in this order; task {task.name} has {', '.join(examples.label_names)}. Every score would be of the wrong labels: score a task whose labels are in the model's order (docs/tasks.md)."
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
