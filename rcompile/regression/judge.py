"""Judge: what dies say of a check's criteria."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from rcompile.regression.check import Check
from runtime.scoring.gate import Judgement, at_least, at_most, mean_of
from runtime.statistics.intervals import Interval
from runtime.statistics.sequential import Bounds, loss_bounds, yield_bounds
from runtime.statistics.yields import yield_interval

Verdict = Literal["pass", "fail", "undecided"]


def judge(check: Check, clean: float, scores: Sequence[float], held: Sequence[float] | None) -> tuple[Judgement, ...]:
    """Hold scores against a check's criteria. scores: one a die, or the clean one where it asks of no dies. held: those
    of the baseline, of the same dies.

    Seeds and measured dies are judged as `rcompile evaluate` does. Dies that are tried until it is clear are judged by
    bounds that hold at every step.
    """
    judged = []
    losses = [clean - score for score in scores]
    most, least = check.max_loss_points, check.min_score
    if check.min_yield is not None:
        passed = [(most is None or lost <= most) and (least is None or score >= least) for lost, score in zip(losses, scores, strict=True)]  # fmt: skip
        kept = [f"lose at most {most:g} points"] if most is not None else []
        kept += [f"score {least:g} or more"] if least is not None else []
        judged.append(at_least(f"share of dies that {' and '.join(kept)}", check.min_yield, _yield(check, passed)))
    else:
        if most is not None:
            judged.append(at_most("mean loss against the clean score", most, mean(check, losses)))
        if least is not None:
            judged.append(at_least("mean score", least, mean(check, scores)))
    if held is not None:
        lost = [before - now for before, now in zip(held, scores, strict=True)]
        judged.append(at_most(f"mean loss against '{check.baseline}'", check.max_regression_points, mean(check, lost)))
    return tuple(judged)


def verdict(judged: Sequence[Judgement]) -> Verdict:
    """One criterion that fails decides; then one that is undecided."""
    verdicts = {one.verdict for one in judged}
    return "fail" if "fail" in verdicts else "undecided" if "undecided" in verdicts else "pass"


def mean(check: Check, values: Sequence[float]) -> Interval:
    """Of one value a die."""
    if check.auto:
        return _last(float(np.mean(values)), loss_bounds(values, _two_sided(check)))
    return mean_of(values, bool(check.dies), check.confidence)


def _yield(check: Check, passed: Sequence[bool]) -> Interval:
    share = sum(passed) / len(passed)
    if check.auto:
        return _last(share, yield_bounds(passed, _two_sided(check)))
    if check.dies:
        return yield_interval(sum(passed), len(passed), check.confidence)
    return Interval(share, share, share)


def _two_sided(check: Check) -> float:
    """The confidence of bounds that leave a limit out where a verdict of this confidence is (docs/statistics.md)."""
    return 2 * check.confidence - 1


def _last(found: float, bounds: Bounds) -> Interval:
    return Interval(found, float(bounds.low[-1]), float(bounds.high[-1]))
