"""What sessions answer to the sentences of a task, and how a line of data holds it."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort

from rcompile.bundle.reader import Bundle
from rcompile.layout.packing import pack, unpack
from rcompile.onnx_in.text import Feeds, TextEncoder, session_inputs
from runtime.scoring.glue import Examples, Predictions, Task
from runtime.scoring.scorer import BATCH

LARGEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Question:
    """What every session is asked: sentences with their labels, in batches of like length."""

    task: Task
    labels: Predictions
    batches: list[tuple[list[int], Feeds]]

    @staticmethod
    def of(task: Task, examples: Examples, bundle: Bundle, session: ort.InferenceSession) -> Question:
        """bundle: whose tokenizer is taken. session: whose inputs are filled."""
        tokenizer = bundle.manifest.source.tokenizer
        assert tokenizer is not None
        encoder = TextEncoder(bundle.path(tokenizer), session_inputs(session))
        order = np.argsort(encoder.lengths(examples.texts), kind="stable").tolist()
        return Question(task, examples.labels, list(encoder.batches(examples.texts, order, BATCH)))

    def predicted(self, session: ort.InferenceSession) -> Predictions:
        """The class of every sentence, or its value in a regression."""
        logits = np.zeros((len(self.labels), self.task.labels))
        for rows, feeds in self.batches:
            (logits[rows],) = session.run(["logits"], feeds)
        return self.task.predicted(logits)


def packed(answers: Predictions, task: Task) -> str:
    """Classes in 1 or 2 bits, values of a regression in float16; base64."""
    if task.labels == 1:
        data = np.clip(answers, -LARGEST, LARGEST).astype("<f2").tobytes()
    else:
        data = pack(answers.astype(np.uint8), task.labels - 1).tobytes()
    return base64.b64encode(data).decode()


def unpacked(text: str, task: Task, sentences: int) -> Predictions:
    """The inverse of `packed`."""
    data = base64.b64decode(text)
    if task.labels == 1:
        return np.frombuffer(data, "<f2").astype(np.float64)
    return unpack(np.frombuffer(data, np.uint8), sentences, task.labels - 1).astype(np.int64)
