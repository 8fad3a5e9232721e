"""Speed and memory, as ratios measured side by side in one run (`make bench`). README.md says what each line is."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from bench_alternatives import bench_alternatives
from bench_compile import bench_compile, bench_help, bench_load
from bench_layer import bench_layer
from bench_session import bench_session, bench_sweep
from bench_size import bench_size
from scale import FULL, SMALL, Scale


def main(out: Path, scale: Scale) -> None:
    result: dict[str, object] = {"load_average_before": os.getloadavg()[0]}
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        result |= bench_help(scale)
        result |= bench_compile(folder, scale)
        result |= bench_load(folder, scale)
        result |= bench_layer(folder, scale)
        result |= bench_size(folder, scale)
        result |= bench_session(folder, scale)
        result |= bench_sweep(folder, scale)
        result |= bench_alternatives(folder, scale)
    result["bench_s"] = spent = time.perf_counter() - start
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    print(f"saved as {out}, after {spent / 60:.1f} minutes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"))
    parser.add_argument("--small", action="store_true", help="tiny models and no time: whether it runs, not how fast")
    arguments = parser.parse_args()
    main(arguments.out, SMALL if arguments.small else FULL)
