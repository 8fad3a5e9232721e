"""Show: an outcome for people, for JUnit and as JSON."""

from __future__ import annotations

import shlex
from math import isfinite
from pathlib import Path
from typing import Any

from rcompile.campaigns.plan import Run
from rcompile.regression.check import Check
from rcompile.regression.judge import mean
from rcompile.regression.run import Outcome
from runtime.scoring.gate import Judgement
from runtime.statistics.intervals import Interval

FORMAT = "rcompile-checks-1"
MORE = {"undecided": "the interval holds the limit: give more dies, a lower confidence, or another limit"}


def described(outcome: Outcome) -> str:
    """What was expected and found, and how to see the worst die again."""
    check, clean, scores = outcome.check, outcome.clean, outcome.scores
    limit = f", {clean['examples']} examples"
    lines = [
        f"check '{check.name}': {outcome.verdict}; {clean['task']}{limit}, {_dies(outcome)} on {clean['target']}, clean score {clean['score']:.2f}"
    ]
    for one in outcome.judged:
        lines += [
            f"  expected  {one.criterion} {one.limit:g}",
            f"  found     {_found(one, check)}: {one.verdict}",
        ]
        lines += [f"            {MORE[one.verdict]}"] if one.verdict in MORE else []
    if outcome.runs:
        worst = min(range(len(scores)), key=scores.__getitem__)
        run = outcome.runs[worst]
        lines += [f"  worst     {_name(run)}, score {scores[worst]:.2f}; again:", f"    {command(outcome, run)}"]
    return "\n".join(lines)


def command(outcome: Outcome, run: Run) -> str:
    """The `rcompile` commands that score this die again, from where pytest was started."""
    check, source, die = outcome.check, run.source, run.die
    bundle, words = _here(source.path), []
    if source.compiled:
        bundle = f"{source.path.stem}-{source.protect}.bundle"
        target = str(check.target)
        words += [
            "rcompile",
            _here(source.path),
            "--target",
            _here(Path(target)) if target.endswith(".toml") else target,
        ]
        words += ["--protect", source.protect, "--no-source", "-o", bundle, "&&"]
    words += ["rcompile", "evaluate", bundle, "--task", run.task.name]
    words += ["--data", _here(run.task.data)] if run.task.data else []
    words += ["--limit", str(run.task.limit)] if run.task.limit else []
    if die is not None and die.map is not None:
        words += ["--fault-map", _here(die.map)]
    elif die is not None:
        words += ["--die", str(die.seed)]
        words += ["--sa0", repr(die.sa0), "--sa1", repr(die.sa1)] if die.sa0 or die.sa1 else []
        words += [word for effect in check.effects for word in ("--effect", effect)]
    return shlex.join(words).replace("'&&'", "&&")


def properties(outcome: Outcome) -> list[tuple[str, object]]:
    """For JUnit: the mean score with its interval, dies, the verdict."""
    found = mean(outcome.check, outcome.scores)
    named = (("score", found.mean), ("interval_low", found.low), ("interval_high", found.high))
    points = [(name, f"{value:.4f}") for name, value in named if isfinite(value)]
    return [*points, ("dies", len(outcome.lines)), ("verdict", outcome.verdict)]


def record(outcome: Outcome) -> dict[str, Any]:
    """For the report: everything that was found."""
    check, clean = outcome.check, outcome.clean
    kept = (
        "model",
        "source_sha256",
        "target",
        "protect",
        "task",
        "data_sha256",
        "limit",
        "examples",
        "metric",
        "version",
    )
    return {
        "check": check.name,
        "verdict": outcome.verdict,
        "confidence": check.confidence,
        "clean": clean["score"],
        "score": _interval(mean(check, outcome.scores)),
        "judged": [
            {"criterion": one.criterion, "limit": one.limit, "found": _interval(one.found), "verdict": one.verdict}
            for one in outcome.judged
        ],
        "dies": [{"die": line["die"], "score": line["score"], "found": line["found"]} for line in outcome.lines],
        **{key: clean[key] for key in kept},
    }


def _interval(found: Interval) -> dict[str, float | None]:
    """As JSON has it: null where it is infinite."""
    named = {"mean": found.mean, "low": found.low, "high": found.high}
    return {name: round(value, 6) if isfinite(value) else None for name, value in named.items()}


def _dies(outcome: Outcome) -> str:
    count = len(outcome.lines)
    kind = "measured die" if outcome.check.maps else "die"
    tried = f" of at most {outcome.check.max_dies}" if outcome.check.auto else ""
    return f"{count or 'no'} {kind}{'' if count == 1 else 's'}{tried}"


def _found(one: Judgement, check: Check) -> str:
    found, each = one.found, "each bound " if check.auto else ""
    if found.low == found.high:
        return f"{found.mean:.4g}"
    if not isfinite(found.low):
        return f"{found.mean:.4g} (too few dies for an interval)"
    return f"{found.mean:.4g} ({found.low:.4g} to {found.high:.4g}, {each}at {100 * check.confidence:g} % confidence)"


def _name(run: Run) -> str:
    assert run.die is not None
    return f"seed {run.die.seed}" if run.die.map is None else run.die.map.name


def _here(path: Path) -> str:
    """As seen from here, if it lies below."""
    return str(path.relative_to(Path.cwd())) if path.is_absolute() and path.is_relative_to(Path.cwd()) else str(path)
