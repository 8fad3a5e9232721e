"""Bootstrap intervals: things are drawn with replacement, and each way to draw them is a row of how often each was.

Row 0 is the sample itself, every thing once, so that estimates and intervals take the same way.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from runtime.scoring.glue import Glue
from runtime.scoring.task import Answers

F64 = npt.NDArray[np.float64]
RESAMPLES = 400


def draws(count: int, seed: int) -> F64:
    """[1 + RESAMPLES, count]. The legacy generator: its draws are the same in every NumPy."""
    drawn = np.random.RandomState(seed).multinomial(count, np.full(count, 1 / count), RESAMPLES)
    return np.concatenate([np.ones((1, count)), drawn])


def interval(values: F64) -> tuple[int, int]:
    """The rows of the ends of the 95 % interval of values [1 + RESAMPLES]."""
    order = 1 + np.argsort(values[1:], kind="stable")
    return int(order[round(0.025 * (len(order) - 1))]), int(order[round(0.975 * (len(order) - 1))])


def scores(task: Glue, truth: Answers, predicted: Answers, drawn: F64) -> F64:
    """The task's score in points for every row of sentences drawn [rows, sentences]: mean of its metrics."""
    return 100 * np.mean([METRICS[metric.title](truth, predicted, drawn) for metric in task.metrics], axis=0)


def accuracy(truth: Answers, predicted: Answers, drawn: F64) -> F64:
    return _shares(truth == predicted, drawn)


def f1(truth: Answers, predicted: Answers, drawn: F64) -> F64:
    both = drawn @ ((truth == 1) & (predicted == 1))
    return _ratio(2 * both, drawn @ (truth == 1) + drawn @ (predicted == 1))


def matthews(truth: Answers, predicted: Answers, drawn: F64) -> F64:
    """The correlation of two binary variables."""
    return pearson(truth, predicted, drawn)


def pearson(truth: Answers, predicted: Answers, drawn: F64) -> F64:
    return _correlation(np.broadcast_to(truth, drawn.shape), np.broadcast_to(predicted, drawn.shape), drawn)


def spearman(truth: Answers, predicted: Answers, drawn: F64) -> F64:
    return _correlation(_ranks(truth, drawn), _ranks(predicted, drawn), drawn)


METRICS: dict[str, Callable[[Answers, Answers, F64], F64]] = {
    f.__name__: f for f in (accuracy, f1, matthews, pearson, spearman)
}


def _shares(right: npt.NDArray[np.bool_], drawn: F64) -> F64:
    return drawn @ right / drawn.sum(axis=1)


def _ranks(values: Answers, drawn: F64) -> F64:
    """The mean rank of each value among those drawn: [rows, sentences]."""
    _, which = np.unique(values, return_inverse=True)
    order = np.argsort(which, kind="stable")
    firsts = np.flatnonzero(np.diff(which[order], prepend=-1))
    tied = np.add.reduceat(drawn[:, order], firsts, axis=1)
    return (tied.cumsum(axis=1) - (tied - 1) / 2)[:, which]


def _correlation(a: F64, b: F64, drawn: F64) -> F64:
    """Of each row of a and b, weighted by how often each was drawn; 0 where one is constant."""
    count = drawn.sum(axis=1, keepdims=True)
    a, b = (x - (drawn * x).sum(axis=1, keepdims=True) / count for x in (a, b))
    return _ratio((drawn * a * b).sum(axis=1), np.sqrt((drawn * a**2).sum(axis=1) * (drawn * b**2).sum(axis=1)))


def _ratio(over: F64, under: F64) -> F64:
    """0 for 0 / 0."""
    return np.divide(over, under, out=np.zeros_like(over), where=under > 0)
