"""What `rcompile evaluate` prints."""

from __future__ import annotations

import dataclasses
import shlex
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from rcompile.cli.show import table
from runtime.die.any_die import AnyDie
from runtime.die.virtual import Die
from runtime.scoring.evaluation import Evaluation
from runtime.scoring.gate import Judgement


def described(result: Evaluation, judged: Sequence[Judgement], command: Sequence[str]) -> dict[str, Any]:
    """An evaluation as JSON has it: what was found, how it was judged, and the command that makes it again."""
    fields = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    return {**fields, "judged": list(judged), "command": shlex.join(["rcompile", *command[1:]])}


def print_evaluation(result: Evaluation, judged: Sequence[Judgement], console: Console) -> None:
    """Scores of one evaluation and how they are judged, for people."""
    voting = "" if result.combiner == "none" else f", voting by {result.combiner}"
    console.print(
        f"{result.task}, {result.examples} examples from {result.data}; {result.metric}, in points, on {result.target}{voting}",
        highlight=False,
    )
    effects = list(dict.fromkeys(name for die in result.dies for name in die.effects.names))
    if effects:
        console.print(f"effects: {', '.join(effects)}", highlight=False)
    between = any(die.between for die in result.dies)
    parts = list(result.metrics["clean"] or ())
    parts = parts if len(parts) > 1 else []  # several metrics: the score is their mean
    rows = table("model", "SA0", "SA1", "collapsed", "score", *parts, right=frozenset(range(1, 5 + len(parts))))

    def add(name: str, dies: tuple[str, str, str], score: float | None, metrics: dict[str, float] | None) -> None:
        points = [
            "-" if value is None else f"{value:.2f}"
            for value in (score, *((metrics or {}).get(part) for part in parts))
        ]
        rows.add_row(name, *dies, *points)

    add("source model", ("", "", ""), result.source, result.metrics["source"])
    if result.int8 is not None:
        add("ONNX Runtime, int8", ("", "", ""), result.int8, result.metrics["int8"])
    add("crossbars, clean", ("0 %", "0 %", ""), result.clean, result.metrics["clean"])
    for die in result.dies:
        sa0, sa1, stuck, collapsed = (f"{100 * s:.4g} %" for s in (die.sa0, die.sa1, die.between, die.collapsed))
        shares = (sa0, f"{sa1}, between {stuck}" if between else sa1, collapsed)
        add(f"crossbars, {die.name}", shares, die.score, die.metrics)
    console.print(rows)
    if len(result.dies) > 1:
        scores = [die.score for die in result.dies]
        console.print(
            f"{len(scores)} dies: mean {statistics.mean(scores):.2f}, standard deviation {statistics.stdev(scores):.2f}",
            highlight=False,
        )
    for one in judged:
        console.print(_judgement(one, len(result.dies)), highlight=False)


def _judgement(one: Judgement, dies: int) -> str:
    """A criterion in words."""
    found = one.found
    width = "" if found.low == found.high else f" ({found.low:.2f} to {found.high:.2f})"
    more = ": the interval holds the limit; give more dies" if one.verdict == "undecided" else ""
    if one.verdict == "undecided" and dies == 1:
        width, more = "", ": one die says nothing of others; give several"
    return f"{one.verdict}: {one.criterion} {one.limit:g}: {found.mean:.2f}{width}{more}"


def die_options(dies: Sequence[AnyDie], maps: Sequence[Path]) -> str:
    """The options of `evaluate` that ask for these dies, the last of those that it was asked for."""
    seeds = [die.seed for die in dies if isinstance(die, Die)]
    ranges: list[list[int]] = []
    for seed in seeds:
        if ranges and seed == ranges[-1][-1] + 1:
            ranges[-1][1:] = [seed]
        else:
            ranges.append([seed])
    options = ["--die " + ",".join("-".join(map(str, ends)) for ends in ranges)] if ranges else []
    measured = len(dies) - len(seeds)
    options += [f"--fault-map {path}" for path in maps[len(maps) - measured :]]
    return " ".join(options)
