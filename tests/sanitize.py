"""The provider's tests under the sanitizers of GCC (`make sanitize`): each builds a library of its own, beside a copy
of the packages.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# A sanitizer's flags, library and options, and what pytest runs under it. The thread sanitizer does not see how ONNX
# Runtime's own pools hand work from thread to thread, and takes all of it for races; so that it judges runs of one
# thread each, among changes of the die.
SANITIZERS = {
    "address": (
        "-fsanitize=address,undefined -fno-sanitize-recover=all", "libasan.so", {"ASAN_OPTIONS": "detect_leaks=0"},
        (
            "test_kernels.py", "test_kernels_votes.py", "test_session.py", "test_session_models.py",
            "test_hostile_nodes.py", "test_one_die_a_run.py", "test_effects_native.py",
        ),
    ),
    "thread": (
        "-fsanitize=thread", "libtsan.so",
        {"TSAN_OPTIONS": f"report_signal_unsafe=0 suppressions={ROOT / 'tests' / 'tsan.supp'}"},
        ("test_one_die_a_run.py", "-k", "not parallel"),
    ),
}  # fmt: skip


def built(name: str, flags: str) -> Path:
    """A folder with the packages and the library, built so."""
    folder, native = ROOT / "build" / "sanitize" / name, ROOT / "build" / "sanitize" / f"{name}-native"
    configure = ["cmake", "-S", "runtime/native", "-B", native, f"-DCMAKE_CXX_FLAGS={flags} -g -fno-omit-frame-pointer"]
    subprocess.run([*configure, f"-DCMAKE_SHARED_LINKER_FLAGS={flags}", f"-DCMAKE_MODULE_LINKER_FLAGS={flags}"], cwd=ROOT, check=True)  # fmt: skip
    subprocess.run(["cmake", "--build", native, "-j", str(os.cpu_count())], cwd=ROOT, check=True)
    shutil.rmtree(folder, ignore_errors=True)
    for package in ("rcompile", "runtime", "targets"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("native", "*.so"))
    shutil.copy(native / "libcrossbar_ep.so", folder / "runtime")
    return folder


def _library(name: str) -> str:
    """Where the compiler has a library of its own."""
    found = subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    return found.stdout.strip()


def main(names: list[str]) -> None:
    for name in names or SANITIZERS:
        flags, preload, options, chosen = SANITIZERS[name]
        packages = built(name, flags)
        log = packages.parent / f"{name}.log"  # pytest takes what is printed
        for old in packages.parent.glob(f"{name}.log.*"):
            old.unlink()
        told = {key: f"{value} halt_on_error=1 log_path={log}" for key, value in options.items()}
        # A sanitizer looks for what throws when the process starts, and Python brings no C++ of its own.
        preloaded = " ".join(map(_library, (preload, "libstdc++.so.6")))
        environment = {**os.environ, **told, "LD_PRELOAD": preloaded, "PYTHONPATH": str(packages)}
        tests = [str(ROOT / "tests" / word) if word.endswith(".py") else word for word in chosen]
        # Sanitizers want the addresses that they know.
        pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
        done = subprocess.run(
            ["setarch", platform.machine(), "-R", sys.executable, *pytest], cwd=packages, env=environment
        )
        if done.returncode:
            found = "\n".join(path.read_text() for path in packages.parent.glob(f"{name}.log.*"))
            raise SystemExit(f"{name}: exit {done.returncode}\n{found}")
        print(f"{name}: clean")


if __name__ == "__main__":
    main(sys.argv[1:])
