"""Models that ONNX Runtime would not run are refused when they are compiled, or when their bundle is loaded; and what
is our lack, of memory, is not the model's fault.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from command_line import BAD_INPUT, run
from onnx import NodeProto, TensorProto, helper
from small_models import linear_model, save_model

import runtime
from rcompile import compile_model
from rcompile.canonical import file_sha256
from rcompile.errors import BadInputError, RcompileError, UnsupportedError
from rcompile.hardware.effects.table import Effects, SoftErrors
from rcompile.onnx_in import read
from rcompile.pipeline import rehearse
from runtime.ort import session

FLOAT = TensorProto.FLOAT
PRODUCT = helper.make_node("MatMul", ["x", "w"], ["y"], name="product")
GEMM = helper.make_node("Gemm", ["x", "w"], ["y"], name="product")


def model(tmp_path: Path, nodes: list[NodeProto], shape: list, element: int = FLOAT, **outputs: list) -> Path:
    """x times a weight of 40 rows."""
    results = {name: (FLOAT, dims) for name, dims in ({"y": ["b", 24]} | outputs).items()}
    weight = np.random.default_rng(0).normal(0, 0.1, (40, 24)).astype(np.float32)
    return save_model(tmp_path / "m.onnx", nodes, {"w": weight}, {"x": (element, shape)}, results)


@pytest.mark.parametrize(
    ("node", "shape", "element", "message"),
    [
        (PRODUCT, ["b", 41], FLOAT, r"'product' multiplies 'x', of shape \[b,41\], by a weight of 40 rows"),
        (PRODUCT, [], FLOAT, r"of shape \[\], by a weight of 40 rows"),
        (GEMM, ["b", 41], FLOAT, r"of shape \[b,41\], by a weight of 40 rows"),
        (GEMM, ["b", "t", 40], FLOAT, r"of shape \[b,t,40\], by a weight of 40 rows"),
        (PRODUCT, ["b", 40], TensorProto.INT64, "multiplies 'x', of INT64, by a weight of FLOAT"),
    ],
)
def test_an_input_that_does_not_fit_the_weight(
    node: NodeProto, shape: list, element: int, message: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInputError, match=message):
        rehearse(model(tmp_path, [node], shape, element), "reram128x128")


@pytest.mark.parametrize("shape", [["b", 40], ["b", "t", 40], ["b", "columns"], [40]])
def test_an_input_that_fits_the_weight(shape: list, tmp_path: Path) -> None:
    assert len(rehearse(model(tmp_path, [PRODUCT], shape), "reram128x128").layers) == 1


@pytest.mark.parametrize(
    ("makes", "given", "error", "message"),
    [
        ("Identity", ["x", "w"], BadInputError, "adds 1 values, not two"),
        ("Identity", ["x"], UnsupportedError, "the weight is made by Identity"),
        ("DequantizeLinear", ["x", "w"], UnsupportedError, "the weight is made by DequantizeLinear"),
    ],
)
def test_a_function_that_is_called_with_too_little(
    makes: str, given: list[str], error: type[RcompileError], message: str, tmp_path: Path
) -> None:
    """ONNX's checker takes the call: what a function is not given, it is not given."""
    path = model(tmp_path, [helper.make_node("Linear", given, ["y"], domain="own")], ["b", 40])
    calling = onnx.load(path)
    body = [
        helper.make_node(makes, ["w", "b"][: 1 + (makes == "DequantizeLinear")], ["v"]),
        helper.make_node("MatMul", ["a", "v"], ["p"]),
        helper.make_node("Add", ["p", "b"], ["r"]),
    ]
    opset = [helper.make_opsetid("", 17)]
    calling.functions.append(helper.make_function("own", "Linear", ["a", "w", "b"], ["r"], body, opset))
    calling.opset_import.append(helper.make_opsetid("own", 1))
    onnx.save(calling, path)
    with pytest.raises(error, match=message):
        rehearse(path, "reram128x128")


def test_an_output_that_nothing_produces(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="value 'z' has no source"):
        rehearse(model(tmp_path, [PRODUCT], ["b", 40], z=["b", 24]), "reram128x128")


