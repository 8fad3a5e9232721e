"""Changed ONNX files, through the compiler."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from messages import change, flip
from onnx import TensorProto, helper
from small_models import changed_target, linear_model, save_model, tiny_classifier

from rcompile import compile_model
from rcompile.pipeline import rehearse

WEIGHT = np.linspace(-1, 1, 24, dtype=np.float32).reshape(6, 4)
SHAPES = ({"x": (TensorProto.FLOAT, ["b", 6])}, {"y": (TensorProto.FLOAT, ["b", 4])})


def onnx_files(folder: Path) -> Callable[[random.Random], None]:
    """What reads one changed model; `folder` is its own."""
    seeds = [model.SerializeToString() for model in _seeds(folder)]
    (folder / "weights.bin").write_bytes(WEIGHT.tobytes())
    path, out = folder / "m.onnx", folder / "b"
    target = changed_target("reram128x128", crossbar={"rows": 16, "cols": 16, "active_rows": 16})

    def attempt(rng: random.Random) -> None:
        data = rng.choice(seeds)
        if rng.random() < 0.15:
            data = flip(data, rng, rng.randrange(1, 4))
        else:
            model = onnx.ModelProto.FromString(data)
            change(model, rng, rng.randrange(1, 4))
            data = model.SerializeToString()
        path.write_bytes(data)
        if rng.random() < 0.2:
            compile_model(path, target, out, force=True)
        else:
            rehearse(path, target)

    return attempt


def _seeds(folder: Path) -> list[onnx.ModelProto]:
    """Each way in which a model can be written down that the compiler reads."""
    plain = onnx.load(linear_model(folder / "plain.onnx", 6, 4))
    outside = onnx.ModelProto()
    outside.CopyFrom(plain)
    onnx.external_data_helper.set_external_data(outside.graph.initializer[0], "weights.bin", 0, WEIGHT.nbytes)
    outside.graph.initializer[0].ClearField("raw_data")
    classifier = onnx.load(tiny_classifier(folder / "classifier.onnx", hidden=8, vocabulary=12))
    return [plain, outside, classifier, _quantized(folder), _gemm(folder), _branches(folder), _function(folder)]


def _save(folder: Path, nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray]) -> onnx.ModelProto:
    return onnx.load(save_model(folder / "seed.onnx", nodes, constants, *SHAPES))


def _quantized(folder: Path) -> onnx.ModelProto:
    nodes = [
        helper.make_node("DequantizeLinear", ["codes", "scale", "zero"], ["w0"], axis=0),
        helper.make_node("Transpose", ["w0"], ["w1"], perm=[1, 0]),
        helper.make_node("Cast", ["w1"], ["w2"], to=TensorProto.FLOAT),
        helper.make_node("Identity", ["w2"], ["w3"]),
        helper.make_node("MatMul", ["x", "w3"], ["y"]),
    ]
    codes = np.arange(-12, 12, dtype=np.int8).reshape(4, 6)
    constants = {"codes": codes, "scale": np.full(4, 0.1, np.float32), "zero": np.zeros(4, np.int8)}
    return _save(folder, nodes, constants)


def _gemm(folder: Path) -> onnx.ModelProto:
    constant = helper.make_node("Constant", [], ["w"], value=onnx.numpy_helper.from_array(WEIGHT.T.copy(), "w"))
    gemm = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1, alpha=0.5, beta=2.0)
    return _save(folder, [constant, gemm], {"b": np.ones(4, np.float32)})


def _branches(folder: Path) -> onnx.ModelProto:
    inner = helper.make_node("MatMul", ["x", "w"], ["out"])
    results = [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["b", 4])]
    branch = helper.make_graph([inner], "branch", [], results, [onnx.numpy_helper.from_array(np.ones(3), "own")])
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"]),
        helper.make_node("If", ["flag"], ["q"], then_branch=branch, else_branch=branch),
        helper.make_node("Add", ["p", "q"], ["y"]),
    ]
    return _save(folder, nodes, {"w": WEIGHT, "flag": np.array(True)})


def _function(folder: Path) -> onnx.ModelProto:
    body = [
        helper.make_node("MatMul", ["a", "w"], ["p"]),
        helper.make_node("Add", ["p", "b"], ["r"]),
    ]
    opset = [helper.make_opsetid("", 17)]
    call = helper.make_node("Linear", ["x", "w", "b"], ["y"], domain="own")
    model = _save(folder, [call], {"w": WEIGHT, "b": np.ones(4, np.float32)})
    model.functions.append(helper.make_function("own", "Linear", ["a", "w", "b"], ["r"], body, opset))
    model.opset_import.append(helper.make_opsetid("own", 1))
    return model
