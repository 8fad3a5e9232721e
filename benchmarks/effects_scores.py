"""What the lines of docs/results/effects.jsonl say: scores, and what each effect costs, with intervals."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.statistics.resampling import resampled_means

Answers = npt.NDArray[np.int64]
RESAMPLES = 10_000
# The cases that are no effect: clean crossbars, and the source model.
CLEAN, SOURCE = "clean", "source"


@dataclass(frozen=True)
class Estimate:
    """In points. low, high: the 95 % interval."""

    value: float
    low: float
    high: float


class Scores:
    """The lines, by case: which sentences were answered rightly, 0 or 1 [dies, sentences], and the share of bitlines
    that collapse.
    """

    def __init__(self, path: Path) -> None:
        self.about: dict[str, Any]
        self.about, *lines = (json.loads(line) for line in path.read_text().splitlines())
        self.sentences: int = self.about["sentences"]
        right: dict[str, list[Answers]] = defaultdict(list)
        collapsed: dict[str, list[float]] = defaultdict(list)
        for line in lines:
            bits = np.frombuffer(bytes.fromhex(line["right"]), np.uint8)
            right[line["case"]].append(np.unpackbits(bits, count=self.sentences).astype(np.int64))
            collapsed[line["case"]].append(line.get("collapsed", 0.0))
        self.right: dict[str, Answers] = {case: np.stack(rows) for case, rows in right.items()}
        self.collapsed = {case: float(np.mean(shares)) for case, shares in collapsed.items()}

    def score(self, case: str) -> Estimate:
        """In points."""
        return estimate(self.right[case])

    def change(self, case: str) -> Estimate:
        """Against clean crossbars, sentence by sentence: the choice of sentences weighs less than in a score."""
        return estimate(self.right[case] - self.right[CLEAN])

    @property
    def majority(self) -> float:
        """The score of an answer that is always the same."""
        return 100 * self.about["majority"] / self.sentences


def estimate(values: Answers) -> Estimate:
    """The mean of [dies, sentences], in percent, and its bootstrap interval: dies and sentences are drawn with
    replacement, each by themselves.
    """
    means = 100 * resampled_means(values, RESAMPLES)
    low, high = np.percentile(means, (2.5, 97.5))
    return Estimate(100 * float(values.mean()), float(low), float(high))
