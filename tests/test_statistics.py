"""Intervals, yields and tolerated rates against closed forms and scipy.stats; coverage where the truth is known."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scripts import ROOT, run
from sklearn.metrics import accuracy_score

from rcompile.errors import UsageError
from runtime.statistics.intervals import Interval, controlled, interval, paired
from runtime.statistics.resampling import mean_on_new_text, resampled_means, score_on_new_text
from runtime.statistics.tolerated import tolerated_rate
from runtime.statistics.yields import dies_needed, yield_at_least, yield_interval

SCORES = st.lists(st.integers(-1000, 1000).map(lambda n: n / 8), min_size=2, max_size=20)
CONFIDENCES = st.sampled_from((0.5, 0.9, 0.95, 0.99))


@settings(max_examples=30)
@given(SCORES, CONFIDENCES)
def test_an_interval_is_students(values: list[float], confidence: float) -> None:
    found = interval(values, confidence)
    if np.ptp(values) == 0:
        assert found == Interval(values[0], values[0], values[0])
        return
    low, high = stats.ttest_1samp(values, 0).confidence_interval(confidence)
    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(values), low, high), abs=1e-9)


def test_one_die_says_nothing_about_others() -> None:
    assert interval([3.0]) == Interval(3.0, -np.inf, np.inf)
    assert mean_on_new_text(np.eye(1, 9)) == Interval(1 / 9, -np.inf, np.inf)


@given(SCORES, st.floats(0, 100))
def test_a_loss_is_paired_with_its_die(values: list[float], clean: float) -> None:
    shifted = paired(values, clean)
    assert shifted.mean == pytest.approx(clean - np.mean(values))
    assert paired(values, np.add(values, 1)) == Interval(1.0, 1.0, 1.0)


@given(st.integers(4, 12), st.integers(0, 100), st.floats(-3, 3), st.floats(-5, 5))
def test_a_prediction_that_says_all_leaves_nothing_open(dies: int, seed: int, slope: float, mean: float) -> None:
    predicted = np.random.RandomState(seed).normal(size=dies)
    found = controlled(7 + slope * predicted, predicted, mean)
    assert (found.low, found.high) == pytest.approx((7 + slope * mean,) * 2, abs=1e-6)


def test_a_prediction_is_the_line_of_least_squares() -> None:
    """The interval of the line at a point, as linregress has it: that of its intercept, moved there."""
    rng = np.random.RandomState(3)
    predicted = rng.normal(size=9)
    values = rng.normal(size=9) + 2 * predicted
    line = stats.linregress(predicted - 0.4, values)
    half = stats.t.ppf(0.975, 7) * line.intercept_stderr
    found = controlled(values, predicted, 0.4)
    assert (found.mean, found.low) == pytest.approx((line.intercept, line.intercept - half))
    assert controlled(values, np.ones(9), 0.4) == interval(values)
    assert controlled(values[:2], predicted[:2], 0.4).high == np.inf


@settings(max_examples=30)
@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), CONFIDENCES)
def test_yields_are_clopper_pearsons(counts: tuple[int, int], confidence: float) -> None:
    found = yield_interval(*counts, confidence)
    exact = stats.binomtest(*counts).proportion_ci(confidence, "exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-9)
    one_sided = stats.binomtest(*counts, alternative="greater").proportion_ci(confidence, "exact")
    assert yield_at_least(*counts, confidence) == pytest.approx(one_sided.low, abs=1e-9)


def test_known_yields() -> None:
    """The last: Wilks' numbers, as tables of nonparametric tolerance limits have them."""
    assert yield_at_least(59, 59) == pytest.approx(0.9505, abs=5e-5)
    assert yield_interval(0, 10).high == pytest.approx(0.3085, abs=5e-5)
    assert [dies_needed(0.95, 0.95, failures) for failures in range(5)] == [59, 93, 124, 153, 181]
    assert dies_needed(0.99) == 299 and dies_needed(0.9) == 29 and dies_needed(0.99, 0.99) == 459


@given(st.floats(0.01, 0.999), CONFIDENCES, st.integers(0, 50))
def test_the_dies_needed_are_the_fewest(min_yield: float, confidence: float, failures: int) -> None:
    dies = dies_needed(min_yield, confidence, failures)
    assert yield_at_least(dies - failures, dies, confidence) >= min_yield - 1e-12
    assert dies == failures + 1 or yield_at_least(dies - 1 - failures, dies - 1, confidence) < min_yield + 1e-12


def test_resampling_draws_dies_and_sentences() -> None:
    values = np.random.RandomState(1).random_sample((4, 30)) < 0.8
    rng = np.random.RandomState(0)
    sentences = rng.multinomial(30, np.full(30, 1 / 30), 700)
    dies = rng.multinomial(4, np.full(4, 1 / 4), 700)
    expected = np.einsum("rd,rs,ds->r", dies, sentences, values) / 120
    assert resampled_means(values, 700) == pytest.approx(expected)


