"""Models whose structure is broken are refused with what is broken; bugs over sound models stay bugs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from command_line import BAD_INPUT, compile_to, left_behind, run
from onnx import TensorProto, helper
from small_models import linear_model, save_model

from rcompile import compile_model

SHAPES = ({"x": (TensorProto.FLOAT, ["b", 6])}, {"y": (TensorProto.FLOAT, ["b", 4])})


def behind(*nodes: onnx.NodeProto, **more: np.ndarray) -> Callable[[Path], Path]:
    """A product with `v`, which the nodes make of the weight `w`."""
    product = helper.make_node("MatMul", ["x", "v"], ["y"], name="product")
    weight = np.ones((6, 4), np.int8 if more else np.float32)
    return lambda path: save_model(path, [*nodes, product], {"w": weight, **more}, *SHAPES)


def invalid_name(path: Path) -> Path:
    path.write_bytes(linear_model(path).read_bytes().replace(b"\x04test", b"\x04t\xffst"))
    return path


def recursive(path: Path) -> Path:
    call = helper.make_node("F", ["x"], ["y"], domain="own")
    model = onnx.load(save_model(path, [call], {}, *SHAPES))
    opset = [helper.make_opsetid("own", 1)]
    model.functions.append(helper.make_function("own", "F", ["x"], ["y"], [call], opset))
    model.opset_import.append(opset[0])
    onnx.save(model, path)
    return path


def cast(**attributes: object) -> Callable[[Path], Path]:
    return behind(helper.make_node("Cast", ["w"], ["v"], name="cast", **attributes))


SCALES = helper.make_node("DequantizeLinear", ["w", "s"], ["v"], name="dequantize")
BROKEN = {
    "an attribute is missing": (cast(), "cast"),
    "an attribute of another type": (cast(to="float"), "cast"),
    "a type that is none": (cast(to=99), "cast"),
    "a permutation of another type": (behind(helper.make_node("Transpose", ["w"], ["v"], perm="10")), "perm"),
    "nodes in a circle": (behind(helper.make_node("Identity", ["v"], ["v"])), ""),
    "no inputs": (lambda path: save_model(path, [helper.make_node("MatMul", [], ["y"], name="n")], {}, *SHAPES), "n"),
    "scales that fit no axis": (behind(SCALES, s=np.ones(3, np.float32)), "the scale has 3 values"),
    "a name that is no text": (invalid_name, "not UTF-8"),
    "a function that calls itself": (recursive, ""),
}


@pytest.mark.parametrize(("make", "said"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("more", [(), ("--dry-run",)], ids=["compile", "dry run"])
def test_broken_structure_is_refused(
    make: Callable[[Path], Path], said: str, more: tuple[str, ...], tmp_path: Path
) -> None:
    if said == "not UTF-8" and more:
        pytest.skip("only writing the graph reads its name")
    result = compile_to(tmp_path / "out", make(tmp_path / "m.onnx"), *more)
    assert (result.exit_code, said in result.stderr) == (BAD_INPUT, True), result.output
    assert left_behind(tmp_path) == []
    assert not (tmp_path / "out").exists()


def test_a_bug_over_a_sound_model_stays_one(linear_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rcompile.pipeline.find_linears", lambda *_: {}["bug"])
    assert compile_to(tmp_path / "out", linear_onnx).exit_code == 70
    with pytest.raises(KeyError, match="bug"):
        compile_model(linear_onnx, "reram128x128", tmp_path / "out")


def test_debug_shows_what_a_broken_model_raised(tmp_path: Path) -> None:
    model = cast()(tmp_path / "m.onnx")
    result = run("--debug", model, "--target", "reram128x128", "-o", tmp_path / "out")
    assert "not sound ONNX" in str(result.exception)
    assert isinstance(result.exception.__cause__, KeyError)
