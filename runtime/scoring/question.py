"""Question: the texts of a task as a session is asked them, and what it is worth by its answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from rcompile.bundle.reader import Bundle
from rcompile.errors import BadInputError
from rcompile.onnx_in.names import labels_in, same_in_another_order
from rcompile.onnx_in.text import TextEncoder, session_inputs
from runtime.scoring.task import Answers, Examples, Task, finite, no_head

BATCH = 32
Progress = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """Reports nothing."""


@dataclass(frozen=True, eq=False)
class Score:
    """What a session is worth. points: the score (100 is perfect). answers: what it said of each text, as its task has
    it: a class, a value, a vector, ...: [texts, ...].
    """

    points: float
    metrics: dict[str, float]
    answers: Answers


class Question:
    """Examples in batches of like length, for any session with the inputs of this one. Raises BadInputError for a
    bundle without a tokenizer, a session that takes no text, or has the task's labels in another order.
    """

    def __init__(self, task: Task, examples: Examples, bundle: Bundle, session: ort.InferenceSession) -> None:
        self.task, self.examples = task, examples
        if bundle.manifest.source.tokenizer is None:
            raise BadInputError(
                f"bundle '{bundle.folder}' has no tokenizer: put tokenizer.json beside the ONNX file and compile again."
            )
        _check_labels(session, task, examples)
        tokenizer = bundle.path(bundle.manifest.source.tokenizer)
        encoder = TextEncoder(tokenizer, session_inputs(session), examples.max_tokens)
        order = np.argsort(encoder.lengths(examples.texts), kind="stable").tolist()
        self._batches = list(encoder.batches(examples.texts, order, BATCH))

    @property
    def labels(self) -> npt.NDArray[np.generic]:
        """Of each example."""
        return np.asarray(self.examples.labels)

    def score(self, session: ort.InferenceSession, what: str = "", progress: Progress = silent) -> Score:
        """Raises BadInputError for a session that has no head for the task."""
        answers = self.answers(session, what, progress)
        metrics = self.task.scores(self.examples, answers)
        mean = sum(metrics.values()) / len(metrics)
        return Score(metrics.get(self.task.metric, mean), metrics, answers)

    def answers(self, session: ort.InferenceSession, what: str = "", progress: Progress = silent) -> Answers:
        """Of each text. progress(what, done, total) is called after each batch. Raises as `score`."""
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
