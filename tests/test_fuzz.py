"""A short run of tests/fuzz: whatever a file holds, it is taken or refused. `make fuzz` runs it at length."""

import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parent / "fuzz" / "run.py"
COUNTS = {"onnx": 800, "manifest": 150, "tiles": 150, "bundle": 100, "faults": 150, "target": 150}


@pytest.mark.parametrize("kind", COUNTS)
def test_changed_files_are_taken_or_refused(kind: str) -> None:
    command = [sys.executable, str(RUN), "--kind", kind, "--count", str(COUNTS[kind])]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{COUNTS[kind]} inputs" in done.stdout
