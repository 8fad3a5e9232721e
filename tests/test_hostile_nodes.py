"""Another program may load model.onnx without this package's checks: the provider refuses what it cannot compute with
an error, not a crash.
"""

import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper
from small_models import changed_target, linear_model

from rcompile import CompileOptions, compile_model
from rcompile.errors import UnsupportedError
from rcompile.vocabulary import Combiner, words
from runtime.ort.library import device


def plain_session(bundle: Path) -> ort.InferenceSession:
    """A bundle's host graph as any program would load it, without this package's checks."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.add_provider_for_devices([device()], {})
    return ort.InferenceSession(str(bundle / "model.onnx"), options)


HOSTILE = {
    "bitline_output": lambda a: a.__setitem__((0, 0), 10_000),
    "wordline_input": lambda a: a.__setitem__((0, 0), -7),
    "crossbar": lambda a: a.__setitem__(0, -1),
    "bitline_digit": lambda a: a.__setitem__((0, 0), 200),
    "bitline_replica": lambda a: a.__setitem__((0, 0), 1),
    "levels": lambda a: a.__setitem__((0, 0, 0), 4),
    "weight_scale": lambda a: a.__setitem__(0, np.nan),
}


@pytest.mark.parametrize("tensor", HOSTILE)
def test_the_provider_itself_refuses_tensors_that_break_the_form(
    tensor: str, linear_onnx: Path, tmp_path: Path
) -> None:
    """Another program may load model.onnx without this package's checks: an error, not a crash."""
    from safetensors.numpy import load_file, save_file

    compile_model(linear_onnx, "reram128x128", tmp_path / "bundle")
    path = tmp_path / "bundle" / "tiles" / "proj.safetensors"
    tensors = {k: v.copy() for k, v in load_file(path).items()}
    HOSTILE[tensor](tensors[tensor])
    save_file(tensors, path)
    with pytest.raises(Exception, match="proj") as caught:
        plain_session(tmp_path / "bundle")
    assert tensor in str(caught.value)


HOSTILE_PACKED = {
    2: (lambda a: a.__setitem__((0, 5, 8), 4), r"levels\[0, 5\] is not padded with 0"),
    3: (lambda a: a.__setitem__((0, 5, 2), 0x90), r"levels\[0, 5, 5\] is 9, above the top level 7"),
}


@pytest.mark.parametrize("cell_bits", HOSTILE_PACKED)
def test_the_provider_itself_refuses_damaged_packed_cells(cell_bits: int, linear_onnx: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    target = changed_target("ideal128x128", crossbar={"cols": 33}, cell={"bits": cell_bits})
    compile_model(linear_onnx, target, tmp_path / "bundle", CompileOptions(pack_cells=True))
    path = tmp_path / "bundle" / "tiles" / "proj.safetensors"
    tensors = {k: v.copy() for k, v in load_file(path).items()}
    damage, message = HOSTILE_PACKED[cell_bits]
    damage(tensors["levels"])
    save_file(tensors, path)
    with pytest.raises(Exception, match=f"layer 'proj': {message}"):
        plain_session(tmp_path / "bundle")


def set_attribute(bundle: Path, attribute: str, value: str | int | list[int] | None) -> None:
    """Change an attribute of a bundle's only node; None takes it away."""
    model = onnx.load(bundle / "model.onnx", load_external_data=False)
    (node,) = model.graph.node
    kept = [a for a in node.attribute if a.name != attribute]
    del node.attribute[:]
    node.attribute.extend([*kept, *([] if value is None else [helper.make_attribute(attribute, value)])])
    onnx.save(model, bundle / "model.onnx")


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("combiner", "majority", f"combiner 'majority' is not one of {', '.join(words(Combiner))}"),
        ("dac_bits", 5, "dac_bits is 5, not in 1 .. 4"),
        ("digits", [1, 4, 16, 3], r"digits\[3\] is 3, not one of"),
        ("digits", [1, 4, 16, 256], r"digits\[3\] is 256, not one of"),
        ("digits", [1, 4, 16, -(2**63)], r"digits\[3\] is -9223372036854775808, not one of"),
        ("digits", [1, 4, 16], r"bitline_digit\[0, \d+\] is 3, but the layer has 3 digits"),
        ("digits", [1] * 65, "the number of digits is 65, not in 1 .. 64"),
        ("digits", 4, "the number of digits is 0, not in 1 .. 64"),
        ("digits", [128, 64, 32, 32], "the sum of the digits' magnitudes is 256"),
        ("weight_offset", 256, "weight_offset is 256, not in 0 .. 255"),
        ("likelier_level", 1, "likelier_level is 1, neither 0 nor the top level 3"),
        ("stored_bits", 2, r"levels has shape \[1, 128, 128\], not \[1, 128, 32\]"),
        ("stored_bits", 4, "stored_bits is 4, neither 8 nor 2"),
        ("stored_bits", 9, r"stored_bits is 9, not in 1 .. 8"),
    ],
)
def test_the_provider_itself_refuses_attributes_that_it_does_not_know(
    attribute: str, value: str | int | list[int] | None, message: str, linear_onnx: Path, tmp_path: Path
) -> None:
    compile_model(linear_onnx, "reram128x128", tmp_path / "bundle")
    set_attribute(tmp_path / "bundle", attribute, value)
    with pytest.raises(Exception, match=f"layer 'proj': {message}"):
        plain_session(tmp_path / "bundle")


