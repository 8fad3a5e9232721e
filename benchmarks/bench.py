"""Speed and memory, as ratios measured side by side in one run (`make bench`). README.md beside this file says what each line is."""

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


def main(out: Path) -> None:
    result: dict[str, object] = {"load_average_before": os.getloadavg()[0]}
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        result |= bench_help()
        result |= bench_compile(folder)
        result |= bench_load(folder)
        result |= bench_layer(folder)
        result |= bench_size(folder)
        result |= bench_session(folder)
        result |= bench_sweep(folder)
        result |= bench_alternatives(folder)
    result["bench_s"] = time.perf_counter() - start
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    print(f"saved as {out}, after {result['bench_s'] / 60:.1f} minutes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"))
    main(parser.parse_args().out)
