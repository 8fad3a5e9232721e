"""Which texts of a corpus answer a query: those whose embeddings are nearest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from runtime.scoring.data import read_table
from runtime.scoring.task import Answers, Examples, Outputs
from runtime.scoring.tasks.embeddings import EMBEDDING, pooled, unit
from runtime.scoring.tasks.kind import DataPath, Kind, Positive


class Retrieval(Kind):
    """query, positive: columns of queries, and of texts that answer them; a query with several has several lines.
    corpus: a file with more texts, in a column of the name of `positive`. k: how many of the nearest count.
    """

    outputs: ClassVar[tuple[str, ...]] = (EMBEDDING,)

    query: str = "query"
    positive: str = "positive"
    corpus: DataPath | None = None
    k: Positive = 10

    @property
    def metric(self) -> str:
        """The score is the nDCG."""
        return f"nDCG@{self.k}"

    def load(self, data: str | Path | None, limit: int | None) -> Examples:
        """The first `limit` queries, then the whole corpus: all texts that answer one, and the file's. labels: the
        places in the corpus that answer each query.
        """
        table = read_table(self.name, self.data, data, None)
        queries, positives = table.texts(self.query), table.texts(self.positive)
        more = read_table(self.name, self.corpus, None, None).texts(self.positive) if self.corpus else []
        places = {text: place for place, text in enumerate(dict.fromkeys([*positives, *more]))}
        answered: dict[Any, set[int]] = {}
        for query, positive in zip(queries, positives, strict=True):
            answered.setdefault(query, set()).add(places[positive])
        asked = list(answered)[:limit]
        labels = [frozenset(answered[query]) for query in asked]
        return Examples([*asked, *places], labels, table.origin, max_tokens=self.max_tokens)  # type: ignore[list-item]

    def answers(self, encodings: Sequence[Any], outputs: Outputs) -> Answers:
        """Embeddings."""
        return pooled(self.name, encodings, outputs)

    def scores(self, examples: Examples, answers: Answers) -> dict[str, float]:
        """Recall and nDCG of the k nearest, mean over queries; of texts that are equally near, those that come first in
        the corpus.
        """
        assert examples.labels is not None
        vectors, count = unit(answers), len(examples.labels)
        corpus = vectors[count:]
        gains = 1 / np.log2(np.arange(2, self.k + 2))
        recall, ndcg = [], []
        for query, right in zip(vectors[:count], examples.labels, strict=True):
            nearest = np.argsort(-(corpus @ query), kind="stable")[: self.k]
            hits = np.isin(nearest, list(right))
            recall.append(hits.sum() / len(right))
            ndcg.append(gains[: len(hits)][hits].sum() / gains[: len(right)].sum())
        return {f"nDCG@{self.k}": 100 * float(np.mean(ndcg)), f"recall@{self.k}": 100 * float(np.mean(recall))}
