"""Predict: the error that stuck cells leave in a layer's outputs, in closed form, before any die is known.

All errors are expected squared errors of a weight code, summed over a layer's wordlines, in units of one squared; with
white inputs that is the squared error of an output over the mean square of an input code. docs/protection.md derives
them.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import product
from math import comb, prod

import numpy as np
import numpy.typing as npt

from rcompile.hardware.target import Target
from rcompile.vocabulary import Combiner, VotingCombiner

F64 = npt.NDArray[np.float64]
# What a read's rounding costs, over what it would cost if all input codes were equally likely: codes of a transformer
# have a tenth of the energy of white ones, and the upper planes of small ones cancel in part.
SMALL_CODES = 3.3


def level_error(
    levels: F64, replicas: int, combiner: Combiner, target: Target, units: Sequence[int], sa0: float, sa1: float
) -> float:
    """Expected squared error of one bitline after its vote, summed over its wordlines.

    levels: [top + 1], share of cells that hold each level. units: wordlines driven in each read. sa0, sa1: fault rates.
    Cells fail independently, and no read clips; each combiner's function says what else it takes for granted.
    """
    if combiner == "none" or replicas == 1:
        errors, chance = _errors(levels, sa0, sa1)
        return sum(units) * float(chance.sum(axis=1) @ errors**2)
    of_unit = PREDICTIONS[combiner]
    return sum(count * of_unit(levels, replicas, unit, target, sa0, sa1) for unit, count in Counter(units).items())


def given_up_error(step: int, wordlines: int) -> float:
    """Squared error of codes that are multiples of `step`: of their rounding, uniform, less that of the full codes."""
    return wordlines * (step * step - 1) / 12


def _errors(levels: F64, sa0: float, sa1: float) -> tuple[F64, F64]:
    """The errors that a cell can have, [E], and how likely each is together with each level: [E, top + 1]."""
    top = len(levels) - 1
    errors = np.arange(-top, top + 1)
    chance = np.zeros((2 * top + 1, top + 1))
    for level, share in enumerate(levels):
        chance[top - level, level] += share * sa0
        chance[top + top - level, level] += share * sa1
        chance[top, level] += share * (1 - sa0 - sa1)
    return errors.astype(np.float64), chance


def _common(levels: F64, errors: F64, chance: F64) -> float:
    """Mean product of the errors of two replicas of a cell, which share its level: `E[E[e given l]^2]`."""
    return float((chance.T @ errors) ** 2 @ np.divide(1, levels, where=levels > 0, out=np.zeros_like(levels)))


def _decided(levels: F64, replicas: int, wordlines: int, target: Target, sa0: float, sa1: float) -> float:
    """Squared error of the level that a self-test decides on: over all counts of replicas at level 0, at the top and
    good. Exact.
    """
    squares, counts = _decisions(replicas, target.top_level, target.likelier_level)
    zeros, tops, good, ways = counts
    chance = ways * sa0**zeros * sa1**tops * (1 - sa0 - sa1) ** good
    return wordlines * float(levels @ squares @ chance)


@functools.cache
def _decisions(replicas: int, top: int, likelier: int) -> tuple[F64, F64]:
    """Squared error of the decision, [top + 1, C], by true level and by how many replicas are stuck; and of each such
    case replicas at level 0, at the top, good, and ways to choose them, [4, C].
    """
    squares, counts = [], []
    for zeros, tops in product(range(replicas + 1), repeat=2):
        good = replicas - zeros - tops
        if good < 0:
            continue
        counts.append((zeros, tops, good, comb(replicas, zeros) * comb(replicas - zeros, tops)))
        of_level = []
        for level in range(top + 1):
            votes = np.zeros(top + 1, np.int64)
            np.add.at(votes, [0, top, level], [zeros, tops, good])
            winners = np.flatnonzero(votes == votes.max())
            between = winners[(winners > 0) & (winners < top)]
            tie = likelier if len(winners) > 1 else winners[0]
            of_level.append((int(between[0] if len(between) else tie) - level) ** 2)
        squares.append(of_level)
    return np.array(squares, np.float64).T, np.array(counts, np.float64).T


def _mean(levels: F64, replicas: int, wordlines: int, target: Target, sa0: float, sa1: float) -> float:
    """`E[e^2] / R + (1 - 1/R) E[E[e given l]^2]` a wordline: replicas of a cell share its level l, so their errors have
    a mean in common; exact. Behind a converter that rounds, what the rounding of averaged codes adds.
    """
    errors, chance = _errors(levels, sa0, sa1)
    square = float(chance.sum(axis=1) @ errors**2)
    common = _common(levels, errors, chance)
    rounded = _rounding(levels, replicas, wordlines, sa0, sa1) if target.adc.bits else 0.0
    return wordlines * (square + common * (replicas - 1)) / replicas + rounded


def _rounding(levels: F64, replicas: int, wordlines: int, sa0: float, sa1: float) -> float:
    """Four times the variance, over dies and inputs, of `floor(sum / R + 1/2) - sum / R`, by the distribution of the
    replicas' sum modulo R; each wordline is driven with probability 1/2. And SMALL_CODES, for it does not get smaller
    with the input codes.
    """
    errors, chance = _errors(levels, sa0, sa1)
    remainders = np.arange(replicas)
    of_cell = np.exp(2j * np.pi * np.outer(remainders, errors) / replicas) @ chance.sum(axis=1)
    pmf = np.fft.fft(((1 + of_cell**replicas) / 2) ** wordlines).real / replicas
    off = np.floor(remainders / replicas + 0.5) - remainders / replicas
    return SMALL_CODES * 4 * float(pmf @ off**2 - (pmf @ off) ** 2)


def _least_damage(levels: F64, replicas: int, wordlines: int, target: Target, sa0: float, sa1: float) -> float:
    """Expected least of `replicas` damages, each the sum of squared errors over an operation unit: sum of
    P(damage > d)^R.

    Takes the errors of replicas as independent although replicas share their level: near exact for few faults, up to a
    third low for three or five replicas where a tenth of the cells are stuck.
    """
    beyond = _damage_beyond(tuple(levels), wordlines, sa0, sa1)
    return float((beyond**replicas).sum()) + _misled(beyond, levels, replicas, wordlines, target, sa0, sa1)


def _misled(beyond: F64, levels: F64, replicas: int, wordlines: int, target: Target, sa0: float, sa1: float) -> float:
    """What a self-test that decides wrongly adds: where another replica is whole, it is not seen to be. Approximate."""
    return (1 - float(beyond[0])) * _decided(levels, replicas, wordlines, target, sa0, sa1)


@functools.lru_cache(maxsize=4)
def _damage_beyond(levels: tuple[float, ...], wordlines: int, sa0: float, sa1: float) -> F64:
    """P(damage > d) of one replica, for d = 0, 1, .."""
    errors, chance = _errors(np.array(levels), sa0, sa1)
    top = len(levels) - 1
    squares = np.bincount((errors**2).astype(np.int64), weights=chance.sum(axis=1), minlength=top * top + 1)
    # The distribution of a sum is the power of the characteristic function; long enough that nothing wraps.
    length = 1 << (wordlines * top * top).bit_length()
    damage = np.fft.irfft(np.fft.rfft(squares, length) ** wordlines, length).clip(0)
    return (1 - np.cumsum(damage)).clip(0)


def _best_subset(levels: F64, replicas: int, wordlines: int, target: Target, sa0: float, sa1: float) -> float:
    """Expected least damage of the mean of one, two or, from four replicas on, four tickets, by drawn damages d of the
    replicas in rising order: d1, (d1 + d2 + 2c) / 4, (d1 + d2 + d3 + d4 + 12c) / 16, and (4 d1 + d2 + d3 + 10c) / 16
    where one replica has two of four. c is the mean product of two replicas' errors, which share their levels.

    Takes the errors of replicas as independent but for c.
    """
    beyond = _damage_beyond(tuple(levels), wordlines, sa0, sa1)
    drawn = np.searchsorted(-beyond, -_uniform(replicas), side="right").astype(np.float64)
    drawn.sort(axis=1)
    errors, chance = _errors(levels, sa0, sa1)
    c = wordlines * _common(levels, errors, chance)
    means = [drawn[:, 0], (drawn[:, :2].sum(axis=1) + 2 * c) / 4]
    if replicas >= 4:
        means.append((drawn[:, :4].sum(axis=1) + 12 * c) / 16)
        means.append((4 * drawn[:, 0] + drawn[:, 1] + drawn[:, 2] + 10 * c) / 16)
    misled = _misled(beyond, levels, replicas, wordlines, target, sa0, sa1)
    return float(np.min(means, axis=0).mean()) + misled


@functools.cache
def _uniform(replicas: int) -> F64:
    """Points in (0, 1], the same each time: f64 [2048, R]."""
    return 1 - np.random.default_rng(0).random((2048, replicas))


def _median(levels: F64, replicas: int, wordlines: int, target: Target, sa0: float, sa1: float) -> float:
    """Four times the mean variance, over the inputs, of the lower median of the replicas' reads on one die.

    The variance is E[m^2] - E[m m'], m and m' being medians on the same die for independent inputs: each wordline is
    driven with probability 1/2 in either. Four, because a driven bit has variance 1/4. Takes the errors of replicas as
    independent, and the reads of 1-bit DACs: with 2 to 4 bits, drawn dies have up to 17 % more where a tenth of the
    cells are stuck.
    """
    both = _both_reads(tuple(levels), wordlines, sa0, sa1)
    size = len(both)
    one = both[:, -1]
    joint = np.zeros_like(both)
    least = (replicas - 1) // 2 + 1
    # Replicas at or below (a, b): in both reads, in the first only, in the second only, in neither; and the powers of
    # each chance.
    chances = (both, one[:, None] - both, one[None] - both, 1 - one[:, None] - one[None] + both)
    powers = [np.cumprod([np.ones_like(both), *[c] * replicas], axis=0) for c in chances]
    for n in product(range(replicas + 1), repeat=4):
        if sum(n) == replicas and n[0] + n[1] >= least and n[0] + n[2] >= least:
            ways = prod(comb(sum(n[i:]), n[i]) for i in range(4))
            joint += ways * powers[0][n[0]] * powers[1][n[1]] * powers[2][n[2]] * powers[3][n[3]]
    values = np.arange(size) - size // 2
    median = np.diff(np.diff(joint, axis=0, prepend=0), axis=1, prepend=0)
    return max(0.0, 4 * float(np.diff(joint[:, -1], prepend=0) @ values**2 - values @ median @ values))


@functools.lru_cache(maxsize=4)
def _both_reads(levels: tuple[float, ...], wordlines: int, sa0: float, sa1: float) -> F64:
    """P(error of a first read <= a, of a second <= b) of one replica on one die, for independent inputs: f64 [size,
    size], a and b from -size / 2 up.
    """
    errors, chance = _errors(np.array(levels), sa0, sa1)
    top = len(levels) - 1
    stuck = wordlines * (sa0 + sa1)
    reach = top * (stuck / 2 + 4 * np.sqrt(stuck + 1))  # of a read's error; what is beyond would wrap
    size = 1 << max(5, int(2 * reach).bit_length())
    pair = np.zeros((size, size))
    for error, p in zip(errors.astype(np.int64), chance.sum(axis=1), strict=True):
        for a, b in product((0, error), repeat=2):
            pair[a % size, b % size] += p / 4
    pmf = np.fft.fftshift(np.fft.irfft2(np.fft.rfft2(pair) ** wordlines, s=pair.shape).clip(0))
    return pmf.cumsum(0).cumsum(1)


# Of one read of so many wordlines, after the vote of so many replicas.
PREDICTIONS: dict[VotingCombiner, Callable[[F64, int, int, Target, float, float], float]] = {
    "cell": _decided,
    "select": _least_damage,
    "subset": _best_subset,
    "median": _median,
    "mean": _mean,
}
