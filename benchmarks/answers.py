"""How a line of data holds what a session answered to the sentences of a task."""

from __future__ import annotations

import base64

import numpy as np

from rcompile.layout.packing import pack, unpack
from runtime.scoring.glue import Glue
from runtime.scoring.task import Answers

LARGEST = float(np.finfo(np.float16).max)


def packed(answers: Answers, task: Glue) -> str:
    """Classes in 1 or 2 bits, values of a regression in float16; base64."""
    if task.head == 1:
        data = np.clip(answers, -LARGEST, LARGEST).astype("<f2").tobytes()
    else:
        data = pack(answers.astype(np.uint8), task.head - 1).tobytes()
    return base64.b64encode(data).decode()


def unpacked(text: str, task: Glue, sentences: int) -> Answers:
    """The inverse of `packed`."""
    data = base64.b64decode(text)
    if task.head == 1:
        return np.frombuffer(data, "<f2").astype(np.float64)
    return unpack(np.frombuffer(data, np.uint8), sentences, task.head - 1).astype(np.int64)
