"""Sessions in ONNX Runtime: placement, live dies, concurrent runs, and bundles that must not load."""

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from small_models import FEEDS

import runtime
from rcompile import compile_model
from rcompile.errors import BadInputError, UnsupportedError
from rcompile.hardware.effects.table import Effects, SoftErrors
from runtime.ort.library import PROVIDER

FAULTY = runtime.Die(1, 0.02, 0.09)


def test_every_linear_runs_on_the_provider(bundle: Path) -> None:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = runtime.load(bundle, session_options=options)
    assert isinstance(session, ort.InferenceSession)
    assert session.get_providers()[0] == PROVIDER
    on_crossbars = {
        node.name
        for part in session.get_provider_graph_assignment_info()
        if part.ep_name == PROVIDER
        for node in part.get_nodes()
    }
    assert on_crossbars == {node.name for layer in session.bundle.manifest.layers for node in layer.nodes}
    assert len(on_crossbars) == 3


def test_session_options_are_the_callers(bundle: Path, tmp_path: Path) -> None:
    """Two sessions of one object: it stays as it is, and nothing of the first is in the second."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    soft = runtime.Die(1, effects=Effects(soft_errors=SoftErrors(embedding_rate=0.5)))
    wrong = runtime.load(bundle, soft, session_options=options, threads=2)
    clean = runtime.load(bundle, session_options=options)
    for session in (wrong, clean):
        assert session.get_provider_graph_assignment_info()
    assert not options.has_providers()
    assert options.intra_op_num_threads == 1
    expected = runtime.load(bundle).run(None, FEEDS)[0]
    np.testing.assert_array_equal(clean.run(None, FEEDS)[0], expected)
    assert not np.array_equal(wrong.run(None, FEEDS)[0], expected)
    assert clean.report() == runtime.load(bundle).report()


def test_the_die_changes_on_a_live_session_and_back(bundle: Path) -> None:
    session = runtime.load(bundle)
    clean = session.run(None, FEEDS)[0]
    session.set_die(FAULTY)
    faulty = session.run(None, FEEDS)[0]
    assert not np.array_equal(faulty, clean)
    np.testing.assert_array_equal(runtime.load(bundle, FAULTY).run(None, FEEDS)[0], faulty)
    session.set_die(runtime.Die(2, 0.02, 0.09))
    assert not np.array_equal(session.run(None, FEEDS)[0], faulty)
    session.set_die(None)
    np.testing.assert_array_equal(session.run(None, FEEDS)[0], clean)


def test_two_sessions_keep_their_own_dies(bundle: Path) -> None:
    first, second = runtime.load(bundle, FAULTY), runtime.load(bundle)
    assert sum(row.sa1 for row in first.report()) > 0
    assert sum(row.sa1 for row in second.report()) == 0
    assert not np.array_equal(first.run(None, FEEDS)[0], second.run(None, FEEDS)[0])


def test_runs_in_flight_see_one_die_or_the_other(linear_onnx: Path, tmp_path: Path) -> None:
    """One layer, so that a run cannot straddle a change."""
    compile_model(linear_onnx, "reram128x128", tmp_path / "bundle")
    session, feeds = (
        runtime.load(tmp_path / "bundle"),
        {"x": np.random.default_rng(0).normal(0, 1, (1, 9, 40)).astype(np.float32)},
    )
    allowed = set()
    for die in (None, FAULTY):
        session.set_die(die)
        allowed.add(session.run(None, feeds)[0].tobytes())
    assert len(allowed) == 2
    seen: set[bytes] = set()

    def run() -> None:
        for _ in range(200):
            seen.add(session.run(None, feeds)[0].tobytes())

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        session.set_die(None)
        session.set_die(FAULTY)
    for thread in threads:
        thread.join()
    assert seen <= allowed


@pytest.mark.parametrize(
    "bad", ["seed=1,sa0=2", "seed=-1", "sa0=0.1,sa9=1", "nonsense", "seed=1,sa0=0.6,sa1=0.6", "map"]
)
def test_a_die_that_is_refused_leaves_the_old_one(bundle: Path, bad: str) -> None:
    session = runtime.load(bundle, FAULTY)
    before = session.run(None, FEEDS)[0]
    options = {"rcompile.die": bad}
    if bad == "map":
        options["rcompile.fault_map.no-such-layer"] = "AAAA"
    with pytest.raises(Exception, match=r"rcompile|die|layer"):
        session.set_ep_dynamic_options(options)
    np.testing.assert_array_equal(session.run(None, FEEDS)[0], before)


def test_dies_from_numpy_numbers_and_dies_that_do_not_fit(bundle: Path) -> None:
    session = runtime.load(bundle)
    session.set_die(runtime.Die(np.int64(1), np.float64(0.02), np.float32(0.5)))
    assert session.die == runtime.Die(1, 0.02, 0.5)
    with pytest.raises(BadInputError, match="keeps the one it has"):
        session.set_die(runtime.MeasuredDie({"up": np.zeros((1, 2, 3), np.uint8)}))
    assert session.die == runtime.Die(1, 0.02, 0.5)


def test_a_provider_that_cannot_load_is_not_blamed_on_the_bundle(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise UnsupportedError("the native execution provider is not built.")

    monkeypatch.setattr("runtime.ort.session.device", missing)
    with pytest.raises(UnsupportedError, match="not built"):
        runtime.load(bundle)


def test_a_bad_provider_option_is_an_error_and_no_silent_cpu_session(bundle: Path) -> None:
    with pytest.raises(BadInputError, match="isa"):
        runtime.load(bundle, provider_options={"isa": "abacus"})


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({"input_ids": FEEDS["input_ids"]}, "'attention_mask' is missing"),
        (FEEDS | {"extra": FEEDS["input_ids"]}, "'extra' is not an input"),
        (FEEDS | {"input_ids": FEEDS["input_ids"].astype(np.float32)}, r"float32; the model takes int64. Convert it"),
        (FEEDS | {"input_ids": FEEDS["input_ids"][0]}, r"shape \[6\]; the model takes"),
    ],
)
def test_wrong_inputs_say_what_to_give(bundle: Path, feeds: dict, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        runtime.load(bundle).run(None, feeds)


def flip_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_flipped_bit_is_found(bundle: Path) -> None:
    flip_bit(bundle / "tiles" / "up.safetensors")
    with pytest.raises(BadInputError, match=r"'tiles/up.safetensors' does not have the manifest's SHA-256"):
        runtime.load(bundle)


def test_a_missing_file_is_named(bundle: Path) -> None:
    (bundle / "tiles" / "up.safetensors").unlink()
    with pytest.raises(BadInputError, match=r"'tiles/up.safetensors' is missing"):
        runtime.load(bundle)


def edit_manifest(bundle: Path, edit) -> None:
    data = json.loads((bundle / "manifest.json").read_text())
    edit(data)
    (bundle / "manifest.json").write_text(json.dumps(data))


def test_a_newer_format_is_refused(bundle: Path) -> None:
    edit_manifest(bundle, lambda m: m.update(format_version=2))
    with pytest.raises(UnsupportedError, match="format version 2"):
        runtime.load(bundle)


def test_paths_that_leave_the_bundle_are_refused(bundle: Path, tmp_path: Path) -> None:
    edit_manifest(bundle, lambda m: m["layers"][0].update(file="../outside.safetensors"))
    with pytest.raises(BadInputError, match="leaves the bundle"):
        runtime.load(bundle)


def test_links_that_leave_the_bundle_are_refused(bundle: Path, tmp_path: Path) -> None:
    tiles = bundle / "tiles" / "up.safetensors"
    shutil.move(tiles, tmp_path / "outside")
    tiles.symlink_to(tmp_path / "outside")
    with pytest.raises(BadInputError, match="leads outside the bundle"):
        runtime.load(bundle)
