"""Sessions in ONNX Runtime: placement, live dies, concurrent runs, and bundles that must not load."""

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper
from small_models import save_model

import runtime
from rcompile import compile_model
from rcompile.bundle.check import check
from rcompile.bundle.reader import Bundle
from rcompile.errors import BadInputError, UnsupportedError
from rcompile.hardware.effects.table import Effects, SoftErrors
from runtime.ort.library import PROVIDER
from runtime.ort.session import quiet_options


@pytest.fixture
def bundle(classifier_onnx: Path, tmp_path: Path) -> Path:
    compile_model(classifier_onnx, "reram128x128", tmp_path / "bundle")
    return tmp_path / "bundle"


FEEDS = {"input_ids": np.arange(12).reshape(2, 6), "attention_mask": np.ones((2, 6), np.int64)}
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


def test_norms_stay_apart_from_the_sums_that_they_norm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime's fusion of the two is the slower and the less exact."""
    constants = {
        "weight": np.eye(40, dtype=np.float32),
        "scale": np.ones(40, np.float32),
        "shift": np.zeros(40, np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["product"]),
        helper.make_node("Add", ["product", "x"], ["sum"]),
        helper.make_node("LayerNormalization", ["sum", "scale", "shift"], ["y"]),
    ]
    shape = (TensorProto.FLOAT, ["b", "t", 40])
    model = save_model(tmp_path / "norm.onnx", nodes, constants, {"x": shape}, {"y": shape})
    compile_model(model, "reram128x128", tmp_path / "bundle")
    options = quiet_options()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    monkeypatch.setattr("runtime.ort.session.quiet_options", lambda: options)
    runtime.load(tmp_path / "bundle")
    ran = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx", load_external_data=False).graph.node]
    assert ran == ["CrossbarMatMul", "Add", "LayerNormalization"]


def test_a_model_of_crossbars_alone_needs_no_cpu_provider(linear_onnx: Path, tmp_path: Path) -> None:
    compile_model(linear_onnx, "reram128x128", tmp_path / "bundle")
    options = ort.SessionOptions()
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    session = runtime.load(tmp_path / "bundle", session_options=options)
    assert session.run(None, {"x": np.ones((1, 2, 40), np.float32)})[0].shape == (1, 2, 24)


def test_clean_crossbars_compute_the_quantized_model(bundle: Path, classifier_onnx: Path) -> None:
    """Against the model in NumPy with 8-bit weights and 8-bit rows, which knows nothing of crossbars."""
    constant = {i.name: onnx.numpy_helper.to_array(i) for i in onnx.load(classifier_onnx).graph.initializer}

    def linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
        weight_scale, x_scale = np.abs(weight).max(axis=0) / 127, np.abs(x).max(axis=-1, keepdims=True) / 127
        return np.rint(x / x_scale) @ np.rint(weight / weight_scale) * x_scale * weight_scale + bias

    embedded = constant["embeddings.weight"][FEEDS["input_ids"]]
    up = np.maximum(linear(embedded, constant["up.weight"], constant["up.bias"]), 0)
    pooled = linear(up, constant["down.weight"], constant["down.bias"]).sum(axis=1)
    wanted = linear(pooled, constant["head.weight"].T, constant["head.bias"])
    np.testing.assert_allclose(runtime.load(bundle).run(None, FEEDS)[0], wanted, rtol=1e-4)


@pytest.mark.parametrize("bias", [False, True])
def test_linears_in_a_row(bias: bool, tmp_path: Path) -> None:
    """Each linear's result is the next one's input, and one weight serves twice: all of it against NumPy."""
    rng = np.random.default_rng(0)
    constants = {name: rng.normal(0, 0.3, (16, 16)).astype(np.float32) for name in ("a.weight", "b.weight")}
    nodes, value = [], "x"
    for i, weight in enumerate(("a.weight", "b.weight", "a.weight")):
        nodes.append(helper.make_node("MatMul", [value, weight], [f"p{i}"], name=f"/{i}/MatMul"))
        value = f"p{i}"
        if bias:
            constants[f"bias{i}"] = rng.normal(0, 1, 16).astype(np.float32)
            nodes.append(helper.make_node("Add", [value, f"bias{i}"], [f"q{i}"], name=f"/{i}/Add"))
            value = f"q{i}"
    nodes[-1].output[0] = "y"
    shapes = ({"x": (TensorProto.FLOAT, ["b", 16])}, {"y": (TensorProto.FLOAT, ["b", 16])})
    manifest = compile_model(
        save_model(tmp_path / "m.onnx", nodes, constants, *shapes), "reram128x128", tmp_path / "bundle"
    ).manifest
    assert [len(layer.nodes) for layer in manifest.layers] == [2, 1]
    assert not [problem for _, found in check(Bundle.open(tmp_path / "bundle")) for problem in found]
    x = rng.normal(0, 1, (5, 16)).astype(np.float32)
    wanted = x
    for i, weight in enumerate(("a.weight", "b.weight", "a.weight")):
        weight_scale = np.abs(constants[weight]).max(axis=0) / 127
        scale = np.abs(wanted).max(axis=1, keepdims=True) / 127
        product = np.rint(wanted / scale) @ np.rint(constants[weight] / weight_scale)
        wanted = product * scale * weight_scale + (constants[f"bias{i}"] if bias else 0)
    np.testing.assert_allclose(runtime.load(tmp_path / "bundle").run(None, {"x": x})[0], wanted, rtol=1e-4, atol=1e-5)


