"""Gate: whether an evaluation is good enough, for scripts that must say yes or no."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from rcompile.errors import BadInputError, UsageError
from runtime.scoring.evaluation import DieScore, Evaluation
from runtime.statistics.checks import CONFIDENCE, inside
from runtime.statistics.intervals import Interval, interval

WAY_OUT = "Make it with `rcompile evaluate --json`."


class _Die(BaseModel):
    name: str
    score: float
    asked: tuple[float, float] | None


class Baseline(BaseModel):
    """What is read of an earlier evaluation, as `rcompile evaluate --json` printed it."""

    path: Path
    task: str
    data_sha256: str
    dies: tuple[_Die, ...]
    clean: float


@dataclass(frozen=True)
class Limits:
    """What is asked. max_loss: most points that dies may lose on the mean. min_score: least points that they must have
    on the mean. baseline: an earlier evaluation, from whose dies the loss is counted; None: from the clean score.
    """

    max_loss: float | None = None
    min_score: float | None = None
    baseline: Baseline | None = None
    confidence: float = CONFIDENCE


@dataclass(frozen=True)
class Judgement:
    """One criterion, in points. found: the mean and its interval; without width where the dies are all that is asked
    about: measured ones, or none but the clean bundle.
    """

    criterion: str
    limit: float
    found: Interval
    verdict: Literal["pass", "fail", "undecided"]


def limits_of(
    max_loss: float | None, min_score: float | None, baseline: Path | None, confidence: float = CONFIDENCE
) -> Limits:
    """The limits, with the baseline read. Raises UsageError for a confidence that is none, BadInputError for a baseline
    that cannot be read.
    """
    inside("confidence", confidence)
    return Limits(max_loss, min_score, None if baseline is None else _read(baseline), confidence)


def _read(path: Path) -> Baseline:
    try:
        return Baseline.model_validate({**json.loads(path.read_text(encoding="utf-8")), "path": path})
    except (OSError, UnicodeDecodeError, ValueError, TypeError) as error:
        problem = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise BadInputError(f"cannot read baseline '{path}': {problem}. {WAY_OUT}") from None


def judge(found: Evaluation, limits: Limits) -> tuple[Judgement, ...]:
    """Hold an evaluation against limits. Virtual dies stand for all dies like them: passed is what the whole interval
    passes, failed what none of it does; what lies between is undecided, and wants more dies. Raises UsageError for
    limits that cannot be held against these dies, BadInputError for a baseline of something else.
    """
    judged = []
    if limits.baseline is not None or limits.max_loss is not None:
        against, what = _compared(found, limits.baseline)
        loss = _about(found.dies, [b - s for s, b in zip(_scores(found), against, strict=True)], limits.confidence)
        limit = limits.max_loss or 0.0
        verdict = _verdict(loss.high <= limit, loss.low > limit)
        judged.append(Judgement(f"mean loss against {what}, at most", limit, loss, verdict))
    if limits.min_score is not None:
        score = _about(found.dies, _scores(found), limits.confidence)
        verdict = _verdict(score.low >= limits.min_score, score.high < limits.min_score)
        judged.append(Judgement("mean score, at least", limits.min_score, score, verdict))
    return tuple(judged)


def _scores(found: Evaluation) -> list[float]:
    """Of the dies; without dies, of the clean bundle."""
    return [die.score for die in found.dies] or [found.clean]


def _compared(found: Evaluation, baseline: Baseline | None) -> tuple[list[float], str]:
    """What each score is held against, and what that is."""
    if baseline is not None:
        return _of_baseline(found, baseline), f"'{baseline.path}'"
    if found.dies:
        return [found.clean] * len(found.dies), "the clean score"
    if found.source is None:
        raise UsageError("--max-loss without dies counts from the source model, which the bundle does not hold: give --die, or --min-score.")  # fmt: skip
    return [found.source], "the source model"


def _of_baseline(found: Evaluation, held: Baseline) -> list[float]:
    """The scores of the same dies there."""
    if (held.task, held.data_sha256) != (found.task, found.data_sha256):
        raise BadInputError(f"baseline '{held.path}' is of other sentences ({held.task}). {WAY_OUT}")
    if not found.dies:
        return [held.clean]
    known = {(die.name, die.asked): die.score for die in held.dies}
    if missing := [die.name for die in found.dies if (die.name, die.asked) not in known]:
        raise BadInputError(
            f"baseline '{held.path}' has no score of {', '.join(missing[:5])} with these rates of faults. {WAY_OUT}"
        )
    return [known[die.name, die.asked] for die in found.dies]


def _about(dies: Sequence[DieScore], values: Sequence[float], confidence: float) -> Interval:
    """The mean, of all dies like these if they are virtual."""
    if any(die.asked is not None for die in dies):
        return interval(values, confidence)
    mean = sum(values) / len(values)
    return Interval(mean, mean, mean)


def _verdict(passed: bool, failed: bool) -> Literal["pass", "fail", "undecided"]:
    return "pass" if passed else "fail" if failed else "undecided"
