"""A short run of tests/fuzz: whatever a file holds, it is taken or refused. `make fuzz` and `make fuzz-native` run it
at length.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parent / "fuzz"
COUNTS = {"onnx": 800, "manifest": 150, "tiles": 150, "bundle": 150, "faults": 150, "target": 150, "settings": 150}


@pytest.mark.parametrize("kind", COUNTS)
def test_changed_files_are_taken_or_refused(kind: str) -> None:
    command = [sys.executable, str(FUZZ / "run.py"), "--kind", kind, "--count", str(COUNTS[kind])]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{COUNTS[kind]} inputs" in done.stdout


@pytest.mark.parametrize("program", ["nodes", "texts"])
def test_made_up_nodes_and_texts_are_computed_or_refused(program: str) -> None:
    spec = importlib.util.spec_from_file_location("native_fuzz", FUZZ / "native" / "run.py")
    native = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(native)
    if lacking := native.missing():
        pytest.skip(lacking)
    if not (native.BUILT / program).exists():
        pytest.skip("`make fuzz-native` builds the programs, which takes minutes")
    native.build()
    done = native.fuzz(program, 3000, 1)
    assert done.returncode == 0, done.stderr
    assert "stat::number_of_executed_units" in done.stderr
