"""Verdicts that stop early: their bets against integrals, and no look into the future. How often they err is in
test_statistics.py, with the coverage of the others.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad

from rcompile.errors import UsageError
from runtime.statistics.sequential import Verdict, loss_bounds, loss_verdict, yield_bounds, yield_verdict

PASSES = st.lists(st.booleans(), min_size=1, max_size=60)
LOSSES = st.lists(st.integers(-80, 80).map(lambda n: n / 8), min_size=1, max_size=40)
YIELDS = st.sampled_from((0.2, 0.5, 0.9, 0.95))


def capital(passed: list[bool], share: float) -> float:
    """Of a stake spread over all fractions u, die by die."""
    return quad(lambda u: np.prod([1 - u + u * won / share for won in passed]), 0, 1, epsabs=1e-12, limit=200)[0]


@settings(max_examples=30)
@given(PASSES, YIELDS)
def test_a_yield_is_decided_when_a_bet_has_multiplied_its_stake(passed: list[bool], share: float) -> None:
    lost = [not won for won in passed]
    expected = Verdict("undecided", len(passed))
    for dies in range(1, len(passed) + 1):
        won = capital(passed[:dies], share) >= 20
        if won or capital(lost[:dies], 1 - share) >= 20:
            expected = Verdict("pass" if won else "fail", dies)
            break
    assert yield_verdict(passed, share, 0.95) == expected


@settings(max_examples=20)
@given(PASSES)
def test_the_bounds_of_a_yield_are_where_the_bet_stands_at_its_goal(passed: list[bool]) -> None:
    found = yield_bounds(passed, 0.9)
    best = int(np.argmax(found.low))
    if found.low[best] > 0.01:
        assert capital(passed[: best + 1], found.low[best]) == pytest.approx(20, rel=1e-3)


@pytest.mark.parametrize(("dies", "mean", "spread"), [(5, 1.0, 0.4), (12, 0.3, 1.0), (40, -0.2, 2.0)])
def test_a_mean_is_decided_by_the_mixture_over_effects(dies: int, mean: float, spread: float) -> None:
    """At the bound, the density of t under effects drawn from the standard normal is 1 / alpha of that under none."""
    losses = np.random.RandomState(dies).normal(mean, spread, dies)
    found = loss_bounds(losses, 0.9)
    last = int(np.argmin(found.high))
    until, high = losses[: last + 1], found.high[last]
    n = len(until)
    t = float(stats.ttest_1samp(until, high).statistic)
    mixed = quad(lambda d: stats.norm.pdf(d) * stats.nct.pdf(t, n - 1, d * np.sqrt(n)), -6, 6)[0]
    assert mixed / stats.t.pdf(t, n - 1) == pytest.approx(10, rel=1e-3)


@settings(max_examples=30)
@given(PASSES, YIELDS)
def test_a_yield_verdict_is_when_its_bounds_leave_the_limit_out(passed: list[bool], limit: float) -> None:
    """Each bound of a 90 % interval errs in 5 %; only one of them can err about a limit."""
    bounds = yield_bounds(passed, 0.9)
    assert_first(yield_verdict(passed, limit, 0.95), bounds.low > limit - 1e-9, bounds.high < limit + 1e-9)


@settings(max_examples=50)
@given(LOSSES, st.integers(-20, 20).map(lambda n: n / 16 + 0.01))
def test_a_loss_verdict_is_when_its_bounds_leave_the_limit_out(losses: list[float], limit: float) -> None:
    bounds = loss_bounds(losses, 0.9)
    assert_first(loss_verdict(losses, limit, 0.95), bounds.high < limit, bounds.low > limit)


def assert_first(found: Verdict, won: np.ndarray, lost: np.ndarray) -> None:
    decided = np.flatnonzero(won | lost)
    if len(decided):
        assert found == Verdict("pass" if won[decided[0]] else "fail", decided[0] + 1)
    else:
        assert found == Verdict("undecided", len(won))


@settings(max_examples=30)
@given(LOSSES, st.integers(1, 40))
def test_bounds_only_close_in_and_know_no_later_die(losses: list[float], dies: int) -> None:
    for bounds in (loss_bounds, lambda values: yield_bounds(np.array(values) > 0)):
        whole, part = bounds(losses), bounds(losses[:dies])
        assert np.array_equal(whole.low[:dies], part.low) and np.array_equal(whole.high[:dies], part.high)
        assert (whole.low[1:] >= whole.low[:-1]).all() and (whole.high[1:] <= whole.high[:-1]).all()


@given(LOSSES, st.sampled_from((0.25, 4.0)), st.integers(-8, 8))
def test_a_verdict_does_not_depend_on_the_unit(losses: list[float], unit: float, shift: int) -> None:
    limit = 0.51
    assert loss_verdict(losses, limit) == loss_verdict(unit * (np.array(losses) + shift), unit * (limit + shift))


def test_dies_that_are_all_alike() -> None:
    """Their spread is 0 as far as anybody saw; three of them are too few even so."""
    assert loss_verdict([0.5] * 3, 1.0) == Verdict("undecided", 3)
    assert loss_verdict([0.5] * 9, 1.0) == Verdict("pass", 4)
    assert loss_verdict([0.5] * 9, 0.4) == Verdict("fail", 4)
    assert loss_verdict([0.5] * 9, 0.5) == Verdict("undecided", 9)
    assert loss_bounds([0.5]).low[0] == -np.inf
    assert yield_verdict([True] * 200, 0.95) == Verdict("pass", 88)


@pytest.mark.parametrize(
    "call",
    [
        lambda: yield_verdict([], 0.95),
        lambda: yield_verdict([True, True], 1.0),
        lambda: yield_bounds([0.2, 88.1]),
        lambda: loss_verdict([], 1.0),
        lambda: loss_bounds([1.0, np.inf]),
        lambda: loss_bounds([1.0, 2.0], confidence=1.0),
    ],
)
def test_what_says_nothing_is_refused(call) -> None:
    with pytest.raises(UsageError, match="give "):
        call()
