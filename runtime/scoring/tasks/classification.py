"""One class, or one value, of each text or pair of texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationInfo, field_validator

from runtime.scoring.data import read_table
from runtime.scoring.metrics import ClassMetrics, Metric, ValueMetrics, score_name
from runtime.scoring.task import Answers, Examples, Outputs, finite, output_of
from runtime.scoring.tasks.kind import Columns, Kind, Labels, label_text


class _Head:
    """A head of logits, and metrics whose mean is the score."""

    outputs: ClassVar[tuple[str, ...]] = ("logits",)

    if TYPE_CHECKING:  # fields, which each kind declares in its own order: they are checked in it
        name: str
        metrics: tuple[Metric, ...]

    @property
    def metric(self) -> str:
        """The name of the mean of the metrics."""
        return score_name(self.metrics)

    @property
    def head(self) -> int:
        """How many logits a text has."""
        raise NotImplementedError

    def predicted(self, logits: npt.NDArray[Any]) -> Answers:
        """What logits [texts, head] say of each text."""
        raise NotImplementedError

    def answers(self, encodings: Sequence[Any], outputs: Outputs) -> Answers:
        """What the logits of a batch say of each text."""
        needs = f"a head of {self.head} (logits)"
        return self.predicted(output_of(self.name, outputs, "logits", (None, self.head), needs))

    def measured(self, labels: npt.NDArray[Any], answers: Answers) -> dict[str, float]:
        """Every metric in points (100 is perfect)."""
        return {m.title: 100 * float(m.function()(labels, answers, **m.options)) for m in self.metrics}

    def points(self, labels: npt.NDArray[Any], logits: npt.NDArray[Any]) -> float:
        """The score of logits [texts, head]."""
        return float(np.mean(list(self.measured(labels, self.predicted(finite(logits))).values())))

    def scores(self, examples: Examples, answers: Answers) -> dict[str, float]:
        """Every metric in points."""
        return self.measured(np.asarray(examples.labels), answers)


class Classification(_Head, Kind):
    """labels: as the data write them, in the model's order. label_names: what they mean, for the order to be compared
    with the model's; the labels themselves, if they are words.
    """

    text: Columns
    label: str
    labels: Labels
    label_names: Labels = Field(default=(), validate_default=False)
    metrics: ClassMetrics

    @field_validator("label_names")
    @classmethod
    def _one_each(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if len(names) != len(labels := info.data.get("labels", names)):
            raise ValueError(f"{len(names)} names for {len(labels)} labels")
        return names

    @field_validator("metrics")
    @classmethod
    def _of_so_many(cls, metrics: ClassMetrics, info: ValidationInfo) -> ClassMetrics:
        wrong = [p for m in metrics if (p := m.problem(len(info.data.get("labels", ())))) is not None]
        if wrong:
            raise ValueError("; ".join(wrong))
        return metrics

    @property
    def head(self) -> int:
        """One logit a label."""
        return len(self.labels)

    def load(self, data: str | Path | None, limit: int | None) -> Examples:
        """Texts, and the places of their labels: int64."""
        table = read_table(self.name, self.data, data, limit)
        texts = table.texts(*self.text)
        (column,) = table.get(self.label)
        places = {label: place for place, label in enumerate(self.labels)}
        found = [places.get(label_text(value)) for value in column]
        if None in found:
            row = found.index(None)
            raise table.wrong(row, f"label {column[row]}; {self.name} has labels {', '.join(self.labels)}")
        for metric in self.metrics:
            metric.function()
        words = not all(label.lstrip("-").isdecimal() for label in self.labels)
        names = self.label_names or (self.labels if words else ())
        return Examples(texts, np.array(found, np.int64), table.origin, names, self.max_tokens)

    def predicted(self, logits: npt.NDArray[Any]) -> Answers:
        """The place of the largest logit."""
        return logits.argmax(axis=1)


class Regression(_Head, Kind):
    """A number of each text."""

    text: Columns
    label: str
    metrics: ValueMetrics

    @property
    def head(self) -> int:
        """One logit."""
        return 1

    def load(self, data: str | Path | None, limit: int | None) -> Examples:
        """Texts, and their values: float64."""
        table = read_table(self.name, self.data, data, limit)
        for metric in self.metrics:
            metric.function()
        return Examples(table.texts(*self.text), table.numbers(self.label), table.origin, max_tokens=self.max_tokens)

    def predicted(self, logits: npt.NDArray[Any]) -> Answers:
        """The logit."""
        return logits[:, 0]
