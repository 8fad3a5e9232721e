"""What a model file claims and does not hold is refused when it is read: weights without data, data of another size,
external data elsewhere.
"""

import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from command_line import BAD_INPUT, compile_to
from onnx import TensorProto, helper, numpy_helper
from small_models import linear_model, save_model, tiny_classifier

import runtime
from rcompile import compile_model
from rcompile.canonical import canonical_json, file_sha256
from rcompile.errors import BadInputError
from rcompile.hardware.effects.table import Effects, SoftErrors
from rcompile.onnx_in.read import read_model

Change = Callable[[onnx.TensorProto], object]


def changed(path: Path, index: int, change: Change) -> Path:
    """A model of one linear with its weight (0) or its bias (1) changed."""
    model = onnx.load(linear_model(path))
    change(model.graph.initializer[index])
    onnx.save(model, path)
    return path


def as_floats(tensor: onnx.TensorProto) -> None:
    tensor.float_data.extend([0.5] * 3)
    tensor.ClearField("raw_data")


def both_ways(tensor: onnx.TensorProto) -> None:
    tensor.float_data.extend(numpy_helper.to_array(tensor).ravel())


WITHOUT_DATA = {
    "no data": lambda t: t.ClearField("raw_data"),
    "empty data": lambda t: setattr(t, "raw_data", b""),
    "less than the shape": lambda t: setattr(t, "raw_data", t.raw_data[:-4]),
    "more than the shape": lambda t: setattr(t, "raw_data", t.raw_data + b"1234"),
    "fewer numbers than the shape": as_floats,
    "held twice": both_ways,
    "a negative size": lambda t: t.dims.__setitem__(0, -t.dims[0]),
    "another type": lambda t: setattr(t, "data_type", TensorProto.DOUBLE),
    "no type": lambda t: setattr(t, "data_type", 0),
    "a type that is none": lambda t: setattr(t, "data_type", 99),
}


@pytest.mark.parametrize("index", [0, 1], ids=["weight", "bias"])
@pytest.mark.parametrize("change", WITHOUT_DATA.values(), ids=WITHOUT_DATA)
def test_a_tensor_that_does_not_hold_what_it_claims(change: Change, index: int, tmp_path: Path) -> None:
    model = changed(tmp_path / "m.onnx", index, change)
    result = compile_to(tmp_path / "out", model)
    assert (result.exit_code, "tensor 'proj." in result.stderr) == (BAD_INPUT, True), result.output
    assert not (tmp_path / "out").exists()


