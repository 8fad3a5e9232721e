"""Two compiles to one place, and what killed ones leave there: judged by a lock, not by process numbers, which every
container counts for itself.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import OK, USAGE, compile_to, left_behind, run

from rcompile import compile_model
from rcompile.errors import UsageError

ALIVE = (1, os.getpid())  # every container has a process 1
HOLD = """
import sys, time
from pathlib import Path
from rcompile.bundle.scratch import claimed, new_bundle
with claimed(Path(sys.argv[1]), force=True), new_bundle(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("written")
    print("holds", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process in the middle of a compile to tmp_path/bundle."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "bundle")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "holds\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("force", [(), ("--force",)], ids=["new", "forced"])
def test_a_second_compile_to_one_place_is_refused(
    force: tuple[str, ...], holder: subprocess.Popen[str], linear_onnx: Path, tmp_path: Path
) -> None:
    before = left_behind(tmp_path)
    result = compile_to(tmp_path / "bundle", linear_onnx, *force)
    assert (result.exit_code, "another run is writing" in result.stderr) == (USAGE, True), result.output
    assert left_behind(tmp_path) == before
    assert compile_to(tmp_path / "other", linear_onnx).exit_code == OK


def test_a_killed_compile_is_cleared_by_the_next(
    holder: subprocess.Popen[str], linear_onnx: Path, tmp_path: Path
) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert len(left_behind(tmp_path)) == 2
    assert compile_to(tmp_path / "bundle", linear_onnx).exit_code == OK
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("process", ALIVE, ids=["first", "own"])
def test_process_numbers_say_nothing(process: int, linear_onnx: Path, tmp_path: Path) -> None:
    """A container's compile is process 1 each time that it is tried."""
    (tmp_path / f".out.partial-{process}" / "tiles").mkdir(parents=True)
    assert compile_to(tmp_path / "out", linear_onnx).exit_code == OK
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("process", [*ALIVE, "0123456789abcdef"], ids=["first", "own", "random"])
def test_a_bundle_set_aside_by_a_killed_compile_comes_back(process: object, bundle: Path, linear_onnx: Path) -> None:
    """Killed between the two renames: the old bundle is the only copy."""
    bundle.rename(bundle.parent / f".bundle.previous-{process}")
    result = compile_to(bundle, linear_onnx)
    assert result.exit_code == USAGE
    assert (bundle / "manifest.json").is_file()
    assert left_behind(bundle.parent) == []


KILLED_WHILE_REMOVING = """
import os, shutil, signal, sys
from pathlib import Path
from rcompile.cli.main import main
def removed(path, **options):
    (Path(path) / "manifest.json").unlink(missing_ok=True)
    os.kill(os.getpid(), signal.SIGKILL)
shutil.rmtree = removed
main(sys.argv[1:])
"""


def test_half_of_a_replaced_bundle_never_comes_back(bundle: Path, linear_onnx: Path) -> None:
    """Killed while the old bundle is removed; then the new one is moved away."""
    command = [linear_onnx, "--target", "reram128x128", "-o", bundle, "--force"]
    subprocess.run([sys.executable, "-c", KILLED_WHILE_REMOVING, *map(str, command)])
    assert run("check", bundle).exit_code == OK
    bundle.rename(bundle.parent / "kept")
    assert compile_to(bundle, linear_onnx).exit_code == OK
    assert run("check", bundle).exit_code == OK
    assert left_behind(bundle.parent) == []


def test_what_a_running_compile_set_aside_is_let_alone(
    holder: subprocess.Popen[str], linear_onnx: Path, tmp_path: Path
) -> None:
    """Whatever the number in its name: that of no process here may be one of another host."""
    gone = tmp_path / f".bundle.previous-{2**22 + 1}"
    gone.mkdir()
    assert compile_to(tmp_path / "bundle", linear_onnx).exit_code == USAGE
    assert gone.is_dir()


def test_threads_of_one_process_keep_each_other_out(linear_onnx: Path, tmp_path: Path) -> None:
    ended: list[str] = []

    def attempt() -> None:
        try:
            compile_model(linear_onnx, "reram128x128", tmp_path / "out", force=True)
            ended.append("written")
        except UsageError as error:
            ended.append("refused" if "another run" in str(error) else str(error))

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(ended) <= {"written", "refused"} and "written" in ended
    assert (left_behind(tmp_path), (tmp_path / "out" / "manifest.json").is_file()) == ([], True)


def test_processes_that_race_leave_one_whole_bundle(linear_onnx: Path, tmp_path: Path) -> None:
    code = "from rcompile.cli.main import main; main()"
    command = [sys.executable, "-c", code, str(linear_onnx), "--target", "reram128x128", "-o", str(tmp_path / "out")]
    racers = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    errors = [racer.communicate()[1] for racer in racers]
    assert sorted(r.returncode for r in racers) == [OK, USAGE, USAGE], errors
    assert run("check", tmp_path / "out").exit_code == OK
    assert left_behind(tmp_path) == []
