"""How alike two texts are: the cosine of their embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from runtime.scoring.data import read_table
from runtime.scoring.metrics import spearman
from runtime.scoring.task import Answers, Examples, Outputs
from runtime.scoring.tasks.embeddings import EMBEDDING, pooled, unit
from runtime.scoring.tasks.kind import Kind


class Similarity(Kind):
    """text: the columns of the two texts. label: that of how alike they are."""

    outputs: ClassVar[tuple[str, ...]] = (EMBEDDING,)

    text: Annotated[tuple[str, ...], Field(strict=False, min_length=2, max_length=2)]
    label: str

    @property
    def metric(self) -> str:
        """Spearman's correlation, so that no scale matters."""
        return "spearman"

    def load(self, data: str | Path | None, limit: int | None) -> Examples:
        """All first texts, then all second ones; their likeness: float64."""
        table = read_table(self.name, self.data, data, limit)
        first, second = (table.texts(name) for name in self.text)
        return Examples(
            [*first, *second],  # type: ignore[list-item]
            table.numbers(self.label),
            table.origin,
            max_tokens=self.max_tokens,
        )

    def answers(self, encodings: Sequence[Any], outputs: Outputs) -> Answers:
        """Embeddings."""
        return pooled(self.name, encodings, outputs)

    def scores(self, examples: Examples, answers: Answers) -> dict[str, float]:
        """Spearman of likeness and cosines."""
        first, second = np.split(unit(answers), 2)
        return {"spearman": 100 * spearman(np.asarray(examples.labels), (first * second).sum(axis=1))}
