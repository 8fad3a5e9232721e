"""Yield: the share of dies that pass a limit. Exact for any model and any limit: a die passes or fails, and nothing is
assumed of its score.
"""

from __future__ import annotations

from bisect import bisect_left
from math import log

from scipy.special import bdtr, betaincinv  # scipy.stats takes a second to import

from rcompile.errors import UsageError
from runtime.statistics.checks import CONFIDENCE, inside
from runtime.statistics.intervals import Interval


def yield_interval(passed: int, dies: int, confidence: float = CONFIDENCE) -> Interval:
    """The yield and its interval, when so many of the dies passed (Clopper and Pearson, Biometrika 26, 1934). It
    assumes dies drawn independently, their number fixed beforehand; `sequential` is for those who look on. Raises
    UsageError.
    """
    tail = (1 - inside("confidence", confidence)) / 2
    return Interval(_counted(passed, dies) / dies, _least(passed, dies, tail), 1 - _least(dies - passed, dies, tail))


def yield_at_least(passed: int, dies: int, confidence: float = CONFIDENCE) -> float:
    """The one-sided bound: the yield is larger, with that confidence. 59 of 59 dies: 0.9505. As `yield_interval`."""
    _counted(passed, dies)
    return _least(passed, dies, 1 - inside("confidence", confidence))


def dies_needed(min_yield: float, confidence: float = CONFIDENCE, allowed_failures: int = 0) -> int:
    """The fewest dies of which so many may fail, so that `yield_at_least` reaches min_yield. Raises UsageError."""
    inside("min_yield", min_yield)
    tail = 1 - inside("confidence", confidence)
    if allowed_failures < 0:
        raise UsageError(f"allowed_failures is {allowed_failures}; give 0 or more.")
    # By Chernoff's bound, with d = dies * (1 - min_yield) failures expected: (d - f)^2 / 2d >= -log(tail).
    wanted = -log(tail)
    most = int((allowed_failures + wanted + (wanted**2 + 2 * wanted * allowed_failures) ** 0.5) / (1 - min_yield)) + 1
    few = range(allowed_failures + 1, most + 1)
    return few[bisect_left(few, -tail, key=lambda dies: -float(bdtr(allowed_failures, dies, 1 - min_yield)))]


def _counted(passed: int, dies: int) -> int:
    if not 0 <= passed <= dies or not dies:
        raise UsageError(f"{passed} of {dies} dies passed; give one die or more, and no more passes than dies.")
    return passed


def _least(passed: int, dies: int, tail: float) -> float:
    """The yield at which so many passes or more have that probability."""
    return float(betaincinv(passed, dies - passed + 1, tail)) if passed else 0.0
