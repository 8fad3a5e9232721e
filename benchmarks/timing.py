"""How things are timed and shown: side by side in turn, or in a process of their own."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from rcompile.cli.show import table
from rcompile.cli.terminal import stdout_console

TARGET = "reram128x128"


class Rates(TypedDict):
    """Shares of a die's cells that are stuck."""

    sa0: float
    sa1: float


def stuck(share: float) -> Rates:
    """The rates of a die with this share of all cells stuck, SA0 to SA1 as Chen et al. (2014) found."""
    return {"sa0": share * 1.75 / 10.79, "sa1": share * 9.04 / 10.79}


FAULTY = stuck(0.01)


@dataclass(frozen=True)
class Turns:
    """Seconds of runs that were called in turn: [rounds][runs]."""

    seconds: list[tuple[float, ...]]

    def ms(self, run: int = 0) -> float:
        """The median of one run, in milliseconds."""
        return 1e3 * statistics.median(turn[run] for turn in self.seconds)

    def ratio(self, ours: int = 0, theirs: int = 1) -> float:
        """The median of the ratios within each round."""
        return statistics.median(turn[ours] / turn[theirs] for turn in self.seconds)


def seconds(run: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def side_by_side(*runs: Callable[[], object], budget_s: float) -> Turns:
    """Call runs in turn, A B A B: 5 rounds at least, 200 at most.

    A ratio of neighbours holds when a shared machine's speed drifts. It does not hold for runs of unlike length on a
    machine with other work than ours, which interrupts the long ones.
    """
    for run in runs:
        run()
    turns: list[tuple[float, ...]] = []
    start = time.perf_counter()
    while len(turns) < 5 or (time.perf_counter() - start < budget_s and len(turns) < 200):
        turns.append(tuple(map(seconds, runs)))
    return Turns(turns)


def in_subprocess(code: str, *arguments: object) -> dict[str, float]:
    """Run Python code that prints JSON, in a process of its own, so that peak memory is its own."""
    command = [sys.executable, "-c", MEMORY + code, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


# Not getrusage: its maximum survives exec, and would be that of the parent.
MEMORY = """
import json, re, sys, time
from pathlib import Path
def gib(what):  # VmRSS: resident now; VmHWM: its peak
    return int(re.search(what + r":\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 2**20
"""


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], right: int = 1) -> None:
    """Print a table under its title; columns from `right` on are numbers. Floats get three significant digits."""
    made = table(*columns, right=frozenset(range(right, len(columns))))
    for row in rows:
        made.add_row(*(figure(v) if isinstance(v, float) else str(v) for v in row))
    console = stdout_console()
    console.print(title, style="bold", highlight=False)
    console.print(made)
    console.print()
    sys.stdout.flush()


def figure(value: float) -> str:
    """Three significant digits, never in scientific notation."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}"