def test_an_input_whose_size_the_file_does_not_say(tmp_path: Path) -> None:
    """The first run refuses it."""
    relu = helper.make_node("Relu", ["x"], ["r"])
    product = helper.make_node("MatMul", ["r", "w"], ["y"], name="product")
    compile_model(model(tmp_path, [relu, product], ["b", 41]), "reram128x128", tmp_path / "b")
    loaded = runtime.load(tmp_path / "b")
    with pytest.raises(Exception, match=r"input x has shape \[2, 41\], whose last dimension is not 40"):
        loaded.run(None, {"x": np.ones((2, 41), np.float32)})


@pytest.mark.parametrize("wrapped", [False, True])
def test_too_little_memory_is_not_the_models_fault(
    wrapped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        if not wrapped:
            raise MemoryError("4 GiB")
        try:
            raise MemoryError
        except MemoryError as error:
            raise ir.serde.SerdeError("calling something") from error

    monkeypatch.setattr(read, "check_storage", fail)
    ended = run(linear_model(tmp_path / "m.onnx"), "--target", "reram128x128", "-o", tmp_path / "b")
    assert ended.exit_code == BAD_INPUT
    assert f"there is not enough memory: '{tmp_path / 'm.onnx'}' cannot be read." in ended.stderr
    assert "not an ONNX model" not in ended.stderr
    assert "bug" not in ended.stderr


def edited(bundle: Path, edit: Callable[[onnx.ModelProto], None], old: bytes = b"", new: bytes = b"") -> Path:
    """A bundle whose host graph is changed, under a digest that fits."""
    path = bundle / "model.onnx"
    graph = onnx.load(path, load_external_data=False)
    edit(graph)
    path.write_bytes(graph.SerializeToString().replace(old, new) if old else graph.SerializeToString())
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"]["model.onnx"] = {"sha256": file_sha256(path), "bytes": path.stat().st_size}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    return bundle


def test_a_host_graph_with_a_type_that_onnx_does_not_define(classifier_onnx: Path, tmp_path: Path) -> None:
    """ONNX's checker does not look at the types of values between nodes; what reads the graph does."""

    def edit(graph: onnx.ModelProto) -> None:
        inside = graph.graph.value_info.add(name=graph.graph.node[0].output[0])
        inside.type.tensor_type.elem_type = 2**31 - 1

    compile_model(classifier_onnx, "reram128x128", tmp_path / "b")
    die = runtime.Die(1, effects=Effects(soft_errors=SoftErrors(bias_rate=0.5)))
    with pytest.raises(BadInputError, match="is not an ONNX model"):
        runtime.load(edited(tmp_path / "b", edit), die)


@pytest.mark.parametrize("text", ["attribute", "node", "location", "offset"])
def test_a_host_graph_with_texts_that_are_not_utf8(text: str, linear_onnx: Path, tmp_path: Path) -> None:
    """Protobuf gives them as bytes, which neither sort nor compare with texts."""

    def edit(graph: onnx.ModelProto) -> None:
        (node,) = graph.graph.node
        external = {entry.key: entry for entry in graph.graph.initializer[0].external_data}
        if text == "attribute":
            node.attribute[-1].name = "MARK"
        elif text == "node":
            node.name = "MARK"
        else:
            external[text].value = "MARK"

    compile_model(linear_onnx, "reram128x128", tmp_path / "b")
    with pytest.raises(BadInputError):
        runtime.load(edited(tmp_path / "b", edit, b"MARK", b"\xff\xfe\xfd\xfc"))


def test_a_host_graph_with_an_offset_of_thousands_of_digits(linear_onnx: Path, tmp_path: Path) -> None:
    def edit(graph: onnx.ModelProto) -> None:
        next(e for e in graph.graph.initializer[0].external_data if e.key == "offset").value = "9" * 5000

    compile_model(linear_onnx, "reram128x128", tmp_path / "b")
    with pytest.raises(BadInputError, match="does not read the images"):
        runtime.load(edited(tmp_path / "b", edit))


def test_a_session_without_a_report_says_so(linear_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compile_model(linear_onnx, "reram128x128", tmp_path / "b")
    loaded = runtime.load(tmp_path / "b")
    assert len(loaded.report()) == 1
    silent = type("Silent", (), {"RcompileReport": staticmethod(lambda token: None)})
    monkeypatch.setattr(session, "native", lambda: silent)
    with pytest.raises(RcompileError, match="no report"):
        loaded.report()
