"""Run: compute what a campaign still lacks, and keep every line as it is found."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rcompile.campaigns.plan import Plan, plan
from rcompile.campaigns.store import Line, Store, store
from rcompile.campaigns.study import Study
from rcompile.campaigns.work import Job, compile_source, score
from rcompile.campaigns.workers import Workers, dask, local
from rcompile.errors import BadInputError, Interrupted, UsageError

Progress = Callable[[str, int, int], None]
AHEAD = 2  # jobs that wait at each worker, so that none is idle
LOSSES = 5  # of workers in a row, after which it is no accident


@dataclass(frozen=True)
class Campaign:
    """What is known. lines: of the study's runs, in their order. missing: runs without a line."""

    folder: Path
    lines: tuple[Line, ...]
    missing: int


def run_campaign(
    study: Study,
    folder: Path,
    *,
    workers: int = 0,
    dask_address: str | None = None,
    limit: int | None = None,
    until_second: float | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Campaign:
    """Score what a study asks, but for what the folder holds already. workers: processes of this machine, 0: one a
    core; or those of a Dask scheduler. limit: no more runs than these now. until_second: begin none after so long.

    Raises RcompileError; what is finished is kept.
    """
    for name, value in (("limit", limit), ("until", until_second)):
        if value is not None and value <= 0:
            raise UsageError(f"{name} is {value}; give a positive number.")
    began = time.monotonic()
    asked = plan(study)
    with store(folder) as kept:
        left = [run for run in asked.runs if run.key not in kept.lines]
        now = left[:limit]
        if now:
            with dask(dask_address) if dask_address else local(min(workers, len(now)) if workers else 0) as team:
                needed = {run.source for run in now}
                compiles = [source for source in asked.compiles if source in needed]
                for source in compiles:
                    progress(f"compiling {source.path.name} for {source.target.name}", 0, len(now))
                _compute(team, [(compile_source, s, folder) for s in compiles], lambda line: None, None)
                threads = 0 if dask_address else max(1, len(os.sched_getaffinity(0)) // team.count)
                deadline = None if until_second is None else began + until_second
                keep = _keeper(kept, progress, len(now))
                _compute(team, [(score, Job(run, folder, threads)) for run in now], keep, deadline)
        return _finished(asked, kept)


def _finished(asked: Plan, kept: Store) -> Campaign:
    kept.sort()
    lines = [kept.lines[run.key] for run in asked.runs if run.key in kept.lines]
    return Campaign(kept.folder, tuple(lines), len(asked.runs) - len(lines))


def _keeper(kept: Store, progress: Progress, total: int) -> Callable[[Line], None]:
    done = 0

    def keep(line: Line) -> None:
        nonlocal done
        done += 1
        kept.add(line)
        progress(f"{line['model']}, {line['protect']}, {line['task']}", done, total)

    return keep


def _compute(
    team: Workers, calls: Sequence[tuple[Any, ...]], keep: Callable[[Any], None], deadline: float | None
) -> None:
    """Have every call computed, in their order as far as it goes, and keep what comes back."""
    waiting, running = deque(calls), dict[Future[Any], tuple[Any, ...]]()
    losses = done = 0
    try:
        while waiting or running:
            if deadline is not None and time.monotonic() >= deadline:
                waiting.clear()
            try:
                while waiting and len(running) < AHEAD * team.count:
                    future = team.submit(*waiting[0])
                    running[future] = waiting.popleft()
                for future in wait(running, timeout=1 if deadline else None, return_when=FIRST_COMPLETED).done:
                    keep(future.result())
                    del running[future]
                    losses, done = 0, done + 1
            except (BrokenProcessPool, CancelledError) as error:  # also of a pool that broke before a job came to it
                losses += 1
                if losses > LOSSES:
                    raise BadInputError(
                        f"workers were lost {losses} times in a row ({error}): is there enough memory? What is finished is kept; the same command goes on."
                    ) from None
                waiting.extendleft(reversed(running.values()))
                running.clear()
                team.renew()
    except KeyboardInterrupt:
        raise Interrupted(f"{done} of {len(calls)} runs were finished and are kept; the same command goes on") from None
