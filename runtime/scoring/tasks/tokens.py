"""A tag of each word, and F1 over entities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import field_validator

from runtime.scoring.data import read_table
from runtime.scoring.task import Answers, Examples, Outputs, output_of
from runtime.scoring.tasks.kind import Kind, Labels

OUTSIDE = "O"
Entity = tuple[int, int, str]  # first word, last word, type


class Tokens(Kind):
    """words, tags: columns of lists, or of words parted by spaces. labels: the tags (O, B-TYPE, I-TYPE) in the model's
    order.
    """

    outputs: ClassVar[tuple[str, ...]] = ("logits",)

    words: str = "words"
    tags: str = "tags"
    labels: Labels

    @field_validator("labels")
    @classmethod
    def _are_tags(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [label for label in labels if label != OUTSIDE and label[:2] not in ("B-", "I-")]
        if wrong or OUTSIDE not in labels:
            raise ValueError(f"{', '.join(wrong) or 'no O'}: tags are O, B-TYPE and I-TYPE")
        return labels

    @property
    def metric(self) -> str:
        """The score is the F1."""
        return "f1"

    def load(self, data: str | Path | None, limit: int | None) -> Examples:
        """Sentences in words, and the tags of each."""
        table = read_table(self.name, self.data, data, limit)
        words, tags = table.words(self.words), table.words(self.tags)
        for row, (sentence, its_tags) in enumerate(zip(words, tags, strict=True)):
            if len(sentence) != len(its_tags):
                raise table.wrong(row, f"{len(its_tags)} tags for {len(sentence)} words")
            for tag in its_tags:
                if tag not in self.labels:
                    raise table.wrong(row, f"tag {tag}; {self.name} has labels {', '.join(self.labels)}")
        return Examples(words, tags, table.origin, self.labels, self.max_tokens)

    def answers(self, encodings: Sequence[Any], outputs: Outputs) -> Answers:
        """The tag of the first token of each word, as far as the tokens go; a word without a token is outside."""
        count = len(self.labels)
        logits = output_of(self.name, outputs, "logits", (None, None, count), f"{count} logits for each token")
        found = np.empty(len(encodings), object)
        for row, (encoding, best) in enumerate(zip(encodings, logits.argmax(axis=2), strict=True)):
            first: dict[int, int] = {}
            for token, word in enumerate(encoding.word_ids):
                if word is not None:
                    first.setdefault(word, token)
            words = range(max(first, default=-1) + 1)
            found[row] = tuple(self.labels[best[first[w]]] if w in first else OUTSIDE for w in words)
        return found

    def scores(self, examples: Examples, answers: Answers) -> dict[str, float]:
        """F1, precision and recall over the entities of all sentences: right are those of the right type, first and
        last word. Words that were cut off are outside.
        """
        assert examples.labels is not None
        truth = {(row, *entity) for row, tags in enumerate(examples.labels) for entity in entities(tags)}
        found = {(row, *entity) for row, tags in enumerate(answers) for entity in entities(tags)}
        right = len(truth & found)
        precision, recall = right / max(len(found), 1), right / max(len(truth), 1)
        f1 = 2 * right / max(len(truth) + len(found), 1)
        return {"f1": 100 * f1, "precision": 100 * precision, "recall": 100 * recall}


def entities(tags: Iterable[str]) -> list[Entity]:
    """The entities of one sentence's tags, as conlleval and seqeval count them: an I that continues none of its type
    begins one.
    """
    found: list[Entity] = []
    before = OUTSIDE
    for word, tag in enumerate(tags):
        if tag != OUTSIDE and tag[0] == "I" and before[2:] == tag[2:] and before != OUTSIDE:
            found[-1] = (found[-1][0], word, tag[2:])
        elif tag != OUTSIDE:
            found.append((word, word, tag[2:]))
        before = tag
    return found
