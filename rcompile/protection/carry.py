"""How many stuck cells a model is predicted to carry: what `--protect auto` allocates for unless it is told rates."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log

from scipy.optimize import brentq

from rcompile.hardware.target import Faults

# The relative squared error of outputs that costs about one point of GLUE. On nine tasks, MiniLM-L6 (docs/results.md of
# commit 13689bb), the mean had lost a point at 0.10 % stuck cells unprotected and at 1.04 % under `select`, where
# 0.116^2 and 0.117^2 are predicted.
TOLERATED_ERROR = 0.11**2
LEAST_SHARE = 3e-4  # of stuck cells: fewer cost nothing that could be measured
CLOSE = 0.02  # by which shares of stuck cells are told apart, relative


def rates_of(share: float, faults: Faults) -> tuple[float, float]:
    """The rates (SA0, SA1) of so many stuck cells, in the proportion of the target's."""
    total = faults.sa0_rate + faults.sa1_rate
    return share * faults.sa0_rate / total, share * faults.sa1_rate / total


def carried_share(error: Callable[[float], float], least: float, most: float) -> float:
    """The largest share of stuck cells between `least` and `most` at which `error(share)`, which rises, is tolerated;
    `least` if none is.
    """
    if error(least) >= TOLERATED_ERROR:
        return least
    if error(most) <= TOLERATED_ERROR:
        return most

    def excess(of: float) -> float:
        return log(max(error(exp(of)), 1e-300) / TOLERATED_ERROR)

    return exp(brentq(excess, log(least), log(most), xtol=CLOSE / 2))
