"""Linears as exporters really write them, each against the matrix that it stands for."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from small_models import linear_model, save_model

from rcompile.errors import UnsupportedError
from rcompile.hardware.target_file import load_target
from rcompile.layout.quantize import quantize
from rcompile.onnx_in.linears import find_linears
from rcompile.onnx_in.read import read_model

RNG = np.random.default_rng(1)
WEIGHT = RNG.normal(0, 0.1, (12, 8)).astype(np.float32)
BIAS = RNG.normal(0, 0.1, 8).astype(np.float32)
CODES = RNG.integers(-127, 128, (12, 8)).astype(np.int8)
SCALE = RNG.uniform(0.001, 0.01, 8).astype(np.float32)


def node(op: str, inputs: list[str], output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op, inputs, [output], name=f"/fc/{op}/{output}", **attributes)


def find(
    tmp_path: Path, nodes: list, constants: dict, element: int = TensorProto.FLOAT, opset: int = 17, rank: int = 3
):
    shape = ["b", "t"][: rank - 1]
    path = save_model(
        tmp_path / "m.onnx",
        nodes,
        constants,
        {"x": (element, [*shape, 12])},
        {"y": (element, [*shape, 8])},
        opset=opset,
    )
    return find_linears(read_model(path))


F16, BF16 = WEIGHT.astype(np.float16), WEIGHT.astype(ml_dtypes.bfloat16)
CHAINS = {
    "plain": ([node("MatMul", ["x", "w"], "y")], {"w": WEIGHT}, WEIGHT),
    "opset 11": ([node("MatMul", ["x", "w"], "y")], {"w": WEIGHT}, WEIGHT),
    "transposed": ([node("Transpose", ["w"], "wt", perm=[1, 0]), node("MatMul", ["x", "wt"], "y")], {"w": WEIGHT.T.copy()}, WEIGHT),
    "transposed, no perm": ([node("Transpose", ["w"], "wt"), node("MatMul", ["x", "wt"], "y")], {"w": WEIGHT.T.copy()}, WEIGHT),
    "identity": ([node("Identity", ["w"], "wi"), node("MatMul", ["x", "wi"], "y")], {"w": WEIGHT}, WEIGHT),
    "fp16 cast": (
        [node("Cast", ["w"], "wc", to=TensorProto.FLOAT), node("MatMul", ["x", "wc"], "y")], {"w": F16}, F16.astype(np.float32)
    ),
    "bf16 cast": (
        [node("Cast", ["w"], "wc", to=TensorProto.FLOAT), node("MatMul", ["x", "wc"], "y")], {"w": BF16}, BF16.astype(np.float32)
    ),
    "cast, then transpose": (
        [node("Cast", ["w"], "wc", to=TensorProto.FLOAT), node("Transpose", ["wc"], "wt", perm=[1, 0]), node("MatMul", ["x", "wt"], "y")],
        {"w": F16.T.copy()},
        F16.astype(np.float32),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", CHAINS)
def test_weight_behind(kind: str, tmp_path: Path) -> None:
    nodes, constants, expected = CHAINS[kind]
    (linear,) = find(tmp_path, nodes, constants, opset=11 if kind == "opset 11" else 17).linears
    np.testing.assert_array_equal(linear.weight.read().dequantized(), expected)
    assert (linear.inputs, linear.outputs) == (12, 8)


def test_weight_in_a_constant_node(tmp_path: Path) -> None:
    constant = helper.make_node("Constant", [], ["w"], value=onnx.numpy_helper.from_array(WEIGHT))
    (linear,) = find(tmp_path, [constant, node("MatMul", ["x", "w"], "y")], {}).linears
    np.testing.assert_array_equal(linear.weight.read().dequantized(), WEIGHT)


@pytest.mark.parametrize("transposed", [False, True])
def test_gemm(transposed: bool, tmp_path: Path) -> None:
    weight = WEIGHT.T.copy() if transposed else WEIGHT
    gemm = node("Gemm", ["x", "w", "b"], "y", transB=int(transposed), alpha=0.5, beta=2.0)
    (linear,) = find(tmp_path, [gemm], {"w": weight, "b": BIAS}, rank=2).linears
    np.testing.assert_array_equal(linear.weight.read().dequantized(), WEIGHT * np.float32(0.5))
    np.testing.assert_array_equal(linear.uses[0].bias, BIAS * 2)


@pytest.mark.parametrize("swapped", [False, True])
def test_bias_is_absorbed(swapped: bool, tmp_path: Path) -> None:
    add = node("Add", ["b", "p"] if swapped else ["p", "b"], "y")
    (linear,) = find(tmp_path, [node("MatMul", ["x", "w"], "p"), add], {"w": WEIGHT, "b": BIAS}).linears
    np.testing.assert_array_equal(linear.uses[0].bias, BIAS)
    assert linear.uses[0].tail is not None


def test_add_of_an_activation_is_no_bias(tmp_path: Path) -> None:
    square = np.eye(12, dtype=np.float32)
    nodes = [node("MatMul", ["x", "w"], "p"), node("Add", ["p", "x"], "q"), node("MatMul", ["q", "v"], "y")]
    found = find(tmp_path, nodes, {"w": square, "v": WEIGHT})
    assert [linear.uses[0].tail for linear in found.linears] == [None, None]


@pytest.mark.parametrize("stored", ["[in, out]", "[out, in], transposed"])
@pytest.mark.parametrize("zero_point", [None, np.zeros(8, np.int8)])
def test_int8_weights_keep_their_codes(stored: str, zero_point: np.ndarray | None, tmp_path: Path) -> None:
    plain = stored == "[in, out]"
    constants = {"w": CODES if plain else CODES.T.copy(), "s": SCALE}
    inputs = ["w", "s"]
    if zero_point is not None:
        constants["z"] = zero_point
        inputs.append("z")
    nodes = [node("DequantizeLinear", inputs, "wd", axis=1 if plain else 0)]
    nodes += [] if plain else [node("Transpose", ["wd"], "wt", perm=[1, 0])]
    nodes.append(node("MatMul", ["x", "wd" if plain else "wt"], "y"))
    (linear,) = find(tmp_path, nodes, constants).linears
    quantized = quantize(linear, load_target("reram128x128"))
    np.testing.assert_array_equal(quantized.codes, CODES)
    np.testing.assert_array_equal(quantized.weight_scale, SCALE)


def test_asymmetric_uint8_weights_are_quantized_anew(tmp_path: Path) -> None:
    stored, zero = (CODES.astype(np.int16) + 100).clip(0, 255).astype(np.uint8), np.full(8, 90, np.uint8)
    nodes = [node("DequantizeLinear", ["w", "s", "z"], "wd", axis=1), node("MatMul", ["x", "wd"], "y")]
    (linear,) = find(tmp_path, nodes, {"w": stored, "s": SCALE, "z": zero}).linears
    expected = (stored.astype(np.float32) - 90) * SCALE
    np.testing.assert_allclose(linear.weight.read().dequantized(), expected, rtol=1e-6)


def test_tied_weights_are_one_layer(tmp_path: Path) -> None:
    square = RNG.normal(0, 1, (12, 12)).astype(np.float32)
    nodes = [node("MatMul", ["x", "w"], "p"), node("MatMul", ["p", "w"], "q"), node("MatMul", ["q", "v"], "y")]
    found = find(tmp_path, nodes, {"w": square, "v": WEIGHT})
    assert [len(linear.uses) for linear in found.linears] == [2, 1]


def test_tied_weights_are_one_layer_also_behind_identities(tmp_path: Path) -> None:
    """As TorchScript exports ALBERT."""
    square = RNG.normal(0, 1, (12, 12)).astype(np.float32)
    nodes = [
        node("MatMul", ["x", "w"], "p"),
        node("Identity", ["w"], "again"),
        node("MatMul", ["p", "again"], "q"),
        node("MatMul", ["q", "v"], "y"),
    ]
    found = find(tmp_path, nodes, {"w": square, "v": WEIGHT})
    assert [len(linear.uses) for linear in found.linears] == [2, 1]


def test_tied_weights_are_one_layer_also_where_the_exporter_stored_them_twice(tmp_path: Path) -> None:
    square = RNG.normal(0, 1, (12, 12)).astype(np.float32)
    other = square.copy()
    other[7, 3] += 1
    nodes = [node("MatMul", ["x" if i == 0 else f"p{i - 1}", f"w{i}"], f"p{i}") for i in range(3)]
    found = find(
        tmp_path, [*nodes, node("MatMul", ["p2", "v"], "y")], {"w0": square, "w1": square, "w2": other, "v": WEIGHT}
    )
    assert [len(linear.uses) for linear in found.linears] == [2, 1, 1]


def dequantized(name: str, scale: str, zero: str | None = None, **attributes: object) -> onnx.NodeProto:
    return node("DequantizeLinear", ["w", scale, *([zero] if zero else [])], name, **attributes)


@pytest.mark.parametrize("differs_in", ["zero point", "axis", "cast"])
def test_matrices_made_differently_of_one_tensor_are_not_tied(differs_in: str, tmp_path: Path) -> None:
    codes = RNG.integers(-100, 100, (12, 12)).astype(np.int8)
    constants = {"w": codes, "s": RNG.uniform(0.1, 1, 12).astype(np.float32), "z": np.full(12, 9, np.int8), "v": WEIGHT}
    if differs_in == "zero point":
        makers = [dequantized("a", "s", axis=1), dequantized("b", "s", "z", axis=1)]
    elif differs_in == "axis":
        makers = [dequantized("a", "s", axis=1), dequantized("b", "s", axis=0)]
    else:
        constants["w"] = RNG.normal(0, 1, (12, 12)).astype(np.float32)
        makers = [
            node("Identity", ["w"], "a"),
            node("Cast", ["w"], "w16", to=TensorProto.FLOAT16),
            node("Cast", ["w16"], "b", to=TensorProto.FLOAT),
        ]
    products = [node("MatMul", ["x", "a"], "p"), node("MatMul", ["p", "b"], "q"), node("MatMul", ["q", "v"], "y")]
    found = find(tmp_path, [*makers, *products], constants)
    assert [len(linear.uses) for linear in found.linears] == [1, 1, 1]
    first, second = (linear.weight.read().dequantized() for linear in found.linears[:2])
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("computed", ["scale", "zero point", "scale of an input"])
def test_a_computed_quantization_stays_on_the_host(computed: str, tmp_path: Path) -> None:
    """Not followed, and never guessed: the other linear is compiled, this one listed."""
    square = RNG.normal(0, 1, (12, 12)).astype(np.float32)
    constants = {"w": CODES, "s": SCALE, "z": np.zeros(8, np.int8), "v": square}
    if computed == "scale":
        makers = [node("Mul", ["s", "s"], "s2"), dequantized("a", "s2", axis=1)]
    elif computed == "zero point":
        makers = [node("Add", ["z", "z"], "z2"), dequantized("a", "s", "z2", axis=1)]
    else:
        makers = [node("ReduceMax", ["x"], "s2", axes=[0, 1, 2], keepdims=0), dequantized("a", "s2")]
    found = find(tmp_path, [*makers, node("MatMul", ["x", "v"], "p"), node("MatMul", ["p", "a"], "y")], constants)
    assert [linear.name for linear in found.linears] == ["fc.MatMul"]
    (left,) = found.unmapped
    expected = "both operands are activations" if "input" in computed else "is made by DequantizeLinear"
    assert expected in left.reason


@pytest.mark.parametrize("to", [TensorProto.INT32, TensorProto.BOOL])
def test_codes_that_a_cast_changes_are_not_taken(to: int, tmp_path: Path) -> None:
    square = RNG.normal(0, 1, (12, 12)).astype(np.float32)
    makers = [
        dequantized("a", "s", axis=1),
        node("Cast", ["a"], "whole", to=to),
        node("Cast", ["whole"], "again", to=TensorProto.FLOAT),
    ]
    nodes = [*makers, node("MatMul", ["x", "v"], "p"), node("MatMul", ["p", "again"], "y")]
    found = find(tmp_path, nodes, {"w": CODES, "s": SCALE * 100, "v": square})
    assert [linear.name for linear in found.linears] == ["fc.MatMul"]
    assert "is made by Cast" in found.unmapped[0].reason


def test_products_that_no_output_needs_take_no_crossbars(tmp_path: Path) -> None:
    nodes = [node("MatMul", ["x", "w"], "y"), node("MatMul", ["x", "v"], "unused")]
    found = find(tmp_path, nodes, {"w": WEIGHT, "v": np.eye(12, dtype=np.float32)})
    assert len(found.linears) == 1


def test_a_value_from_nowhere_is_refused(tmp_path: Path) -> None:
    path = save_model(
        tmp_path / "m.onnx",
        [node("MatMul", ["x", "w"], "y")],
        {},
        {"x": (TensorProto.FLOAT, ["b", 12])},
        {"y": (TensorProto.FLOAT, ["b", 8])},
    )
    with pytest.raises(UnsupportedError, match="value 'w' has no source"):
        read_model(path)


def test_products_in_subgraphs_are_listed(tmp_path: Path) -> None:
    branch = helper.make_graph(
        [node("MatMul", ["x", "w"], "inner"), node("Add", ["inner", "b"], "out")],
        "branch",
        [],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["b", "t", 8])],
    )
    nodes = [
        node("MatMul", ["x", "w"], "p"),
        helper.make_node("If", ["flag"], ["q"], then_branch=branch, else_branch=branch, name="if"),
        node("Add", ["p", "q"], "y"),
    ]
    found = find(tmp_path, nodes, {"w": WEIGHT, "b": BIAS, "flag": np.array(True)})
    assert len(found.linears) == 1
    assert {u.reason for u in found.unmapped} == {"it lies in a subgraph"}


def test_a_bias_inside_a_subgraph_is_not_absorbed(tmp_path: Path) -> None:
    branch = helper.make_graph(
        [node("Add", ["p", "b"], "out")],
        "branch",
        [],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["b", "t", 8])],
    )
    nodes = [
        node("MatMul", ["x", "w"], "p"),
        helper.make_node("If", ["flag"], ["y"], then_branch=branch, else_branch=branch, name="if"),
    ]
    (linear,) = find(tmp_path, nodes, {"w": WEIGHT, "b": BIAS, "flag": np.array(True)}).linears
    assert linear.uses[0].tail is None


def test_gemm_that_ignores_its_bias(tmp_path: Path) -> None:
    gemm = node("Gemm", ["x", "w", "b"], "y", beta=0.0)
    (linear,) = find(tmp_path, [gemm], {"w": WEIGHT, "b": np.full(8, np.nan, np.float32)}, rank=2).linears
    assert linear.uses[0].bias is None


def test_products_that_stay_on_the_host_say_why(tmp_path: Path) -> None:
    nodes = [
        node("Transpose", ["x"], "xt", perm=[0, 2, 1]),
        node("MatMul", ["x", "xt"], "scores"),
        node("MatMul", ["scores", "x"], "mixed"),
        node("MatMul", ["mixed", "w"], "y"),
    ]
    found = find(tmp_path, nodes, {"w": WEIGHT})
    assert [u.reason for u in found.unmapped] == ["both operands are activations"] * 2


def test_names_come_from_the_module_path(tmp_path: Path) -> None:
    path = linear_model(tmp_path / "m.onnx")
    assert find_linears(read_model(path)).linears[0].name == "proj"


def test_no_linear_is_an_error_that_lists_products(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="no linear layer"):
        find(tmp_path, [node("Relu", ["x"], "y")], {})
