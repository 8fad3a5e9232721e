"""Workers: where runs are computed. The seam is `concurrent.futures.Executor`: processes of this machine, or Dask."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait
from threading import Thread
from typing import Any

from rcompile.errors import BadInputError, UsageError

TIMEOUT = "10s"  # for a scheduler to answer


class Workers:
    """An executor that is made anew where it broke: a worker that is lost costs the runs that it had, and time."""

    def __init__(self, make: Callable[[], Executor], count: int) -> None:
        self._make, self._executor, self.count = make, make(), count

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """A future."""
        return self._executor.submit(function, *arguments)

    def renew(self) -> None:
        """Another executor in place of one that broke."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._executor = self._make()

    def stop(self) -> None:
        """Leave what is queued."""
        self._executor.shutdown(wait=False, cancel_futures=True)


@contextmanager
def local(count: int) -> Iterator[Workers]:
    """So many processes of this machine; 0: one a core. They end with this one, however that ends."""
    if count < 0:
        raise UsageError(f"workers is {count}; give 0 for one a core, or a positive number.")
    count = count or len(os.sched_getaffinity(0))
    spawned = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks of ONNX Runtime
    workers = Workers(lambda: ProcessPoolExecutor(count, spawned, _start), count)
    try:
        yield workers
    finally:
        workers.stop()


def _start() -> None:
    """In a worker: Ctrl-C is for the parent, and without one there is nothing to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


@contextmanager
def dask(address: str) -> Iterator[Workers]:
    """The workers of a Dask scheduler, `tcp://host:8786` or a scheduler file. Raises UsageError without `distributed`,
    BadInputError where no scheduler answers.
    """
    try:
        from distributed import Client
    except ImportError:
        raise UsageError("--dask needs the package distributed: pip install 'rcompile[campaign]'.") from None
    file = {"scheduler_file": address} if address.endswith(".json") else {"address": address}
    try:
        client = Client(**file, timeout=TIMEOUT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise BadInputError(f"no Dask scheduler answers at '{address}': {error}. Start it, or leave out --dask.") from None  # fmt: skip
    try:
        count = sum(client.nthreads().values())
        if not count:
            raise BadInputError(f"the Dask scheduler at '{address}' has no workers. Start some: dask worker {address}.")
        workers = Workers(lambda: client.get_executor(pure=False, retries=3), count)
        yield workers
    finally:
        client.close(timeout=2)
