"""What a model scores on the mean over all dies, from a few. The die is the unit of replication: another sentence on
the same die says nothing new about dies.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, sqrt

import numpy as np
from scipy.special import stdtrit  # scipy.stats takes a second to import

from rcompile.errors import UsageError
from runtime.statistics.checks import CONFIDENCE, Values, inside, one_a_die


@dataclass(frozen=True)
class Interval:
    """An estimate of a mean over all dies, and the interval that holds that mean with the confidence asked for, in the
    unit of the values. Infinite where the values say nothing about their spread.
    """

    mean: float
    low: float
    high: float


def interval(values: Values, confidence: float = CONFIDENCE) -> Interval:
    """Student's t interval. values: one a die [dies], of dies drawn independently; near enough to normal that their
    mean is.

    One die has an infinite interval. Dies that are all alike have one without width: it knows no spread that it did
    not see, see `yields` for disasters that are rare. Raises UsageError.
    """
    found = one_a_die(values)
    dies = len(found)
    mean = float(found.mean())
    spread = float(found.std(ddof=1)) / sqrt(dies) if dies > 1 and np.ptp(found) else 0.0
    return around(mean, spread, dies - 1, confidence)


def paired(values: Values, clean: float | Values, confidence: float = CONFIDENCE) -> Interval:
    """Of the loss, clean - value, die by die. clean: the score without faults, or that of something else on each of
    the same dies [dies], whose chances then cancel. Assumes what `interval` does. Raises UsageError.
    """
    found, against = one_a_die(values), np.asarray(clean, np.float64)
    if against.shape not in ((), found.shape):
        raise UsageError(f"{against.size} values to compare with, of {found.size} dies; give one, or one a die.")
    return interval(against - found, confidence)


def controlled(values: Values, predicted: Values, predicted_mean: float, confidence: float = CONFIDENCE) -> Interval:
    """The same mean as `interval`'s, in a narrower interval: what a prediction explains of each die's value is taken
    off. predicted: of each of these dies [dies], in any unit; predicted_mean: over all dies, known.

    The regression estimator (Cochran, Sampling Techniques, 1977, chapter 7): the line through the dies, at the known
    mean. Assumes that the values lie around a line in `predicted`, normally, as widely everywhere. It needs three dies,
    and is `interval` if all predictions are alike. Raises UsageError.
    """
    found, known = one_a_die(values), one_a_die(predicted)
    if known.shape != found.shape:
        raise UsageError(f"{known.size} predictions of {found.size} dies; give one a die.")
    if not np.ptp(known):
        return interval(found, confidence)
    dies, off = len(found), known - known.mean()
    squares = float((off**2).sum())
    slope = float((off * found).sum()) / squares
    shift = predicted_mean - float(known.mean())
    left = found - found.mean() - slope * off
    freedom = dies - 2
    spread = sqrt(float((left**2).sum()) / freedom * (1 / dies + shift**2 / squares)) if freedom else 0.0
    return around(float(found.mean()) + slope * shift, spread, freedom, confidence)


def around(mean: float, spread: float, freedom: float, confidence: float) -> Interval:
    """Student's interval. spread: the standard error of the mean; freedom: degrees of, infinite below 1. Raises
    UsageError for a confidence that is none.
    """
    inside("confidence", confidence)
    half = inf if freedom < 1 else spread * float(stdtrit(min(freedom, 1e9), (1 + confidence) / 2))
    return Interval(mean, mean - half, mean + half)
