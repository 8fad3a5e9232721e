"""Give the provider's own C++ made-up nodes and texts, without ONNX Runtime, under clang's libFuzzer and sanitizers.

    python tests/fuzz/native/run.py --program nodes --runs 100000 --seed 1

What fails is kept as build/fuzz-native/crash-*: the program repeats it, given that file.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILT = HERE.parents[2] / "build" / "fuzz-native"
# Each with the most bytes of an input, which a node's shapes and a die, or a text, take, and options of its own.
PROGRAMS = {"nodes": ["-max_len=160", "-len_control=0"], "texts": ["-max_len=600", f"-dict={HERE / 'texts.dict'}"]}
# A hang is 10 seconds, memory is bounded, and corpora are chosen from cheaply.
LIMITS = ["-timeout=10", "-rss_limit_mb=1024", "-malloc_limit_mb=1024", "-entropic=0", "-print_final_stats=1"]
SANITIZERS = {"ASAN_OPTIONS": "malloc_context_size=4:quarantine_size_mb=32", "UBSAN_OPTIONS": "print_stacktrace=1"}


def missing() -> str | None:
    """What this machine lacks to build the programs; None if nothing."""
    for tool in ("clang++", "cmake"):
        if shutil.which(tool) is None:
            return f"there is no {tool}"
    probe = ["clang++", "-fsanitize=fuzzer,address", "-x", "c++", "-", "-o", os.devnull]
    source = 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }'
    if subprocess.run(probe, input=source, text=True, capture_output=True).returncode:
        return "clang++ has no libFuzzer"
    return None


def build() -> None:
    """The programs, from the sources as they are."""
    configure = ["cmake", "-S", HERE, "-B", BUILT, "-DCMAKE_CXX_COMPILER=clang++", "-DCMAKE_BUILD_TYPE=Release"]
    for command in (configure, ["cmake", "--build", BUILT, "-j", str(os.cpu_count())]):
        subprocess.run(command, check=True, stdout=sys.stderr)


def fuzz(program: str, runs: int, seed: int) -> subprocess.CompletedProcess[str]:
    """Run a program, which goes on from the inputs that it found worth keeping before."""
    corpus = BUILT / "corpus" / program
    corpus.mkdir(parents=True, exist_ok=True)
    command = [BUILT / program, corpus, f"-runs={runs}", f"-seed={seed}", *PROGRAMS[program], *LIMITS]
    environment = {**os.environ, **SANITIZERS}
    return subprocess.run(command, cwd=BUILT, env=environment, stderr=subprocess.PIPE, text=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", choices=PROGRAMS, action="append", help="default: all")
    parser.add_argument("--runs", type=int, default=100_000, help="inputs of each program")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    if lacking := missing():
        raise SystemExit(f"cannot fuzz the native part: {lacking}")
    build()
    failed = False
    for program in asked.program or PROGRAMS:
        done = fuzz(program, asked.runs, asked.seed)
        failed |= done.returncode != 0
        lines = [line for line in done.stderr.splitlines() if not line.startswith(("#", "\tNEW_FUNC"))]
        told = lines if done.returncode else [line for line in lines if line.startswith("stat::")]
        print(f"{program}: exit {done.returncode}", *told, sep="\n", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
