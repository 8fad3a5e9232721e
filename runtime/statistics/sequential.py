"""Verdicts that stop early: look after every die, stop when you like, and still err no more often than was asked.

A bound that holds at every step at once is the inverse of a bet (Ville, 1939): against a mean that is the true one, no
way of betting multiplies its stake by 1 / alpha, ever, with a probability above alpha. Verdicts bet on either side at
1 - confidence, since one of the two would be right; bounds share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import betaincc, betaln

from runtime.statistics.checks import CONFIDENCE, F64, Values, inside, one_a_die, passes

# The mixture over effects (mean - limit) / sd is normal with this variance: the unit information prior.
EFFECT_VARIANCE = 1.0
HALVINGS = 40  # of the yields that are still possible


@dataclass(frozen=True)
class Bounds:
    """After each die, in their order, F64 [dies] each: with the confidence asked for, the mean over all dies lies
    within all of them. They only close in; low > high says that this is one of the times when they miss.
    """

    low: F64
    high: F64


@dataclass(frozen=True)
class Verdict:
    """dies: how many it took; all, if they did not decide it."""

    answer: Literal["pass", "fail", "undecided"]
    dies: int


def yield_bounds(passed: Sequence[bool] | npt.NDArray[np.bool_], confidence: float = CONFIDENCE) -> Bounds:
    """Of the share of dies that pass. passed [dies]. Assumes dies drawn independently, and nothing else. Raises
    UsageError.
    """
    wins, dies = _counts(passed)
    alpha = (1 - inside("confidence", confidence)) / 2
    return _closing(_least_yield(wins, dies, alpha), 1 - _least_yield(dies - wins, dies, alpha))


def yield_verdict(
    passed: Sequence[bool] | npt.NDArray[np.bool_], min_yield: float, confidence: float = CONFIDENCE
) -> Verdict:
    """Whether more than min_yield of all dies pass: a wrong pass, and a wrong fail, each has a probability of
    1 - confidence at most, whenever one stops. Assumes dies drawn independently, and nothing else. Raises UsageError.
    """
    wins, dies = _counts(passed)
    inside("min_yield", min_yield)
    enough = -log(1 - inside("confidence", confidence))
    lost = _log_capital(dies - wins, dies, np.float64(1 - min_yield)) >= enough
    return _first(_log_capital(wins, dies, np.float64(min_yield)) >= enough, lost)


def loss_bounds(losses: Values, confidence: float = CONFIDENCE) -> Bounds:
    """Of the mean loss, or of any mean. losses: one a die [dies]. Assumes dies drawn independently, and losses near
    enough to normal; skewed ones make errors more frequent (docs/statistics.md), and a rare disaster that no die has
    shown is not seen: ask its yield. Raises UsageError.
    """
    mean, half = _student(one_a_die(losses), 1 - inside("confidence", confidence))
    return _closing(mean - half, mean + half)


def loss_verdict(losses: Values, max_loss: float, confidence: float = CONFIDENCE) -> Verdict:
    """Whether the mean loss is below max_loss, in the unit of the losses: a wrong pass, and a wrong fail, each has a
    probability of 1 - confidence at most, whenever one stops. Assumes what `loss_bounds` does; four dies are the
    fewest. Raises UsageError.
    """
    found = one_a_die(losses)
    # Missed on both sides together twice as often; on the one where a verdict errs, when it is the first, half of that.
    mean, half = _student(found, min(2 * (1 - inside("confidence", confidence)), 1.0))
    return _first(mean + half < max_loss, mean - half > max_loss)


def _counts(passed: Sequence[bool] | npt.NDArray[np.bool_]) -> tuple[F64, F64]:
    found = passes(passed)
    return found.cumsum(), np.arange(1.0, len(found) + 1)


def _log_capital(wins: F64, dies: F64, share: F64 | np.float64) -> F64:
    """Of one who began with 1 and bets that more than this share of dies pass, the stake spread evenly over all
    fractions u of the capital: the mean over u of (1 - u + u / share)^wins (1 - u)^(dies - wins), a beta integral. It
    falls with the share. (Waudby-Smith and Ramdas, JRSS B 86, 2024; Orabona and Jun, arXiv 2110.14099.)
    """
    losses = dies - wins
    with np.errstate(divide="ignore"):
        beyond = np.log(betaincc(wins + 1, losses + 1, share))
    capital: F64 = betaln(wins + 1, losses + 1) + beyond - wins * np.log(share) - (losses + 1) * np.log1p(-share)
    return capital


def _least_yield(wins: F64, dies: F64, alpha: float) -> F64:
    """The largest share that the bet has refuted."""
    low, high = np.zeros_like(dies), np.ones_like(dies)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        refuted = _log_capital(wins, dies, middle) >= -log(alpha)
        low, high = np.where(refuted, middle, low), np.where(refuted, high, middle)
    return low


def _student(values: F64, alpha: float) -> tuple[F64, F64]:
    """Mean after each die, and the half width around it in which the scale-invariant normal mixture has not multiplied
    its stake by 1 / alpha, infinite for the first few dies. With v the variance of effects, g = 1 / (1 + n v) and
    T = n (mean - mu)^2 / sum of squares, its capital is sqrt(g) ((1 + T) / (1 + g T))^(n / 2). (Lai, Annals of
    Statistics 4, 1976; with a normal mixture Wang and Ramdas, arXiv 2310.03722.)
    """
    dies = np.arange(1.0, len(values) + 1)
    off = values - values[0]  # so that dies that are all alike have a spread of exactly 0
    mean = off.cumsum() / dies
    squares = np.maximum((off**2).cumsum() - dies * mean**2, 0.0)
    left = 1 / (1 + EFFECT_VARIANCE * dies)
    gain = np.exp((-np.log(left) - 2 * log(alpha)) / dies)
    bounded = gain * left < 1
    ratio = np.divide(gain - 1, 1 - gain * left, out=np.full_like(dies, np.inf), where=bounded)
    half = np.where(bounded, np.sqrt(squares / dies * np.where(bounded, ratio, 0.0)), np.inf)
    return values[0] + mean, half


def _closing(low: F64, high: F64) -> Bounds:
    return Bounds(np.maximum.accumulate(low), np.minimum.accumulate(high))


def _first(won: npt.NDArray[np.bool_], lost: npt.NDArray[np.bool_]) -> Verdict:
    decided = np.flatnonzero(won | lost)
    if not len(decided):
        return Verdict("undecided", len(won))
    return Verdict("pass" if won[decided[0]] else "fail", int(decided[0]) + 1)
