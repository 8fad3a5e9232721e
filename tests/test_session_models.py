"""Models as sessions run them: which nodes there are, and that they compute what NumPy or the model itself does."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper
from small_models import FEEDS, save_model

import runtime
from rcompile import compile_model
from rcompile.bundle.check import check
from rcompile.bundle.reader import Bundle
from runtime.ort.session import quiet_options


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
