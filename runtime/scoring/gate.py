"""Gate: whether an evaluation is good enough, for scripts that must say yes or no."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from rcompile.errors import BadInputError, UsageError
from rcompile.hardware.effects.table import Effects
from runtime.scoring.evaluation import Evaluation
from runtime.statistics.checks import CONFIDENCE, inside
from runtime.statistics.intervals import Interval, interval

WAY_OUT = "Make it with `rcompile evaluate --json`."


class HeldDie(BaseModel):
    """A die and its score. asked, effects: as of `DieScore`; map_sha256: of a measured one, where it was kept."""

    model_config = ConfigDict(frozen=True)

    name: str
    score: float
    asked: tuple[float, float] | None
    effects: Effects = Effects()
    map_sha256: str | None = None


class Baseline(BaseModel):
    """What is read of an earlier evaluation, as `rcompile evaluate --json` printed it. way_out: how to make one."""

    path: Path
    task: str
    data_sha256: str
    dies: tuple[HeldDie, ...]
    clean: float
    way_out: str = WAY_OUT

    def scores_of(self, task: str, data_sha256: str, dies: Sequence[HeldDie]) -> list[float]:
        """The scores of the same dies there; without dies, the clean one. Raises BadInputError if it is of something
        else.
        """
        if (self.task, self.data_sha256) != (task, data_sha256):
            raise BadInputError(f"baseline '{self.path}' is of other sentences ({self.task}). {self.way_out}")
        if not dies:
            return [self.clean]
        known = {_identity(die): die.score for die in self.dies}
        if missing := [die.name for die in dies if _identity(die) not in known]:
            raise BadInputError(
                f"baseline '{self.path}' has no score of {', '.join(missing[:5])} with these faults. {self.way_out}"
            )
        return [known[_identity(die)] for die in dies]


def _identity(die: HeldDie) -> str:
    return die.model_dump_json(exclude={"score"})


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
    """One criterion, in points, or a share of dies. found: the mean and its interval; without width where the dies are
    all that is asked about: measured ones, or none but the clean bundle.
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
    return Limits(max_loss, min_score, None if baseline is None else read_baseline(baseline), confidence)


def read_baseline(path: Path, way_out: str = WAY_OUT) -> Baseline:
    """A baseline from its file. Raises BadInputError for one that cannot be read."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        return Baseline.model_validate({**held, "path": path, "way_out": way_out})
    except (OSError, UnicodeDecodeError, ValueError, TypeError) as error:
        problem = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise BadInputError(f"cannot read baseline '{path}': {problem}. {way_out}") from None


def judge(found: Evaluation, limits: Limits) -> tuple[Judgement, ...]:
    """Hold an evaluation against limits. Virtual dies stand for all dies like them: passed is what the whole interval
    passes, failed what none of it does; what lies between is undecided, and wants more dies. Raises UsageError for
    limits that cannot be held against these dies, BadInputError for a baseline of something else.
    """
    judged = []
    drawn = any(die.asked is not None for die in found.dies)
    if limits.baseline is not None or limits.max_loss is not None:
        against, what = _compared(found, limits.baseline)
        losses = [b - s for s, b in zip(_scores(found), against, strict=True)]
        loss = mean_of(losses, drawn, limits.confidence)
        judged.append(at_most(f"mean loss against {what}", limits.max_loss or 0.0, loss))
    if limits.min_score is not None:
        score = mean_of(_scores(found), drawn, limits.confidence)
        judged.append(at_least("mean score", limits.min_score, score))
    return tuple(judged)


def at_most(what: str, limit: float, found: Interval) -> Judgement:
    """Passed by a whole interval that is not above the limit, failed by one that is."""
    return Judgement(f"{what}, at most", limit, found, _verdict(found.high <= limit, found.low > limit))


def at_least(what: str, limit: float, found: Interval) -> Judgement:
    """Passed by a whole interval that is not below the limit, failed by one that is."""
    return Judgement(f"{what}, at least", limit, found, _verdict(found.low >= limit, found.high < limit))


def mean_of(values: Sequence[float], drawn: bool, confidence: float = CONFIDENCE) -> Interval:
    """The mean, one value a die. drawn: of all dies like these; else of these alone, without width."""
    if drawn:
        return interval(values, confidence)
    mean = sum(values) / len(values)
    return Interval(mean, mean, mean)


def _scores(found: Evaluation) -> list[float]:
    """Of the dies; without dies, of the clean bundle."""
    return [die.score for die in found.dies] or [found.clean]


def _compared(found: Evaluation, baseline: Baseline | None) -> tuple[list[float], str]:
    """What each score is held against, and what that is."""
    if baseline is not None:
        dies = [HeldDie(name=d.name, score=d.score, asked=d.asked, effects=d.effects) for d in found.dies]
        return baseline.scores_of(found.task, found.data_sha256, dies), f"'{baseline.path}'"
    if found.dies:
        return [found.clean] * len(found.dies), "the clean score"
    if found.source is None:
        raise UsageError("--max-loss without dies counts from the source model, which the bundle does not hold: give --die, or --min-score.")  # fmt: skip
    return [found.source], "the source model"


def _verdict(passed: bool, failed: bool) -> Literal["pass", "fail", "undecided"]:
    return "pass" if passed else "fail" if failed else "undecided"
