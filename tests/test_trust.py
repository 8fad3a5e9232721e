"""What a bundle says of itself is not believed: sessions and `rcompile check` hold it against the arrays."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hostile_bundles
import ml_dtypes
import numpy as np
import onnx
import pytest
from edited_bundles import change, first
from hostile_bundles import LAYER
from onnx import helper
from safetensors.numpy import load_file, save_file

import runtime
from rcompile import CompileOptions, compile_model
from rcompile.bundle.check import check
from rcompile.bundle.reader import Bundle
from rcompile.errors import BadInputError

SCHEMES = {
    "none": CompileOptions(keep_source=False),
    "paper": hostile_bundles.OPTIONS,
    "auto": CompileOptions(keep_source=False, protect="auto", allow_extra_crossbars=True),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    model = hostile_bundles.model(folder / "model.onnx")
    for scheme, options in SCHEMES.items():
        compile_model(model, hostile_bundles.TARGET, folder / scheme, options)
    return folder


@pytest.fixture
def bundle(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound / "paper", tmp_path / "bundle"))


def found(bundle: Path) -> str:
    return "\n".join(problem for _, problems in check(Bundle.open(bundle)) for problem in problems)


def node(graph: onnx.GraphProto) -> onnx.NodeProto:
    return next(n for n in graph.node if n.name == "/first/MatMul")


def attribute(name: str, value: object) -> Callable[[onnx.GraphProto], None]:
    def edit(graph: onnx.GraphProto) -> None:
        kept = [a for a in node(graph).attribute if a.name != name]
        del node(graph).attribute[:]
        node(graph).attribute.extend([*kept, helper.make_attribute(name, value)])

    return edit


def tensor(name: str, edit: Callable[[onnx.TensorProto], None]) -> Callable[[onnx.GraphProto], None]:
    return lambda graph: edit(next(t for t in graph.initializer if t.name == f"rcompile/first/{name}"))


def moved(held: onnx.TensorProto) -> None:
    """Onto the 16 bytes after."""
    offset = next(item for item in held.external_data if item.key == "offset")
    offset.value = str(int(offset.value) + 16)


def reshaped(held: onnx.TensorProto) -> None:
    held.dims[:] = [held.dims[0], held.dims[2], held.dims[1]]


def inline(held: onnx.TensorProto) -> None:
    held.ClearField("external_data")
    held.data_location = onnx.TensorProto.DEFAULT
    held.raw_data = np.full(hostile_bundles.OUTPUTS, 0.5, np.float32).tobytes()


def swapped(graph: onnx.GraphProto) -> None:
    """The scales in place of the bias."""
    node(graph).input[9] = node(graph).input[8]


def in_a_branch(graph: onnx.GraphProto) -> None:
    hidden = onnx.NodeProto()
    hidden.CopyFrom(node(graph))
    hidden.name, hidden.output[0] = "hidden", "hidden_out"
    out = helper.make_tensor_value_info("hidden_out", onnx.TensorProto.FLOAT, None)
    branch = helper.make_graph([hidden], "branch", [], [out])
    other = helper.make_graph([helper.make_node("Identity", ["x"], ["hidden_out"], name="none")], "other", [], [out])
    condition = helper.make_node("Constant", [], ["condition"], value=helper.make_tensor("c", 9, [], [True]))
    chosen = helper.make_node("If", ["condition"], ["chosen"], then_branch=branch, else_branch=other)
    graph.node.extend([condition, chosen])


GRAPHS = {
    "another attribute": (attribute("adc_bits", 2), "has adc_bits = 2, not 8"),
    "another leakage": (attribute("hrs_levels", "0.25"), "has hrs_levels = 0.25, not"),
    "another combiner": (attribute("combiner", "mean"), "has combiner = mean, not"),
    "a scale of inputs": (attribute("input_scale", 0.5), "has input_scale = 0.5, not 0.0"),
    "an attribute more": (attribute("more", 1), "has more = 1, not None"),
    "other bytes": (tensor("weight_scale", moved), "does not read the images of layer 'first'"),
    "another shape": (tensor("levels", reshaped), "does not read the images of layer 'first'"),
    "numbers of its own": (tensor("weight_scale", inline), "does not read the images of layer 'first'"),
    "another tensor": (swapped, "does not read the images of layer 'first'"),
    "a type that ONNX lacks": (
        tensor("weight_scale", lambda t: setattr(t, "data_type", 999)),
        "does not read the images of layer 'first'",
    ),
    "a crossbar in a branch": (in_a_branch, "node 'hidden' of layer 'first' is not in the manifest"),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_session_refuses_a_graph_that_is_not_the_manifests(name: str, bundle: Path) -> None:
    edit, message = GRAPHS[name]
    model = onnx.load(bundle / "model.onnx", load_external_data=False)
    edit(model.graph)
    onnx.save(model, bundle / "model.onnx")
    change(bundle, lambda manifest: None)
    assert message in found(bundle)
    with pytest.raises(BadInputError) as refused:
        runtime.load(bundle)
    assert message in str(refused.value)
    assert "ONNX Runtime refuses" not in str(refused.value)


MANIFESTS = {
    "another converter": (lambda m: m["target"]["adc"].update(bits=6), "has adc_bits = 8, not 6"),
    "another cell": (lambda m: m["target"]["cell"].update(g_hrs_siemens=1e-5), "has hrs_levels"),
    "likelier faults": (lambda m: m["target"]["faults"].update(sa0_rate=0.5), "has likelier_level = 0, not 3"),
    "another combiner": (lambda m: m.update(combiner="mean"), "has combiner ="),
    "another encoding": (lambda m: first(m)["encoding"].update(offset=0), "has weight_offset = 128, not 0"),
    "a calibrated input": (lambda m: first(m)["nodes"][0].update(input_scale=0.5), "has input_scale = 0.0, not 0.5"),
    "wider crossbars": (lambda m: m["target"]["crossbar"].update(cols=64), "levels of layer 'first' is"),
    "more tiles": (lambda m: first(m).update(tiles=7), "levels of layer 'first' is [6, 16, 32], 7 tiles"),
    "another node": (
        lambda m: first(m)["nodes"][0].update(name="other"),
        "node '/first/MatMul' of layer 'first' is not in",
    ),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_session_refuses_a_manifest_that_is_not_the_graphs(name: str, bundle: Path) -> None:
    edit, message = MANIFESTS[name]
    change(bundle, edit)
    assert found(bundle)
    with pytest.raises(BadInputError) as refused:
        runtime.load(bundle)
    assert message in str(refused.value)


def test_two_layers_of_one_name_are_refused(bundle: Path) -> None:
    change(bundle, lambda m: m["layers"][1].update(name=LAYER))
    with pytest.raises(BadInputError, match="two layers are named 'first'"):
        Bundle.open(bundle)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_the_compiler_says_is_proven(scheme: str, sound: Path) -> None:
    assert found(sound / scheme) == ""


def more(at: Callable[[dict[str, Any]], dict[str, Any]], key: str) -> Callable[[dict[str, Any]], None]:
    """A number is said to be one more than it is."""

    def edit(manifest: dict[str, Any]) -> None:
        at(manifest)[key] += 1

    return edit


def lies() -> Iterator[tuple[str, Callable[[dict[str, Any]], None], str]]:
    for key in ("crossbars_dense", "crossbars_pruned", "crossbars"):
        yield key, more(lambda m: m["ledger"][0], key), f"the ledger says {key} "
    for key in ("cells_dense", "cells_pruned", "cells_used", "cells"):
        yield key, more(lambda m: m["ledger"][1], key), f"the ledger says {key} "
    yield "ledger order", lambda m: m["ledger"].reverse(), "the ledger has not a row for each layer"
    yield "outputs", more(lambda m: m["protection"]["allocations"][LAYER][0], "outputs"), "does not hold the copies"
    yield (
        "copies",
        lambda m: m["protection"]["allocations"].update(first=[{"copies": [1, 1, 1, 5], "outputs": 13}]),
        ("layer 'first' does not hold the copies that protection.allocations lists"),
    )
    yield "a layer less", lambda m: m["protection"]["allocations"].pop(LAYER), "does not hold the copies"
    yield "a layer more", lambda m: m["protection"]["allocations"].update(third=[]), "lists 'third', which is no layer"
    yield "rates", lambda m: m["protection"].update(sa1=0.01), "protection is for rates"
    yield "error", lambda m: m["protection"].update(predicted_error=0.001), "predicted_error is 0.001, the images give"
    yield "no error", lambda m: m["protection"].update(predicted_error=None), "predicted_error is None, the images give"
    yield "unprotected", lambda m: m.update(protection=None), "which the summary of protection contradicts"
    unasked = {"protect": "none", "allow_extra_crossbars": False}
    yield "unasked", lambda m: m["options"].update(unasked) or m.update(protection=None), "but nothing is protected"


LIES = {name: (edit, message) for name, edit, message in lies()}


@pytest.mark.parametrize("name", LIES)
def test_check_recomputes_ledger_and_protection(name: str, bundle: Path) -> None:
    edit, message = LIES[name]
    change(bundle, edit)
    assert message in found(bundle)


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, np.float16])
def test_tensors_of_other_types_are_one_message(dtype: type, bundle: Path) -> None:
    path = bundle / "tiles" / "first.safetensors"
    tensors = load_file(path)
    tensors["weight_scale"] = tensors["weight_scale"].astype(dtype)
    save_file(tensors, path)
    change(bundle, lambda manifest: None)
    layer = dict(check(Bundle.open(bundle)))["layer first"]
    assert len(layer) == 1
    assert "tensor 'weight_scale' of 'tiles/first.safetensors' is" in layer[0]
    assert "in the manifest F32 [13]" in layer[0]


def test_a_type_that_safetensors_lacks(bundle: Path) -> None:
    path = bundle / "tiles" / "first.safetensors"
    path.write_bytes(path.read_bytes().replace(b'"F32"', b'"X99"', 1))
    change(bundle, lambda manifest: None)
    (problem,) = dict(check(Bundle.open(bundle)))["layer first"]
    assert "'first.safetensors' is not a safetensors file" in problem
    with pytest.raises(BadInputError, match="is not a safetensors file"):
        runtime.load(bundle)
