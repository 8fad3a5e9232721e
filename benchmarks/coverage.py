"""How often do the intervals and verdicts of runtime/statistics hold what they promise? Where the truth is known.

    python benchmarks/coverage.py

Prints the tables of docs/statistics.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from runtime.statistics.intervals import Interval, controlled, interval
from runtime.statistics.resampling import mean_on_new_text
from runtime.statistics.sequential import loss_verdict, yield_verdict
from runtime.statistics.tolerated import tolerated_rate
from runtime.statistics.yields import yield_at_least, yield_interval

Draw = Callable[[np.random.RandomState, tuple[int, ...]], npt.NDArray[np.floating]]
MOST_DIES = 200
YIELD = 0.95
# Losses whose mean is 1 point.
LOSSES: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.normal(1.0, 0.4, shape),
    "skewed (gamma, skewness 1)": lambda rng, shape: rng.gamma(4.0, 0.25, shape),
    "1 die in 50 loses 50 points": lambda rng, shape: 50.0 * (rng.random_sample(shape) < 0.02),
}


def holds(found: Interval, truth: float) -> bool:
    """Whether the interval does."""
    return found.low <= truth <= found.high


def share(hits: list[bool]) -> float:
    """Of them."""
    return sum(hits) / len(hits)


def intervals(rng: np.random.RandomState, runs: int) -> Iterator[tuple[str, str, float]]:
    """What, what it promises, and the share of runs in which the interval holds the truth."""
    for name, draw in LOSSES.items():
        for dies in (3, 10):
            hits = [holds(interval(values), 1.0) for values in draw(rng, (runs, dies))]
            yield f"`interval`, {dies} dies, {name}", "95 %" if name == "normal" else "", share(hits)
    predicted = rng.normal(size=(runs, 10))
    values = 1 + predicted + 0.5 * rng.normal(size=predicted.shape)
    hits = [holds(controlled(v, p, 0.0), 1.0) for v, p in zip(values, predicted, strict=True)]
    yield "`controlled`, 10 dies", "95 %", share(hits)
    passed = rng.binomial(59, YIELD, runs)
    both = lru_cache(lambda k: holds(yield_interval(k, 59), YIELD))
    yield "`yield_interval`, 59 dies", "95 % or more", share([both(k) for k in passed])
    least = lru_cache(lambda k: yield_at_least(k, 59) <= YIELD)
    yield "`yield_at_least`, 59 dies", "95 % or more", share([least(k) for k in passed])
    for dies, of_die, points in ((3, 0.1, 1.2), (3, 0.4, 4.9), (10, 0.1, 1.2), (10, 0.4, 4.9)):
        hits = [new_text(rng, dies, of_die) for _ in range(runs // 4)]
        yield f"`mean_on_new_text`, {dies} dies that differ by {points} points", "about 95 %", share(hits)
    hits = [crossing(rng, dies=6) for _ in range(runs)]
    yield "`tolerated_rate`, 6 dies at 5 rates", "95 % or more", share(hits)


def new_text(rng: np.random.RandomState, dies: int, of_die: float) -> bool:
    """60 sentences, nine in ten of which are answered rightly; some are harder than others, by 1 in units of a normal
    noise, and so are some dies, by of_die.
    """
    sentences, of_sentence, threshold = 60, 1.0, 1.2815515655446004
    total = np.sqrt(1 + of_die**2 + of_sentence**2)
    hard = of_die * rng.normal(size=(dies, 1)) + of_sentence * rng.normal(size=sentences)
    right = rng.random_sample((dies, sentences)) < ndtr(threshold * total - hard)
    return holds(mean_on_new_text(right, resamples=200), 0.9)


def crossing(rng: np.random.RandomState, dies: int) -> bool:
    """Losses that rise by a point with every factor of 10 in the rate; the same dies at every rate, so that their luck
    is partly the same.
    """
    rates = np.array([1e-4, 3e-4, 1e-3, 3e-3, 1e-2])
    luck = rng.normal(0, 0.4, dies) + rng.normal(0, 0.2, (len(rates), dies))
    losses = [interval(row) for row in np.log10(rates / 1e-4)[:, None] + luck]
    found = tolerated_rate(rates, losses, 0.8)
    return found.low <= 10**-3.2 <= found.high


def verdicts(rng: np.random.RandomState, runs: int) -> Iterator[tuple[str, str, float, float]]:
    """What lies exactly at the limit, what is promised, the shares of runs with a wrong pass and with a wrong fail:
    there, each is as frequent as it ever is. Looked at after every die.
    """
    passed = [yield_verdict(row < YIELD, YIELD).answer for row in rng.random_sample((runs, MOST_DIES))]
    yield "`yield_verdict`", "5 %", passed.count("pass") / runs, passed.count("fail") / runs
    for name, draw in LOSSES.items():
        answers = [loss_verdict(row, 1.0).answer for row in draw(rng, (runs, MOST_DIES))]
        promise = "5 %" if name == "normal" else ""
        yield f"`loss_verdict`, {name}", promise, answers.count("pass") / runs, answers.count("fail") / runs


def dies_taken(rng: np.random.RandomState, runs: int) -> Iterator[tuple[str, npt.NDArray[np.int64]]]:
    """What is asked, and how many dies each run took."""
    for mean in (0.3, 0.6, 0.8, 1.5):
        rows = rng.normal(mean, 0.4, (runs, MOST_DIES))
        yield (
            f"mean loss below 1? It is {mean}, standard deviation 0.4",
            np.array([loss_verdict(r, 1.0).dies for r in rows]),
        )
    for true, asked in ((1.0, 0.9), (1.0, 0.95), (0.99, 0.9), (0.8, 0.95)):
        passed = rng.random_sample((runs, MOST_DIES)) < true
        yield f"yield above {asked}? It is {true:g}", np.array([yield_verdict(r, asked).dies for r in passed])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=4000)
    runs: int = parser.parse_args().runs
    rng = np.random.RandomState(0)
    print("| interval | promised | measured |\n|---|---:|---:|")
    for what, promised, measured in intervals(rng, runs):
        print(f"| {what} | {promised} | {100 * measured:.1f} % |")
    print("\n| verdict, the truth at the limit | promised, at most | wrong pass | wrong fail |\n|---|---:|---:|---:|")
    for what, promised, won, lost in verdicts(rng, runs):
        print(f"| {what} | {promised} | {100 * won:.1f} % | {100 * lost:.1f} % |")
    print("\n| asked, with 95 % confidence | dies, median | 9 in 10 take at most |\n|---|---:|---:|")
    for what, taken in dies_taken(rng, runs // 10):
        few, many = (f"{of:.0f}" if of < MOST_DIES else f"over {MOST_DIES}" for of in np.percentile(taken, (50, 90)))
        print(f"| {what} | {few} | {many} |")


if __name__ == "__main__":
    main()
