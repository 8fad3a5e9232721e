"""Every run belongs to one die and one combiner, whatever changes meanwhile, in memory or on disk."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

import runtime
from rcompile import CompileOptions, compile_model
from rcompile.errors import BadInputError

DEMO = Path(__file__).resolve().parent.parent / "docs" / "demo" / "sst2-minilm.onnx"
DIES = [None, *(runtime.Die(seed, 0.002, 0.01) for seed in (1, 2))]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's model, protected, so that combiners differ as well."""
    out = tmp_path_factory.mktemp("demo") / "bundle"
    compile_model(DEMO, "reram128x128-ou16", out, CompileOptions(protect="paper", keep_source=False))
    return out


def feeds(session: ort.InferenceSession, batch: int) -> dict[str, np.ndarray]:
    ids = np.random.default_rng(0).integers(1, 900, (batch, 12))
    arrays = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    return {i.name: arrays[i.name].astype(np.int64) for i in session.get_inputs()}


@pytest.mark.parametrize(
    "mode", [ort.ExecutionMode.ORT_SEQUENTIAL, ort.ExecutionMode.ORT_PARALLEL], ids=["sequential", "parallel"]
)
def test_concurrent_runs_see_one_die_and_one_combiner(demo: Path, mode: ort.ExecutionMode) -> None:
    options = ort.SessionOptions()
    options.execution_mode, options.intra_op_num_threads = mode, 1
    session = runtime.load(demo, session_options=options)
    given = feeds(session, 2)
    states = [(die, combiner) for die in DIES for combiner in ("select", "none")]

    def put(state: tuple[runtime.Die | None, str]) -> None:
        session._change(
            (state[0] or runtime.Die()).options(session.bundle.manifest.target) | {"rcompile.combiner": state[1]}
        )

    possible = []
    for state in states:
        put(state)
        possible.append(session.run(None, given)[0].tobytes())
    assert len(set(possible)) > len(DIES)
    done = threading.Event()

    def run() -> list[bytes]:
        found = []
        while not done.is_set():
            found.append(session.run(None, given)[0].tobytes())
        return found

    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(run) for _ in range(4)]
        for change in range(150):
            put(states[change * 5 % len(states)])
        done.set()
        found = [y for run in runs for y in run.result()]
    assert found and set(found) <= set(possible)


def test_a_bundle_that_is_overwritten_under_a_live_session(linear_onnx: Path, tmp_path: Path) -> None:
    """What was checked when it was loaded is what is used: cells that are no levels, a truncated file, no file."""
    compile_model(linear_onnx, "reram128x128", tmp_path / "bundle")
    session = runtime.load(tmp_path / "bundle")
    x = {"x": np.random.default_rng(0).normal(0, 1, (1, 3, 40)).astype(np.float32)}
    die = runtime.Die(3, 0.01, 0.01)
    before = session.run(None, x)[0]
    session.set_die(die)
    on_die = session.run(None, x)[0]
    tiles = tmp_path / "bundle" / "tiles" / "proj.safetensors"
    whole = tiles.read_bytes()
    with tiles.open("r+b") as file:  # the same inode, as `cp` writes it
        file.seek(len(whole) // 2)
        file.write(b"\xff" * (len(whole) // 2))
    session.set_die(None)
    np.testing.assert_array_equal(session.run(None, x)[0], before)
    with tiles.open("r+b") as file:
        file.truncate(100)
    session.set_die(die)
    np.testing.assert_array_equal(session.run(None, x)[0], on_die)
    shutil.rmtree(tmp_path / "bundle")
    session.set_die(None)
    np.testing.assert_array_equal(session.run(None, x)[0], before)


def test_constants_that_are_overwritten_are_noticed(classifier_onnx: Path, tmp_path: Path) -> None:
    compile_model(classifier_onnx, "reram128x128", tmp_path / "bundle")
    session = runtime.load(tmp_path / "bundle")
    ids = {"input_ids": np.ones((1, 3), np.int64), "attention_mask": np.ones((1, 3), np.int64)}
    before = session.run(None, ids)[0]
    data = tmp_path / "bundle" / "host.data"
    shutil.copy(data, tmp_path / "copy")
    (tmp_path / "copy").replace(data)  # another file in its place: the mapping is that of the old one
    np.testing.assert_array_equal(session.run(None, ids)[0], before)
    session = runtime.load(tmp_path / "bundle")
    data.write_bytes(data.read_bytes())
    with pytest.raises(BadInputError, match="was written to under a live session"):
        session.run(None, ids)
