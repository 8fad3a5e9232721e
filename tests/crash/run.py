"""Stop commands at random points with SIGKILL, SIGINT and SIGTERM, and let them run short of disk, rights or solitude:
afterwards there is what was there before, what was to come, or none, whole, and nothing that the next run does not
clear.

    python tests/crash/run.py --count 200 --seed 1

COUNT is that of the stops. Case I of a kind depends on the seed, on I and on the moment: the machine is not that
exact.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # small_models

from cases import Case, World, make_world, stop_compile, stop_evaluate, stop_export, stop_train
from children import Skipped
from shortages import containers, file_size, full_disk, read_only, train_file_size

# What is stopped, and its share of the stops; what is short, as a share of them as well.
STOPS: dict[str, tuple[Case, float]] = {
    "compile": (stop_compile, 0.55),
    "evaluate": (stop_evaluate, 0.2),
    "train": (stop_train, 0.15),
    "export": (stop_export, 0.1),
}
SHORTAGES: dict[str, tuple[Case, float]] = {
    "full-disk": (full_disk, 0.1),
    "file-size": (file_size, 0.1),
    "train-file-size": (train_file_size, 0.02),
    "read-only": (read_only, 0.01),
    "containers": (containers, 0.05),
}


def attempt(world: World, kind: str, case: Case, seed: int, number: int, ends: Counter[str]) -> bool:
    """Whether a case held; how it ended is counted."""
    world.clear()
    try:
        ends[case(world, random.Random(f"{seed}/{kind}/{number}"))] += 1
    except Skipped as reason:
        ends[f"skipped: {reason}"] += 1
    except Exception:
        print(f"failed: {kind}, {number} of seed {seed}\n{traceback.format_exc()}", flush=True)
        ends["FAILED"] += 1
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="stops in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=[*STOPS, *SHORTAGES], action="append", help="default: all")
    asked = parser.parse_args()
    stops = failures = 0
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(Path(folder))
        for kind, (case, share) in (STOPS | SHORTAGES).items():
            if asked.kind and kind not in asked.kind:
                continue
            began, ends = time.monotonic(), Counter[str]()
            count = max(1, round(asked.count * share))
            held = [attempt(world, kind, case, asked.seed, number, ends) for number in range(count)]
            failures += held.count(False)
            stops += count if kind in STOPS else 0
            print(f"{kind}: {count} in {time.monotonic() - began:.0f} s")
            for how, times in sorted(ends.items()):
                print(f"{times:6} {how}", flush=True)
    print(f"{stops} stops, {failures} failures")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
