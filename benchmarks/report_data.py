"""What the lines of docs/results/*.jsonl say: scores by scheme, rate, task and die."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

TASKS = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli")
Line = dict[str, Any]
Scheme = tuple[str, str, str]
SHOWN: dict[Scheme, str] = {
    ("none", "none", "reram128x128"): "unprotected",
    ("paper", "select", "reram128x128"): "paper, in situ (`select`, 128-row reads)",
    ("auto", "select", "reram128x128"): "auto, in situ (`select`, 128-row reads)",
    ("paper", "select", "reram128x128-ou16"): "paper, in situ (`select`, 16-row reads)",
    ("auto", "select", "reram128x128-ou16"): "auto, in situ (`select`, 16-row reads)",
    ("paper", "cell", "reram128x128-storage"): "paper, storage (`cell`)",
    ("auto", "cell", "reram128x128-storage"): "auto, storage (`cell`)",
}
UNPROTECTED = ("none", "none", "reram128x128")
IN_READS: dict[Scheme, str] = {
    ("auto", "median", "reram128x128"): "auto, in situ (`median` of the codes, 128-row reads)",
    ("auto", "mean", "reram128x128"): "auto, in situ (`mean` of the codes, 128-row reads)",
}
# On all tasks; the others on a few.
MAIN = [s for s in SHOWN if s[1] != "select" or s == ("auto", "select", "reram128x128")]
DRAWN = [s for s in SHOWN if s[:2] != ("paper", "select")]


class Results:
    """The lines, looked up by what they are about."""

    def __init__(self, folder: Path) -> None:
        self.tasks = [task for task in TASKS if (folder / f"{task}.jsonl").exists()]
        self.files = [folder / f"{task}.jsonl" for task in self.tasks]
        self.lines: list[Line] = [json.loads(text) for path in self.files for text in path.read_text().splitlines()]

    def clean(self, task: str, scheme: str) -> Line | None:
        return next((x for x in self.lines if x["task"] == task and x["scheme"] == scheme and x["die"] is None), None)

    def score(self, task: str, scheme: str) -> float | None:
        line = self.clean(task, scheme)
        return None if line is None else line["score"]

    def dies(self, scheme: Scheme, fits: Callable[[Line], bool], tasks: Iterable[str]) -> dict[int, list[float]]:
        """Scores by die, one of each task."""
        found: dict[int, list[float]] = defaultdict(list)
        for x in self.lines:
            if (
                x["die"] is not None
                and (x["scheme"], x["combiner"], x["target"]) == scheme
                and x["task"] in tasks
                and fits(x)
            ):
                found[x["die"]].append(x["score"])
        return found

    def mean(self, scheme: Scheme, fits: Callable[[Line], bool], tasks: Sequence[str]) -> tuple[float, float] | None:
        """Mean over tasks and dies, and the deviation over dies of the mean over tasks; None if lines are missing."""
        found = self.dies(scheme, fits, tasks)
        averages = [np.mean(v) for v in found.values() if len(v) == len(tasks)]
        return (float(np.mean(averages)), float(np.std(averages, ddof=1))) if len(averages) > 1 else None

    def rates(self) -> list[float]:
        return sorted({round(x["sa0"] + x["sa1"], 10) for x in self.lines if x["sa0"] and x["sa1"]})

    def without_faults(self, scheme: Scheme, tasks: Sequence[str]) -> float | None:
        rows = [
            x["score"]
            for x in self.lines
            if x["die"] is None and (x["scheme"], x["combiner"], x["target"]) == scheme and x["task"] in tasks
        ]
        return float(np.mean(rows)) if len(rows) == len(tasks) else None


def both(rate: float) -> Callable[[Line], bool]:
    return lambda x: bool(x["sa0"] and x["sa1"]) and abs(x["sa0"] + x["sa1"] - rate) < 1e-9


def one(kind: str, rate: float) -> Callable[[Line], bool]:
    other = {"sa0": "sa1", "sa1": "sa0"}[kind]
    return lambda x: x[other] == 0 and abs(x[kind] - rate) < 1e-9


def tolerated(results: Results, scheme: Scheme, tasks: Sequence[str], loss: float = 1.0) -> tuple[float, bool] | None:
    """The fault rate at which the mean score is `loss` below the unprotected pruned model's without faults, between
    measured rates by the logarithm; and whether it was reached at all (False: the highest measured rate still holds).
    """
    clean = results.without_faults(UNPROTECTED, tasks)
    points = [(r, m[0]) for r in results.rates() if (m := results.mean(scheme, both(r), tasks))]
    if clean is None or not points:
        return None
    below = next((i for i, (_, score) in enumerate(points) if score < clean - loss), None)
    if below is None:
        return points[-1][0], False
    if below == 0:
        return points[0][0], True
    (r0, s0), (r1, s1) = points[below - 1], points[below]
    share = (s0 - (clean - loss)) / (s0 - s1)
    return float(np.exp(np.log(r0) + share * (np.log(r1) - np.log(r0)))), True
