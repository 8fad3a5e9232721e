"""Commands in child processes, which are forked with everything imported, and stopped at a random point."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

HANG_SECONDS, SKIPPED = 120, 77
SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
MASKED = {signal.SIGINT, signal.SIGTERM}  # until a child can take them
ENDS = {signal.SIGKILL: -signal.SIGKILL, signal.SIGINT: 130, signal.SIGTERM: 128 + signal.SIGTERM}
CHANGES = {"os.mkdir", "os.rename", "os.rmdir", "os.remove", "os.truncate", "fcntl.flock"}  # names of audit events
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
Work = Callable[[], None]


class Skipped(Exception):
    """A case that this machine does not permit."""


@dataclass(frozen=True)
class Ended:
    """How a child ended. status: negative for a signal. steps: changes of files that it made, if it came to its end."""

    status: int
    stdout: str
    stderr: str
    steps: int
    seconds: float


@dataclass
class Child:
    """A child process that works; what it says goes to files in `folder`."""

    pid: int
    folder: Path
    began: float

    @staticmethod
    def start(work: Work, folder: Path, at: int = 0, do: Work = lambda: None) -> Child:
        """at: the change of a file before which it does something, counted from 1."""
        sys.stdout.flush()
        for name in ("stdout", "stderr", "steps"):
            (folder / name).write_text("")
            (folder / name).chmod(0o666)  # another user may write what it says
        began = time.monotonic()
        signal.pthread_sigmask(signal.SIG_BLOCK, MASKED)
        pid = os.fork()
        if pid == 0:
            _work(work, folder, at, do)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, MASKED)
        return Child(pid, folder, began)

    def end(self) -> Ended:
        """Wait for it."""
        while not (found := os.waitpid(self.pid, os.WNOHANG))[0]:
            if time.monotonic() - self.began > HANG_SECONDS:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.001)
        seconds = time.monotonic() - self.began
        assert seconds < HANG_SECONDS, "a hang"
        steps = self.folder / "steps"
        said = ((self.folder / name).read_text() for name in ("stdout", "stderr"))
        ended = Ended(os.waitstatus_to_exitcode(found[1]), *said, int(steps.read_text() or 0), seconds)
        if ended.status == SKIPPED:
            raise Skipped(ended.stderr.strip())
        return ended


def run(work: Work, folder: Path) -> Ended:
    """Work in a child, undisturbed."""
    return Child.start(work, folder).end()


def stop(work: Work, rng: random.Random, usual: Ended, folder: Path) -> tuple[Ended, signal.Signals]:
    """Stop a child, by a signal at a random change of a file or at a random time. usual: the same, undisturbed."""
    sent = rng.choice(SIGNALS)
    if usual.steps and rng.random() < 0.5:
        at = rng.randint(1, usual.steps)
        ended = Child.start(work, folder, at, lambda: os.kill(os.getpid(), sent)).end()
    else:
        child = Child.start(work, folder)
        time.sleep(rng.uniform(0, 1.1 * usual.seconds))
        os.kill(child.pid, sent)
        ended = child.end()
    expected = (usual.status, ENDS[sent], -sent)  # a signal that comes before its handler, or too late
    assert ended.status in expected, f"{sent.name}: status {ended.status}\n{ended.stderr}"
    return ended, sent


def _work(work: Work, folder: Path, at: int, do: Work) -> None:
    """The child: never returns."""
    status, count = 70, 0

    def count_changes(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event in CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES):
            count += 1
            if count == at:
                do()

    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job is born deaf to it
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(folder / name, os.O_WRONLY), number)
        sys.addaudithook(count_changes)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, MASKED)
        work()
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except KeyboardInterrupt:
        status = ENDS[signal.SIGINT]
    except Skipped as error:
        print(error, file=sys.stderr)
        status = SKIPPED
    except BaseException:
        traceback.print_exc()
    finally:
        while True:  # a signal may come here, too, and a child must not go on as its parent
            with suppress(BaseException):
                sys.stdout.flush()
                sys.stderr.flush()
                (folder / "steps").write_text(str(count))
                os._exit(status)
