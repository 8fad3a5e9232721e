"""A short run of tests/crash: commands that are stopped or short of something. `make crash` runs it at length."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parent / "crash" / "run.py"


def crash(count: int, *kinds: str) -> str:
    """What a run of these kinds prints."""
    chosen = [word for kind in kinds for word in ("--kind", kind)]
    done = subprocess.run([sys.executable, str(RUN), "--count", str(count), *chosen], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_stopped_commands_and_shortages_leave_what_was_there_or_the_whole() -> None:
    shown = crash(20, "compile", "evaluate", "full-disk", "file-size", "read-only", "containers")
    assert "15 stops, 0 failures" in shown
    if "skipped: " in shown:
        pytest.skip(f"the rest held: {shown.partition('skipped: ')[2].splitlines()[0]}")


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs the [train] extra")
def test_stopped_trainings_and_exports_end_where_unbroken_ones_do() -> None:
    assert "4 stops, 0 failures" in crash(16, "train", "export", "train-file-size")
