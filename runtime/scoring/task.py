"""A task: data, inputs, and a score."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from rcompile.errors import BadInputError
from rcompile.onnx_in.text import MAX_TOKENS, Texts

Answers = npt.NDArray[Any]  # [texts, ...]; of objects where each has its own length
Outputs = Mapping[str, npt.NDArray[Any]]  # [batch, ...] by name, finite


@dataclass(frozen=True, eq=False)
class Examples:
    """What a task asks, and where it came from.

    texts: all that the model reads, a sentence, a pair, or a list of words each; a task may ask several of an example.
    labels: of each example; None: what the source model says of each text. label_names: what the model's labels mean,
    in its order, where they have names. max_tokens: longer texts are cut.
    """

    texts: Texts
    labels: Sequence[Any] | npt.NDArray[Any] | None
    origin: str
    label_names: tuple[str, ...] = ()
    max_tokens: int = MAX_TOKENS

    @property
    def count(self) -> int:
        """Examples."""
        return len(self.texts if self.labels is None else self.labels)

    @property
    def sha256(self) -> str:
        """The digest of texts and labels: two scores of one digest are of the same sentences."""
        labels = None if self.labels is None else np.asarray(self.labels, object).tolist()
        about = json.dumps([self.texts, labels], sort_keys=True, default=str)
        return hashlib.sha256(about.encode()).hexdigest()


@runtime_checkable
class Task(Protocol):
    """What a model is scored on."""

    @property
    def name(self) -> str:
        """As a report calls it."""

    @property
    def metric(self) -> str:
        """The name of the score: one of the metrics, or else their mean."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """The outputs that it looks at. A model that has none of these names is asked for as many of its first."""

    def load(self, data: str | Path | None, limit: int | None) -> Examples:
        """Its first `limit` examples. data: where, if not where the task says. Raises RcompileError."""

    def answers(self, encodings: Sequence[Any], outputs: Outputs) -> Answers:
        """What a batch of outputs says of each of its texts. encodings: as `Batch` has them. Raises BadInputError for
        outputs that are none of this task.
        """

    def scores(self, examples: Examples, answers: Answers) -> dict[str, float]:
        """Every metric, in points (100 is perfect) unless its name says another unit. answers: of all texts."""


def finite(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Outputs as float64. A flipped bit can make a number of any size, or none at all; what is not finite says nothing,
    and counts as 0.
    """
    return np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def output_of(task: str, outputs: Outputs, name: str, shape: tuple[int | None, ...], needs: str) -> npt.NDArray[Any]:
    """The output of that name, or the first, if it has this shape (None: any). Raises BadInputError."""
    name = name if name in outputs else next(iter(outputs))
    found = outputs[name].shape
    if len(found) != len(shape) or any(wanted not in (None, size) for wanted, size in zip(shape, found, strict=True)):
        raise no_head(task, f"output '{name}' has shape [batch{''.join(f', {size}' for size in found[1:])}]", needs)
    return outputs[name]


def no_head(task: str, found: str, needs: str) -> BadInputError:
    """The error for a model whose outputs are none of a task."""
    return BadInputError(f"{found}; task {task} needs {needs}. Compile a model fine-tuned for {task}.")
