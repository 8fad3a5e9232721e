"""The rate of faults that a model carries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

import numpy as np
from scipy.optimize import isotonic_regression

from rcompile.errors import UsageError
from runtime.statistics.checks import F64, Values, finite, one_a_die
from runtime.statistics.intervals import Interval

Where = Literal["below the lowest rate", "within", "above the highest rate"]


@dataclass(frozen=True)
class Tolerated:
    """The rate of faults at which the mean loss reaches a limit, and the interval of that rate, in the unit of the
    rates. Nothing is said beyond the rates that were measured: 0 is a rate below the lowest, infinity one above the
    highest; `where` says which of them the rate itself is.
    """

    rate: float
    low: float
    high: float
    where: Where


def tolerated_rate(rates: Values, losses: Sequence[Interval], max_loss: float) -> Tolerated:
    """Where the mean loss crosses max_loss. rates: [rates], rising, above 0; losses: of each rate, as `paired` or
    `mean_on_new_text` finds them, whose confidence and assumptions are the result's.

    The mean loss is taken to rise with the rate (isotonic regression) and to be straight in its logarithm between two
    rates. The interval holds the rates whose own interval holds max_loss (inverse prediction): no other confidence is
    spent on it. Raises UsageError.
    """
    found = one_a_die(rates)
    if found[0] <= 0 or (np.diff(found) <= 0).any() or len(losses) != len(found):
        raise UsageError(
            f"{len(losses)} losses at rates {found.tolist()}; give rising rates above 0, and a loss of each."
        )
    curves = finite(np.array([[loss.mean, loss.high, loss.low] for loss in losses]).T)
    rate, low, high = (_crossing(np.log(found), curve, max_loss) for curve in curves)
    where: Where = "within" if 0 < rate < inf else "above the highest rate" if rate else "below the lowest rate"
    return Tolerated(rate, low, high, where)


def _crossing(log_rates: F64, losses: F64, limit: float) -> float:
    """The largest rate at which the loss is not above the limit; 0 if none is, infinity if all are."""
    rising = isotonic_regression(losses).x
    carried = int(np.searchsorted(rising, limit, side="right"))
    if carried in (0, len(rising)):
        return inf if carried else 0.0
    last, beyond = rising[carried - 1 : carried + 1]
    share = (limit - last) / (beyond - last)
    return float(np.exp(log_rates[carried - 1] + share * (log_rates[carried] - log_rates[carried - 1])))
