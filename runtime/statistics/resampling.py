"""What a model scores on other dies and on other text: dies and sentences are both samples, and both are resampled."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import numpy as np
import numpy.typing as npt

from rcompile.errors import UsageError
from runtime.statistics.checks import CONFIDENCE, F64, finite
from runtime.statistics.intervals import Interval, around

RESAMPLES = 1000  # the standard error of a standard error is then 2 %
BLOCK = 500  # resamples whose counts of sentences are held at once
Array = npt.NDArray[np.generic]


def resampled_means(values: npt.NDArray[np.number], resamples: int = RESAMPLES) -> F64:
    """Means of [dies, sentences], F64 [resamples], each of dies and of sentences drawn with replacement, each by
    themselves, seeded: the pigeonhole bootstrap (Owen, Annals of Applied Statistics 1, 2007).
    """
    dies, sentences = values.shape
    # The legacy generator: its draws are the same in every NumPy.
    rng = np.random.RandomState(0)
    even, of_die = np.full(sentences, 1 / sentences), values.T.astype(np.float64)
    blocks = [min(BLOCK, resamples - start) for start in range(0, resamples, BLOCK)]
    sums = np.concatenate([rng.multinomial(sentences, even, block) @ of_die for block in blocks])
    of_dies = rng.multinomial(dies, np.full(dies, 1 / dies), resamples)
    means: F64 = (of_dies * sums).sum(axis=1) / (dies * sentences)
    return means


def mean_on_new_text(
    values: npt.NDArray[np.number], confidence: float = CONFIDENCE, resamples: int = RESAMPLES
) -> Interval:
    """The mean over all dies and all text like this. values [dies, sentences]: 1 where a sentence is answered rightly,
    else 0; or of a loss clean - right, whose interval is narrower: the choice of sentences weighs less.

    Raises UsageError for anything but a table of finite numbers.
    """
    if values.ndim != 2 or not values.size:
        raise UsageError(f"values have shape {list(values.shape)}; give [dies, sentences], one or more of each.")
    return _interval(finite(values.mean(axis=1, dtype=np.float64)), resampled_means(values, resamples), confidence)


def score_on_new_text(
    score: Callable[[Array, Array], float],
    truth: Array,
    predicted: Array,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
) -> Interval:
    """The same of a score that is no mean over sentences: F1, a correlation. score(truth, predicted) takes sentences
    along the first axis and must know what to say of a constant; truth [sentences, ...]; predicted [dies, sentences].

    Of a loss, let `truth` hold two columns, the labels and the clean predictions, and `score` subtract. It calls
    `score` dies * (1 + resamples) times at most. Raises UsageError.
    """
    if predicted.ndim != 2 or not predicted.size or len(truth) != predicted.shape[1]:
        raise UsageError(
            f"predicted has shape {list(predicted.shape)}, truth {len(truth)} rows; give [dies, sentences]."
        )
    dies, sentences = predicted.shape
    rng = np.random.RandomState(0)
    resampled = np.empty(resamples)
    for number in range(resamples):
        text = rng.randint(sentences, size=sentences)
        drawn, times = np.unique(rng.randint(dies, size=dies), return_counts=True)
        resampled[number] = times @ [score(truth[text], predicted[die, text]) for die in drawn] / dies
    each = finite(np.array([score(truth, row) for row in predicted]))
    return _interval(each, finite(resampled), confidence)


def _interval(each: F64, resampled: F64, confidence: float) -> Interval:
    """Student's interval around the mean of the dies' scores `each`, with the bootstrap's standard error.

    A bootstrap of n dies sees (n - 1) / n of their variance; percentiles would be too narrow for few dies. What is
    missing is added, and the degrees of freedom are Satterthwaite's: those of the dies where dies make the spread, many
    where sentences do.
    """
    dies = len(each)
    if dies == 1:
        return around(float(each[0]), 0.0, 0, confidence)
    of_dies = float(each.var(ddof=1)) / dies
    variance = float(resampled.var()) + of_dies / dies
    freedom = (dies - 1) * (variance / of_dies) ** 2 if of_dies else inf
    return around(float(each.mean()), variance**0.5, freedom, confidence)
