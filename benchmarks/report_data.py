"""What the lines of docs/results/*.jsonl say: scores by scheme, rate and task, for every way to draw dies and
sentences.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from answers import unpacked
from resampling import F64, draws, interval, scores
from schemes import DENSE, Scheme

from runtime.scoring.glue import TASKS as GLUE
from runtime.scoring.task import Answers

TASKS = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli")
Line = dict[str, Any]


class TaskLines:
    """The lines of one task. number: of the task, so that each draws sentences of its own."""

    def __init__(self, path: Path, number: int) -> None:
        self.about, *lines = (json.loads(text) for text in path.read_text().splitlines())
        self.path, self.name, self.number = path, self.about["task"], number
        self.task = GLUE[self.name]
        self.lines: dict[tuple[str, float], list[Line]] = {}
        for line in sorted(lines, key=lambda line: line["die"] or 0):
            self.lines.setdefault((line["scheme"], line["rate"]), []).append(line)

    @cached_property
    def sentences(self) -> int:
        """Those that every line has an answer to."""
        return min(line["sentences"] for lines in self.lines.values() for line in lines)

    @cached_property
    def drawn(self) -> F64:
        return draws(self.sentences, 1 + self.number)

    @cache  # noqa: B019  # as long as the process
    def scores(self, scheme: str, rate: float) -> F64:
        """For every way to draw sentences: [1 + RESAMPLES, dies]. A score without faults counts as one die."""
        found = [
            scores(self.task, self._first(self.about["labels"], self.about["sentences"]), answers, self.drawn)
            for line in self.lines.get((scheme, rate), [])
            for answers in [self._first(line["answers"], line["sentences"])]
        ]
        return np.stack(found, axis=1) if found else np.zeros((len(self.drawn), 0))

    def _first(self, text: str, sentences: int) -> Answers:
        return unpacked(text, self.task, sentences)[: self.sentences]


@dataclass(frozen=True)
class Tolerance:
    """A rate of stuck cells, or a ratio of two, for every way to draw: values [1 + RESAMPLES], and where they are known
    only from one side: at least (over) or at most (under).
    """

    values: F64
    over: Any
    under: Any

    def __truediv__(self, other: Tolerance) -> Tolerance:
        return Tolerance(self.values / other.values, self.over | other.under, self.under | other.over)

    def text(self, factor: float, unit: str) -> str:
        """`1.04 % (0.9 to 1.2)`."""
        value, low, high = (self._one(row, factor) for row in (0, *interval(self.values)))
        return f"{value}{unit} ({low} to {high})"

    def _one(self, row: int, factor: float) -> str:
        if self.over[row] and self.under[row]:
            return "unknown"
        sign = "over " if self.over[row] else "under " if self.under[row] else ""
        number = factor * self.values[row]
        return sign + np.format_float_positional(number, precision=2, unique=False, fractional=False, trim="-")


class Results:
    """The lines of some tasks, and means over them."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self.tasks = [TaskLines(path, number) for number, path in enumerate(paths)]

    @property
    def names(self) -> list[str]:
        return [task.name for task in self.tasks]

    def of(self, name: str) -> Results:
        """One task alone."""
        one = Results([])
        one.tasks = [task for task in self.tasks if task.name == name]
        return one

    def dies(self, scheme: str, rate: float) -> int:
        """The dies that all tasks were scored on; without faults 1 if they were."""
        return min(task.scores(scheme, rate).shape[1] for task in self.tasks)

    def rates(self, scheme: Scheme) -> list[float]:
        """Those that all tasks were scored at."""
        return [rate for rate in scheme.rates if self.dies(scheme.name, rate)]

    def mean(self, scheme: str, rate: float) -> F64:
        """Mean over tasks and dies, for every way to draw dies and sentences: [1 + RESAMPLES]."""
        dies = self.dies(scheme, rate)
        of_dies = draws(dies, 0) / dies
        return np.mean([(of_dies * task.scores(scheme, rate)[:, :dies]).sum(axis=1) for task in self.tasks], axis=0)

    def lost(self, scheme: str, rate: float) -> F64:
        """Points against the dense model without faults, on the same sentences."""
        return self.mean(DENSE.name, 0.0) - self.mean(scheme, rate)

    def tolerated(self, scheme: Scheme, reference: str, loss: float = 1.0) -> Tolerance:
        """The rate at which the mean is `loss` below another scheme's without faults, between measured rates by the
        logarithm.
        """
        rates = np.log(self.rates(scheme))
        left = np.stack([self.mean(scheme.name, rate) for rate in self.rates(scheme)], axis=1)
        left = left - (self.mean(reference, 0.0) - loss)[:, None]
        below = np.concatenate([left < 0, np.ones((len(left), 1), np.bool_)], axis=1).argmax(axis=1)
        over, under = below == len(rates), below == 0
        a, b = np.clip(below - 1, 0, None), np.clip(below, None, len(rates) - 1)
        row = np.arange(len(left))
        step = left[row, a] - left[row, b]
        share = np.divide(left[row, a], step, out=np.zeros(len(left)), where=(a != b) & ~under)
        return Tolerance(np.exp(rates[a] + share * (rates[b] - rates[a])), over, under)

    def most(self, scheme: Scheme, key: str) -> float | None:
        """What a scheme takes over what the dense model does, of all tasks together; at its most among rates and dies.
        None where it takes none.
        """
        taken = []
        for task in self.tasks:
            lines = [line for (name, _), some in task.lines.items() if name == scheme.name for line in some]
            taken.append(max((line[key] or 0 for line in lines), default=0))
        dense = sum(task.about["dense"][key] for task in self.tasks)
        return sum(taken) / dense if sum(taken) else None
