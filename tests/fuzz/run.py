"""Give the package changed files of every kind and count how each ends: taken, or refused with an error of its own.
Anything else is a failure: another exception, a crash, a hang, memory without bound.

    python tests/fuzz/run.py --count 8000 --seed 1 --kind onnx

Input I of a kind depends on the seed and on I alone: `--start I --count 1` repeats it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # small_models

from bundles import bundles, fault_maps, manifests, tile_files
from models import onnx_files

from rcompile.errors import RcompileError
from targets import settings, target_files

KINDS: dict[str, Callable[[Path], Callable[[random.Random], None]]] = {
    "onnx": onnx_files,
    "manifest": manifests,
    "tiles": tile_files,
    "bundle": bundles,
    "faults": fault_maps,
    "target": target_files,
    "settings": settings,
}
SECONDS = 10
MEMORY = "/dev/shm"  # a file system that costs no time
EXTRA_BYTES = 1 << 30
FAILURES = ("internal", "crash", "hang", "memory")


@dataclass(frozen=True)
class Ended:
    """How one input ended. how: ok, refused, or a failure; what: exit code, or what happened."""

    index: int
    how: str
    what: str


def attempts(kind: str, seed: int, indices: range) -> Iterator[Ended]:
    """Every input in a child process, which a new one follows when it dies."""
    with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as folder:
        attempt = KINDS[kind](Path(folder))
        done = indices.start
        while done < indices.stop:
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(reading)
                _work(attempt, kind, seed, range(done, indices.stop), writing)
            os.close(writing)
            with os.fdopen(reading) as results:
                for line in results:
                    yield Ended(**json.loads(line))
                    done += 1
            _, status = os.waitpid(child, 0)
            if status:
                died = os.waitstatus_to_exitcode(status)
                yield Ended(done, "hang" if died == -signal.SIGALRM else "crash", f"status {died}")
                done += 1


def _work(attempt: Callable[[random.Random], None], kind: str, seed: int, indices: range, results: int) -> None:
    """The child: never returns."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + EXTRA_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    for index in indices:
        signal.alarm(SECONDS)
        ended = Ended(index, *_one(attempt, random.Random(f"{seed}/{kind}/{index}")))
        signal.alarm(0)
        os.write(results, (json.dumps(vars(ended)) + "\n").encode())
    os._exit(0)


def _one(attempt: Callable[[random.Random], None], rng: random.Random) -> tuple[str, str]:
    try:
        attempt(rng)
    except RcompileError as error:
        return "refused", str(error.exit_code)
    except MemoryError:
        return "memory", traceback.format_exc()
    except Exception:
        return "internal", traceback.format_exc()
    return "ok", "0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="inputs of each kind")
    parser.add_argument("--start", type=int, default=0, help="the first input's number")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=KINDS, action="append", help="default: all")
    asked = parser.parse_args()
    failures = 0
    for kind in asked.kind or KINDS:
        began, ends = time.monotonic(), Counter[str]()
        for ended in attempts(kind, asked.seed, range(asked.start, asked.start + asked.count)):
            failed = ended.how in FAILURES
            ends[ended.how if failed else f"{ended.how} {ended.what}"] += 1
            failures += failed
            if failed:
                print(f"{ended.how}: --kind {kind} --seed {asked.seed} --start {ended.index}\n{ended.what}")
        rate = sum(ends.values()) / (time.monotonic() - began)
        counts = ", ".join(f"{how}: {count}" for how, count in sorted(ends.items()))
        print(f"{kind:9} {sum(ends.values()):7} inputs, {rate:5.0f}/s   {counts}", flush=True)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