def test_the_provider_itself_refuses_more_weights_than_its_cells_allow(tmp_path: Path) -> None:
    """A node of 65536 x 2048 would take gigabytes for a megabyte of cells."""
    compile_model(linear_model(tmp_path / "linear.onnx", 40, 2048), "reram128x128", tmp_path / "bundle")
    set_attribute(tmp_path / "bundle", "inputs", 1 << 16)
    with pytest.raises(Exception, match=r"134217728 weights, but 1048576 cells \[layer-size\]"):
        plain_session(tmp_path / "bundle")


def test_a_layer_that_is_pruned_almost_whole_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("rcompile.layout.normal_form.FREE_WEIGHTS", 1000)
    monkeypatch.setattr("rcompile.layout.normal_form.WEIGHTS_A_CELL", 0)
    with pytest.raises(UnsupportedError, match="--keep-on-host"):
        compile_model(linear_model(tmp_path / "linear.onnx", 40, 2048), "reram128x128", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_the_provider_itself_refuses_a_node_that_lacks_an_attribute(linear_onnx: Path, tmp_path: Path) -> None:
    compile_model(linear_onnx, "reram128x128", tmp_path / "bundle")
    whole = (tmp_path / "bundle" / "model.onnx").read_bytes()
    (node,) = onnx.load_from_string(whole).graph.node
    assert len(node.attribute) > 10
    for attribute in node.attribute:
        (tmp_path / "bundle" / "model.onnx").write_bytes(whole)
        set_attribute(tmp_path / "bundle", attribute.name, None)
        with pytest.raises(Exception, match=f"attribute {attribute.name} is missing"):
            plain_session(tmp_path / "bundle")


def test_the_provider_itself_refuses_cells_that_are_packed_otherwise(linear_onnx: Path, tmp_path: Path) -> None:
    target = changed_target("ideal128x128", cell={"bits": 4})
    compile_model(linear_onnx, target, tmp_path / "bundle", CompileOptions(pack_cells=True))
    set_attribute(tmp_path / "bundle", "cell_bits", 2)
    with pytest.raises(Exception, match="stored_bits is 4, neither 8 nor 2, as cells of 2 bits are packed"):
        plain_session(tmp_path / "bundle")


def test_external_data_outside_the_bundle_are_refused_by_onnx_runtime(linear_onnx: Path, tmp_path: Path) -> None:
    compile_model(linear_onnx, "reram128x128", tmp_path / "bundle")
    shutil.copy(tmp_path / "bundle" / "tiles" / "proj.safetensors", tmp_path / "outside.safetensors")
    model = onnx.load(tmp_path / "bundle" / "model.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../outside.safetensors"
    onnx.save(model, tmp_path / "bundle" / "model.onnx")
    with pytest.raises(Exception, match=r"outside|escape|External data"):
        plain_session(tmp_path / "bundle")