def test_on_one_text_the_dies_alone_count() -> None:
    """Also if they are few: percentiles of a bootstrap over three dies span less than half of Student's."""
    values = np.random.RandomState(2).normal(size=3)
    new, plain = mean_on_new_text(values[:, None]), interval(values)
    assert new.mean == pytest.approx(plain.mean)
    assert new.high - new.mean == pytest.approx(plain.high - plain.mean, rel=0.07)


def test_on_equal_dies_the_text_alone_counts() -> None:
    right = np.tile(np.arange(100) % 5 > 0, (6, 1))
    for found in (mean_on_new_text(right), score_on_new_text(accuracy_score, np.ones(100), right)):
        assert found.high - found.mean == pytest.approx(1.96 * np.sqrt(0.8 * 0.2 / 100), rel=0.1)


def test_any_score_is_resampled_alike() -> None:
    rng = np.random.RandomState(4)
    truth = rng.randint(2, size=150)
    predicted = np.where(rng.random_sample((5, 150)) < 0.85, truth, 1 - truth)
    scored, mean = score_on_new_text(accuracy_score, truth, predicted), mean_on_new_text(predicted == truth)
    assert scored.mean == pytest.approx(mean.mean)
    assert scored.high - scored.low == pytest.approx(mean.high - mean.low, rel=0.15)


RATES = (1e-4, 1e-3, 1e-2)
LOSSES = [Interval(mean, mean - 0.5, mean + 0.5) for mean in (0.0, 1.0, 3.0)]


@settings(max_examples=30)
@given(st.floats(1e-3, 1e3))
def test_a_tolerated_rate_lies_on_the_line_between_two(unit: float) -> None:
    found = tolerated_rate(np.multiply(RATES, unit), LOSSES, 2.0)
    assert found.where == "within"
    expected = np.multiply(unit, (10**-2.5, 10**-2.75, 10**-2.25))
    assert (found.rate, found.low, found.high) == pytest.approx(expected)


def test_nothing_is_said_beyond_the_measured_rates() -> None:
    above = tolerated_rate(RATES, LOSSES, 3.2)
    assert above.where == "above the highest rate" and above.rate == above.high == np.inf
    assert above.low == pytest.approx(10**-2.15)
    below = tolerated_rate(RATES, LOSSES, -0.2)
    assert below.where == "below the lowest rate" and below.rate == below.low == 0
    assert below.high == pytest.approx(10**-3.7)


def test_more_faults_never_cost_less() -> None:
    """The mean that falls by chance is levelled with the one before it."""
    falling = [Interval(mean, mean, mean) for mean in (0.0, 1.2, 0.8, 2.0)]
    assert tolerated_rate((1, 10, 100, 1000), falling, 1.5).rate == pytest.approx(10**2.5)


@pytest.mark.parametrize(
    "call",
    [
        lambda: interval([]),
        lambda: interval([[1.0, 2.0]]),
        lambda: interval([1.0, np.nan]),
        lambda: interval([1.0, 2.0], confidence=95),
        lambda: paired([1.0, 2.0], [1.0, 2.0, 3.0]),
        lambda: controlled([1.0, 2.0], [1.0], 0.0),
        lambda: yield_interval(3, 2),
        lambda: yield_at_least(0, 0),
        lambda: dies_needed(1.0),
        lambda: dies_needed(0.9, 0.95, -1),
        lambda: mean_on_new_text(np.ones(3)),
        lambda: mean_on_new_text(np.ones((0, 3))),
        lambda: score_on_new_text(accuracy_score, np.ones(3), np.ones((2, 4))),
        lambda: tolerated_rate((0.0, 1.0), LOSSES[:2], 1.0),
        lambda: tolerated_rate((1.0, 0.5), LOSSES[:2], 1.0),
        lambda: tolerated_rate(RATES, LOSSES[:2], 1.0),
        lambda: tolerated_rate((1.0, 2.0), [interval([1.0]), interval([2.0])], 1.0),
    ],
)
def test_what_says_nothing_is_refused(call) -> None:
    with pytest.raises(UsageError, match="give "):
        call()


def test_the_truth_is_covered_as_often_as_promised() -> None:
    """Where something is promised: within what 300 runs can tell, and the page has the rows that the script prints."""
    runs, page = 300, (ROOT / "docs" / "statistics.md").read_text()
    rows = [re.split(r" *\| *", line)[1:-1] for line in run("benchmarks/coverage.py", "--runs", runs).splitlines()]
    rows = [row for row in rows if len(row) > 2 and row[1] and "dies, median" not in row[1]]
    judged = [row for row in rows if re.fullmatch(r"(about )?\d+ %( or more)?", row[1])]
    assert len(judged) == 12
    for what, promised, *measured in judged:
        assert f"| {what} | {promised} |" in page
        share = float(re.search(r"\d+", promised)[0]) / 100
        side = "less" if "or more" in promised else "two-sided" if share > 0.5 else "greater"
        for each in measured:
            tried = runs // 4 if "about" in promised else runs
            hits = round(float(each.split()[0]) / 100 * tried)
            assert stats.binomtest(hits, tried, share, alternative=side).pvalue > 0.002, (what, each)
