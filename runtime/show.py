"""What `rcompile evaluate` prints."""

from __future__ import annotations

import statistics

from rich.console import Console

from rcompile.show import table, to_json
from runtime.evaluation import Evaluation

__all__ = ["print_evaluation", "to_json"]


def print_evaluation(result: Evaluation, console: Console) -> None:
    """Scores of one evaluation, for people."""
    console.print(
        f"{result.task}, {result.examples} examples from {result.data}; {result.metric}, in points, on {result.target}",
        highlight=False,
    )
    rows = table("model", "SA0", "SA1", "score", right=frozenset({1, 2, 3}))
    rows.add_row("source, fp32", "", "", "-" if result.source is None else f"{result.source:.2f}")
    if result.int8 is not None:
        rows.add_row("ONNX Runtime, int8", "", "", f"{result.int8:.2f}")
    rows.add_row("crossbars, clean", "0 %", "0 %", f"{result.clean:.2f}")
    for die in result.dies:
        name = "measured die" if die.seed is None else f"die {die.seed}"
        rows.add_row(f"crossbars, {name}", f"{100 * die.sa0:.4g} %", f"{100 * die.sa1:.4g} %", f"{die.score:.2f}")
    console.print(rows)
    if len(result.dies) > 1:
        scores = [die.score for die in result.dies]
        console.print(
            f"{len(scores)} dies: mean {statistics.mean(scores):.2f}, standard deviation {statistics.stdev(scores):.2f}",
            highlight=False,
        )
