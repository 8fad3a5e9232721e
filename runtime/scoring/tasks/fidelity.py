"""How near a model stays to the one that it was compiled from; needs no labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from rcompile.errors import BadInputError
from runtime.scoring.data import read_table
from runtime.scoring.task import Answers, Examples, Outputs
from runtime.scoring.tasks.embeddings import pooled, unit
from runtime.scoring.tasks.kind import Columns, Kind


class Fidelity(Kind):
    """text: one column, or two. score: agreement for logits of several classes, cosine for values and embeddings."""

    outputs: ClassVar[tuple[str, ...]] = ("logits",)

    text: Columns
    score: Literal["agreement", "cosine"] = "agreement"

    @property
    def metric(self) -> str:
        """The score."""
        return self.score

    def load(self, data: str | Path | None, limit: int | None) -> Examples:
        """Texts; their labels are what the source model says of them."""
        table = read_table(self.name, self.data, data, limit)
        return Examples(table.texts(*self.text), None, table.origin, max_tokens=self.max_tokens)

    def answers(self, encodings: Sequence[Any], outputs: Outputs) -> Answers:
        """The logits, or an embedding."""
        found = pooled(self.name, encodings, outputs)
        if self.score == "agreement" and found.shape[1] == 1:
            raise BadInputError(
                f'the model has one logit, of which classes cannot agree: write score = "cosine" in task {self.name}.'
            )
        return found

    def scores(self, examples: Examples, answers: Answers) -> dict[str, float]:
        """cosine: of all outputs, taken as one vector. For classes also agreement, the share of texts whose largest
        logit is the same; and the Kullback-Leibler divergence from the source's distribution, mean over texts, in nats.
        """
        source = np.asarray(examples.labels)
        metrics = {"cosine": 100 * float((unit(source.ravel()) * unit(answers.ravel())).sum())}
        if self.score == "agreement":
            p, q = _log_softmax(source), _log_softmax(answers)
            metrics["agreement"] = 100 * float((source.argmax(axis=1) == answers.argmax(axis=1)).mean())
            metrics["kl_nats"] = float((np.exp(p) * (p - q)).sum(axis=1).mean())
        return metrics


def _log_softmax(logits: npt.NDArray[Any]) -> npt.NDArray[Any]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