def test_a_shape_alone_takes_no_memory(tmp_path: Path) -> None:
    """The first gigabytes of a file of a hundred bytes."""
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 16, 1 << 16])
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [], [], [weight])
    for name, values in (("x", graph.input), ("y", graph.output)):
        values.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", 1 << 16]))
    (tmp_path / "m.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    tracemalloc.start()
    with pytest.raises(BadInputError, match=r"holds 0 entries of float_data, but FLOAT .* takes 4294967296"):
        read_model(tmp_path / "m.onnx")
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("where", ["Constant", "function"])
def test_tensors_of_attributes_are_checked(where: str, tmp_path: Path) -> None:
    weight = TensorProto(name="inner", data_type=TensorProto.FLOAT, dims=[4, 4])
    constant = helper.make_node("Constant", [], ["w"], value=weight)
    product = helper.make_node("MatMul", ["x", "w"], ["y"])
    shape = (TensorProto.FLOAT, ["b", 4])
    if where == "Constant":
        path = save_model(tmp_path / "m.onnx", [constant, product], {}, {"x": shape}, {"y": shape})
    else:
        opset = [helper.make_opsetid("", 17)]
        call = helper.make_node("F", ["x"], ["y"], domain="own")
        path = save_model(tmp_path / "m.onnx", [call], {}, {"x": shape}, {"y": shape})
        model = onnx.load(path)
        model.functions.append(helper.make_function("own", "F", ["x"], ["y"], [constant, product], opset))
        model.opset_import.append(helper.make_opsetid("own", 1))
        onnx.save(model, path)
    with pytest.raises(BadInputError, match="tensor 'inner' holds 0"):
        read_model(path)


def external(folder: Path, location: str, **entries: int) -> Path:
    """A model of one linear in folder/m.onnx whose weight lies in weights.bin, and says that it lies in `location`."""
    folder.mkdir(exist_ok=True)
    model = onnx.load(linear_model(folder / "m.onnx"))
    weight = model.graph.initializer[0]
    (folder / "weights.bin").write_bytes(weight.raw_data)
    onnx.external_data_helper.set_external_data(weight, location, **entries)
    weight.ClearField("raw_data")
    onnx.save(model, folder / "m.onnx")
    return folder / "m.onnx"


@pytest.mark.parametrize("home", [True, False], ids=["from its own folder", "from elsewhere"])
@pytest.mark.parametrize("how", ["..", "absolute", "link", "linked folder", "hard link"])
def test_external_data_stay_in_the_models_folder(
    how: str, home: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(40 * 24 * 4))
    folder = tmp_path / "folder"
    locations = {"..": "../secret.bin", "absolute": str(secret), "linked folder": "up/secret.bin"}
    model = external(folder, locations.get(how, "link.bin"))
    if how == "link":
        (folder / "link.bin").symlink_to("../secret.bin")
    elif how == "hard link":
        (folder / "link.bin").hardlink_to(secret)
    elif how == "linked folder":
        (folder / "up").symlink_to("..")
    monkeypatch.chdir(folder if home else tmp_path)
    result = compile_to(tmp_path / "out", "m.onnx" if home else model)
    message = "hard links" if how == "hard link" else "outside the model's folder"
    assert (result.exit_code, message in result.stderr) == (BAD_INPUT, True), result.output


@pytest.mark.parametrize(
    "entries",
    [{"offset": 4}, {"offset": -4}, {"offset": 1 << 62}, {"length": 4}, {"length": -1}, {"length": 40 * 24 * 8}],
    ids=str,
)
def test_external_data_hold_the_tensor(entries: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"of 'weights.bin', which holds 3840"):
        read_model(external(tmp_path / "m", "weights.bin", **entries))


@pytest.mark.parametrize("location", ["", ".", "lost.bin", "x" * 5000, "a\0b", "loop"])
def test_external_data_that_are_nowhere(location: str, tmp_path: Path) -> None:
    model = external(tmp_path / "m", location)
    (tmp_path / "m" / "loop").symlink_to("loop")
    with pytest.raises(BadInputError, match=r"'proj.weight' lies in"):
        read_model(model)


def test_external_data_behind_links_inside_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = external(tmp_path / "m", "link.bin")
    (tmp_path / "m" / "link.bin").symlink_to("weights.bin")
    monkeypatch.chdir(model.parent)
    compile_model("m.onnx", "reram128x128", "b")
    np.testing.assert_array_equal(
        (tmp_path / "m/b/source/link.bin").read_bytes(), (model.parent / "weights.bin").read_bytes()
    )


def test_soft_errors_read_no_file_outside_the_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a bundle whose digests are in order, from inside it."""
    compile_model(tiny_classifier(tmp_path / "m.onnx"), "reram128x128", tmp_path / "b", force=True)
    bundle = tmp_path / "b"
    os.rename(bundle / "host.data", tmp_path / "host.data")
    model = onnx.load(bundle / "model.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.value == "host.data":
                entry.value = "../host.data"
    onnx.save(model, bundle / "model.onnx")
    opened = runtime_bundle(bundle)
    monkeypatch.chdir(bundle)
    die = runtime.Die(1, effects=Effects(soft_errors=SoftErrors(embedding_rate=0.5)))
    with pytest.raises(BadInputError, match=r"outside the model's folder|not among the files"):
        runtime.load(opened, die)


def runtime_bundle(folder: Path) -> str:
    """Mend the manifest after a change of files; the path of the bundle from inside it."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = {
        name: {"sha256": file_sha256(folder / name), "bytes": (folder / name).stat().st_size}
        for name in manifest["files"]
        if (folder / name).is_file()
    }
    (folder / "manifest.json").write_text(canonical_json(manifest))
    return "."
