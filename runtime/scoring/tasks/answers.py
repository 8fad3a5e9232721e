"""The part of a context that answers a question."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from runtime.scoring.data import Table, read_table
from runtime.scoring.task import Answers, Examples, Outputs, output_of
from runtime.scoring.tasks.kind import Kind, Positive

CONTEXT = 1  # the context is the second text of a pair


class Questions(Kind):
    """question, context, answers: columns; answers as SQuAD has them ({"text": [..], ..}), a list, or one text.
    max_answer: tokens of an answer. Contexts are cut at max_tokens.
    """

    outputs: ClassVar[tuple[str, ...]] = ("start_logits", "end_logits")

    question: str = "question"
    context: str = "context"
    answer: str = "answers"
    max_tokens: Positive = 384
    max_answer: Positive = 30

    @property
    def metric(self) -> str:
        """The score is the F1."""
        return "f1"

    def load(self, data: str | Path | None, limit: int | None) -> Examples:
        """Pairs of question and context, and the right answers of each."""
        table = read_table(self.name, self.data, data, limit)
        texts = table.texts(self.question, self.context)
        (column,) = table.get(self.answer)
        labels = [_answers(table, row, value) for row, value in enumerate(column)]
        return Examples(texts, labels, table.origin, max_tokens=self.max_tokens)

    def answers(self, encodings: Sequence[Any], outputs: Outputs) -> Answers:
        """Where in its context each answer begins and ends: characters, int64 [texts, 2]."""
        needs = "a start and an end logit for each token"
        start_name, end_name = outputs
        start = output_of(self.name, outputs, start_name, (None, None), needs)
        end = output_of(self.name, outputs, end_name, (None, None), needs)
        return np.array([self._span(*each) for each in zip(encodings, start, end, strict=True)], np.int64).reshape(
            -1, 2
        )

    def _span(self, encoding: Any, start: npt.NDArray[Any], end: npt.NDArray[Any]) -> tuple[int, int]:
        """The likeliest span of at most max_answer tokens of the context; nothing, where the question fills all."""
        context = [token for token, text in enumerate(encoding.sequence_ids) if text == CONTEXT]
        if not context:
            return 0, 0
        both = start[context][:, None] + end[context][None, :]
        allowed = np.tril(np.triu(np.ones(both.shape, np.bool_)), self.max_answer - 1)
        first, last = np.unravel_index(np.where(allowed, both, -np.inf).argmax(), both.shape)
        return encoding.offsets[context[first]][0], encoding.offsets[context[last]][1]

    def scores(self, examples: Examples, answers: Answers) -> dict[str, float]:
        """Exact match and F1 over words, each against the nearest right answer: as SQuAD 1.1 has them."""
        assert examples.labels is not None
        exact, f1 = [], []
        for (_, context), right, (first, last) in zip(examples.texts, examples.labels, answers, strict=True):
            found = normalised(context[first:last])
            exact.append(max(found == normalised(text) for text in right))
            f1.append(max(word_f1(found, normalised(text)) for text in right))
        return {"exact_match": 100 * float(np.mean(exact)), "f1": 100 * float(np.mean(f1))}


def _answers(table: Table, row: int, value: Any) -> list[str]:
    texts = value.get("text") if isinstance(value, dict) else value
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise table.wrong(row, f"answers are {value!r:.60}, no text and no list of texts")
    return texts


def normalised(text: str) -> str:
    """Lower case, without punctuation and articles, words parted by one space: as SQuAD 1.1 compares answers."""
    bare = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())


def word_f1(found: str, right: str) -> float:
    """F1 over the words of two normalised texts."""
    words, wanted = found.split(), right.split()
    common = sum((Counter(words) & Counter(wanted)).values())
    return 2 * common / (len(words) + len(wanted)) if common else 0.0
