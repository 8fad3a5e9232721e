"""Weights that are stored as codes and multiplied out by `Mul(Cast(codes), scale)`."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from rcompile.onnx_in.linears import find_linears
from rcompile.onnx_in.read import read_model

K, N = 6, 5


def model(folder: Path, codes: np.ndarray, scale: np.ndarray, swapped: bool = False, opset: int = 17) -> Path:
    """y = x @ (float(codes) * scale)."""
    nodes = [
        helper.make_node("Cast", ["codes"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["scale", "wide"] if swapped else ["wide", "scale"], ["w"]),
        helper.make_node("MatMul", ["x", "w"], ["y"], name="layer/MatMul"),
    ]
    graph = helper.make_graph(
        nodes,
        "codes",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", K])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(codes, "codes"), numpy_helper.from_array(scale, "scale")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(made, folder / "model.onnx")
    return folder / "model.onnx"


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([(), (1,), (1, 1), (N,), (1, N), (K, 1)]),
    st.sampled_from([np.int8, np.uint8]),
    st.booleans(),
)
def test_what_is_read_is_what_the_model_multiplies_by(
    tmp_path_factory: pytest.TempPathFactory, seed: int, shape: tuple[int, ...], kind: type, swapped: bool
) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(-127 if kind is np.int8 else 0, 128, (K, N)).astype(kind)
    scale = rng.uniform(0.01, 1, shape).astype(np.float32)
    path = model(tmp_path_factory.mktemp("codes"), codes, scale, swapped)
    (linear,) = find_linears(read_model(path)).linears
    values = linear.weight.read()
    np.testing.assert_array_equal(values.dequantized(), codes.astype(np.float32) * scale)
    per_output = shape != (K, 1)
    assert (values.scale is not None) == per_output
    if per_output:
        np.testing.assert_array_equal(values.values, codes)
    x = rng.standard_normal((3, K)).astype(np.float32)
    (y,) = ort.InferenceSession(path).run(None, {"x": x})
    np.testing.assert_allclose(y, x @ values.dequantized(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, K, N), (K, N), (2, 1, 1)])
def test_scales_that_do_not_run_along_one_axis_are_left_alone(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = model(tmp_path, np.ones((K, N), np.int8), np.ones(shape, np.float32))
    assert "DequantizeLinear" not in {node.op_type for node in read_model(path).graph}


def test_codes_of_an_old_opset_are_left_alone(tmp_path: Path) -> None:
    path = model(tmp_path, np.ones((K, N), np.int8), np.ones(N, np.float32), opset=12)
    assert [node.op_type for node in read_model(path).graph] == ["Cast", "Mul", "MatMul"]


def test_codes_that_something_else_reads_stay(tmp_path: Path) -> None:
    path = model(tmp_path, np.ones((K, N), np.int8), np.ones(N, np.float32))
    proto = onnx.load(path)
    proto.graph.output.append(helper.make_tensor_value_info("wide", TensorProto.FLOAT, None))
    onnx.save(proto, path)
    assert sorted(node.op_type for node in read_model(path).graph) == ["Cast", "DequantizeLinear", "MatMul"]