def test_half_precision_with_names_that_clash(tmp_path: Path) -> None:
    """Unnamed products, nodes named like another's output, and casts around the crossbar: the bundle loads and
    agrees.
    """
    rng = np.random.default_rng(0)
    constants = {"w": rng.normal(0, 0.3, (16, 16)).astype(np.float16)}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"], name="b"),
        helper.make_node("Relu", ["c"], ["d"], name="b/to_float"),
        helper.make_node("MatMul", ["d", "w"], ["y"], name="d"),
    ]
    shapes = ({"x": (TensorProto.FLOAT16, ["n", 16])}, {"y": (TensorProto.FLOAT16, ["n", 16])})
    source = save_model(tmp_path / "m.onnx", nodes, constants, *shapes)
    compile_model(source, "reram128x128", tmp_path / "bundle")
    assert not [problem for _, found in check(Bundle.open(tmp_path / "bundle")) for problem in found]
    x = rng.normal(0, 1, (5, 16)).astype(np.float16)
    (wanted,) = ort.InferenceSession(str(source)).run(None, {"x": x})
    (found,) = runtime.load(tmp_path / "bundle").run(None, {"x": x})
    assert found.dtype == np.float16
    assert np.linalg.norm(found - wanted) < 0.05 * np.linalg.norm(wanted)


def test_external_data_inside_a_branch(tmp_path: Path) -> None:
    vector = onnx.numpy_helper.from_array(np.arange(24, dtype=np.float32), "inner")
    branch = helper.make_graph(
        [helper.make_node("Identity", ["inner"], ["out"])],
        "branch",
        [],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [24])],
        [vector],
    )
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"], name="product"),
        helper.make_node("If", ["flag"], ["q"], then_branch=branch, else_branch=branch, name="if"),
        helper.make_node("Add", ["p", "q"], ["y"], name="add"),
    ]
    constants = {"w": np.ones((40, 24), np.float32), "flag": np.array(True)}
    shapes = ({"x": (TensorProto.FLOAT, ["b", 40])}, {"y": (TensorProto.FLOAT, ["b", 24])})
    path = save_model(tmp_path / "m.onnx", nodes, constants, *shapes)
    (tmp_path / "inner.bin").write_bytes(vector.raw_data)
    model = onnx.load(path)
    for attribute in model.graph.node[1].attribute:
        onnx.external_data_helper.set_external_data(attribute.g.initializer[0], "inner.bin")
        attribute.g.initializer[0].ClearField("raw_data")
    onnx.save(model, path)
    compile_model(path, "reram128x128", tmp_path / "bundle")
    (y,) = runtime.load(tmp_path / "bundle").run(None, {"x": np.ones((1, 40), np.float32)})
    np.testing.assert_allclose(y[0], 40 + np.arange(24), rtol=1e-5)


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


def test_dimensions_without_names(tmp_path: Path) -> None:
    """The shape of a crossbar product feeds a Reshape, as in exported attention: unknown sizes must stay unknown."""
    constants = {
        "proj.weight": np.random.default_rng(0).normal(0, 1, (40, 24)).astype(np.float32),
        "zero": np.array(0, np.int64),
        "one": np.array(1, np.int64),
        "axis": np.array([0], np.int64),
        "split": np.array([4, 6], np.int64),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "proj.weight"], ["p"], name="/proj/MatMul"),
        helper.make_node("Shape", ["p"], ["shape"]),
        *(
            step
            for name in ("zero", "one")
            for step in (
                helper.make_node("Gather", ["shape", name], [f"{name}_size"]),
                helper.make_node("Unsqueeze", [f"{name}_size", "axis"], [f"{name}_vector"]),
            )
        ),
        helper.make_node("Concat", ["zero_vector", "one_vector", "split"], ["target"], axis=0),
        helper.make_node("Reshape", ["p", "target"], ["y"]),
    ]
    shapes = ({"x": (TensorProto.FLOAT, [None, None, 40])}, {"y": (TensorProto.FLOAT, [None, None, 4, 6])})
    compile_model(save_model(tmp_path / "m.onnx", nodes, constants, *shapes), "reram128x128", tmp_path / "bundle")
    (y,) = runtime.load(tmp_path / "bundle").run(None, {"x": np.ones((2, 3, 40), np.float32)})
    assert y.shape == (2, 3, 4, 6)


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
