"""Bundles that break the normal form, one rule each, under digests and a graph that were made to fit."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper
from safetensors.numpy import load_file, save
from small_models import changed_target, save_model

from rcompile import CompileOptions
from rcompile.bundle.tile_file import tensor_spans
from rcompile.canonical import file_sha256
from rcompile.hardware.target import Target
from rcompile.layout.form import Form
from rcompile.layout.normal_form import Tiles
from rcompile.layout.rules import broken_rules
from runtime.ort.library import device

LAYER = "first"
# Six tiles, three a row block: of 16 and of 4 driven wordlines; five outputs a tile, and three in the last of a row
# block; an output takes bitlines for digits 0, 1 and 2, and three for digit 3; the last two bitlines are unused.
TARGET = changed_target("reram128x128", crossbar={"rows": 16, "cols": 32, "active_rows": 8})
OPTIONS = CompileOptions(keep_source=False, protect="paper", allow_extra_crossbars=True)
INPUTS, OUTPUTS, TILES = 20, 13, 6
UNUSED = 31
DTYPES = {"U8": TensorProto.UINT8, "I8": TensorProto.INT8, "I32": TensorProto.INT32, "F32": TensorProto.FLOAT}
# The tensors of the layer by name, and its numbers of inputs and outputs.
Arrays = dict[str, Any]
Edit = Callable[[Arrays], None]


def model(path: Path) -> Path:
    """Two linears, the first of which is edited."""
    rng = np.random.default_rng(0)
    constants = {
        "first.weight": rng.normal(0, 0.1, (INPUTS, OUTPUTS)).astype(np.float32),
        "first.bias": rng.normal(0, 0.1, OUTPUTS).astype(np.float32),
        "second.weight": rng.normal(0, 0.1, (OUTPUTS, 4)).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "first.weight"], ["h"], name="/first/MatMul"),
        helper.make_node("Add", ["h", "first.bias"], ["z"], name="/first/Add"),
        helper.make_node("MatMul", ["z", "second.weight"], ["y"], name="/second/MatMul"),
    ]
    shapes = ({"x": (TensorProto.FLOAT, ["b", INPUTS])}, {"y": (TensorProto.FLOAT, ["b", 4])})
    return save_model(path, nodes, constants, *shapes)


def codes_in(text: str) -> list[str]:
    """The codes of the rules that a message names."""
    return re.findall(r"\[([a-z]+(?:-[a-z]+)+)\]", text)


def codes_of(tiles: Tiles, target: Target, inputs: int, outputs: int) -> list[str]:
    """The codes of the rules that tiles break on their own."""
    scale = np.ones(outputs, np.float32)
    form = Form(tiles, scale, {"bias.0": scale}, inputs, outputs, target, np.empty(0, np.int32))
    return [wrong.code for wrong in broken_rules(form)]


def plain_session(bundle: Path) -> ort.InferenceSession:
    """A bundle's host graph as any program would load it, without this package's checks."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.add_provider_for_devices([device()], {})
    return ort.InferenceSession(str(bundle / "model.onnx"), options)


def damage(bundle: Path, edit: Edit) -> None:
    """Edit the first layer, and make file, graph, manifest and digests agree with it."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    entry = next(e for e in manifest["layers"] if e["name"] == LAYER)
    path = bundle / entry["file"]
    arrays: Arrays = {k: v.copy() for k, v in load_file(path).items()}
    arrays |= {"inputs": entry["inputs"], "outputs": entry["outputs"]}
    edit(arrays)
    sizes = {name: arrays.pop(name) for name in ("inputs", "outputs")}
    path.write_bytes(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))
    spans = tensor_spans(path)
    entry |= sizes
    entry["tensors"] = {name: {"dtype": s.dtype, "shape": list(s.shape)} for name, s in spans.items()}
    graph = onnx.load(bundle / "model.onnx", load_external_data=False)
    for tensor in graph.graph.initializer:
        layer, name = tensor.name.split("/")[1:]
        if layer == LAYER:
            tensor.data_type = DTYPES[spans[name].dtype]
            tensor.dims[:] = spans[name].shape
            for item in tensor.external_data:
                if item.key in ("offset", "length"):
                    item.value = str(getattr(spans[name], item.key))
    node = next(n for n in graph.graph.node if n.name == "/first/MatMul")
    for attribute in (a for a in node.attribute if a.name in sizes):
        attribute.i = sizes[attribute.name]
    onnx.save(graph, bundle / "model.onnx")
    for name in (entry["file"], "model.onnx"):
        size, digest = (bundle / name).stat().st_size, file_sha256(bundle / name)
        manifest["files"][name] = {"bytes": size, "sha256": digest}
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def put(name: str, at: Any, value: Any) -> Edit:
    """Numbers in an array."""

    def edit(arrays: Arrays) -> None:
        arrays[name][at] = value

    return edit


def remade(name: str, make: Callable[[np.ndarray], Any]) -> Edit:
    """An array made of the one there is."""

    def edit(arrays: Arrays) -> None:
        arrays[name] = make(arrays[name])

    return edit


def both(*edits: Edit) -> Edit:
    """One edit after the other."""

    def edit(arrays: Arrays) -> None:
        for one in edits:
            one(arrays)

    return edit


def as_type(name: str, dtype: type) -> Edit:
    return remade(name, lambda array: array.astype(dtype))


def cut(name: str, axis: int) -> Edit:
    """An array without its last line."""
    return remade(name, lambda array: array.take(range(array.shape[axis] - 1), axis))


def longer(name: str) -> Edit:
    return remade(name, lambda array: np.concatenate([array, array[:1]]))


def bitline(tile: int, col: int, output: int, digit: int, replica: int) -> Edit:
    values = {"output": output, "digit": digit, "replica": replica}
    return both(*(put(f"bitline_{name}", (tile, col), value) for name, value in values.items()))


def permuted(arrays: Arrays) -> None:
    for name in ("wordline_input", "levels"):
        arrays[name][1] = arrays[name][1, ::-1].copy()


def copied(arrays: Arrays) -> None:
    for name in ("levels", "bitline_output", "bitline_digit", "bitline_replica", "bitline_inverted"):
        arrays[name][1] = arrays[name][0]


def no_tiles(arrays: Arrays) -> None:
    for name in arrays:
        if name not in ("inputs", "outputs", "weight_scale", "bias.0"):
            arrays[name] = arrays[name][:0]


def flipped(at: tuple[Any, ...]) -> Edit:
    def edit(arrays: Arrays) -> None:
        arrays["levels"][at] ^= 1

    return edit


def inverted(col: int) -> Edit:
    def edit(arrays: Arrays) -> None:
        arrays["bitline_inverted"][0, col] ^= 1

    return edit


BLOCK, LATER = slice(0, 3), slice(3, 6)  # the tiles of the two row blocks
LEAD, COPY, LAST_COPY = 15, 20, 25  # of output 0, or whichever comes first in tile 0: the replicas of digit 3
# Name: the edit, and the rule that it breaks.
HOSTILE: dict[str, tuple[Edit, str]] = {
    "signed levels": (as_type("levels", np.int8), "array-type"),
    "wide levels": (as_type("levels", np.int32), "array-type"),
    "crossbars of floats": (as_type("crossbar", np.float32), "array-type"),
    "wordlines of floats": (as_type("wordline_input", np.float32), "array-type"),
    "outputs in a byte": (as_type("bitline_output", np.int8), "array-type"),
    "wide digits": (as_type("bitline_digit", np.int32), "array-type"),
    "wide replicas": (as_type("bitline_replica", np.int32), "array-type"),
    "signed inversions": (as_type("bitline_inverted", np.int8), "array-type"),
    "whole scales": (as_type("weight_scale", np.int32), "array-type"),
    "whole biases": (as_type("bias.0", np.int32), "array-type"),
    "a wordline less in levels": (cut("levels", 1), "array-shape"),
    "a bitline less in levels": (cut("levels", 2), "array-shape"),
    "a tile more in levels": (longer("levels"), "array-shape"),
    "flat levels": (remade("levels", np.ravel), "array-shape"),
    "a crossbar less": (cut("crossbar", 0), "array-shape"),
    "a crossbar more": (longer("crossbar"), "array-shape"),
    "crossbars in a column": (remade("crossbar", lambda a: a[:, None]), "array-shape"),
    "a wordline less": (cut("wordline_input", 1), "array-shape"),
    "wordlines of a tile less": (cut("wordline_input", 0), "array-shape"),
    "a bitline less in outputs": (cut("bitline_output", 1), "array-shape"),
    "digits transposed": (remade("bitline_digit", np.transpose), "array-shape"),
    "replicas of a tile more": (longer("bitline_replica"), "array-shape"),
    "flat inversions": (remade("bitline_inverted", np.ravel), "array-shape"),
    "a scale less": (cut("weight_scale", 0), "array-shape"),
    "one scale for all": (remade("weight_scale", lambda a: a[:1]), "array-shape"),
    "a bias more": (longer("bias.0"), "array-shape"),
    "no tile": (no_tiles, "array-shape"),
    "fewer outputs than scales": (lambda a: a.update(outputs=OUTPUTS - 1), "array-shape"),
    "too many inputs": (lambda a: a.update(inputs=(1 << 16) + 1), "layer-size"),
    "far too many inputs": (lambda a: a.update(inputs=1 << 29), "layer-size"),
    "a level above the top": (put("levels", (0, 0, 0), 4), "level-range"),
    "a level of 255": (put("levels", (5, 3, 1), 255), "level-range"),
    "a level above the top in an unused cell": (put("levels", (5, 15, UNUSED), 4), "level-range"),
    "crossbar -1": (put("crossbar", 0, -1), "crossbar-range"),
    "the least crossbar": (put("crossbar", 5, -(1 << 31)), "crossbar-range"),
    "wordline of input -2": (put("wordline_input", (0, 0), -2), "input-range"),
    "wordline of the input after the last": (put("wordline_input", (5, 3), INPUTS), "input-range"),
    "wordline of a huge input": (put("wordline_input", (0, 0), (1 << 31) - 1), "input-range"),
    "fewer inputs than driven": (lambda a: a.update(inputs=INPUTS - 1), "input-range"),
    "bitline of output -2": (put("bitline_output", (0, 0), -2), "output-range"),
    "bitline of the output after the last": (put("bitline_output", (0, 0), OUTPUTS), "output-range"),
    "unused bitline of a huge output": (put("bitline_output", (5, UNUSED), (1 << 31) - 1), "output-range"),
    "the digit after the last": (put("bitline_digit", (0, 0), 4), "digit-range"),
    "digit 255": (put("bitline_digit", (5, 0), 255), "digit-range"),
    "an unused bitline of digit 9": (put("bitline_digit", (0, UNUSED), 9), "digit-range"),
    "replica 15": (put("bitline_replica", (0, COPY), 15), "replica-range"),
    "replica 255": (put("bitline_replica", (0, COPY), 255), "replica-range"),
    "an unused bitline of replica 15": (put("bitline_replica", (0, UNUSED), 15), "replica-range"),
    "inversion 2": (put("bitline_inverted", (0, 0), 2), "inversion-range"),
    "inversion 255": (put("bitline_inverted", (5, 0), 255), "inversion-range"),
    "an unused bitline of inversion 2": (put("bitline_inverted", (0, UNUSED), 2), "inversion-range"),
    "scale 0": (put("weight_scale", 0, 0), "scale-range"),
    "a negative scale": (put("weight_scale", 0, -1), "scale-range"),
    "a scale of NaN": (put("weight_scale", 11, np.nan), "scale-range"),
    "an infinite scale": (put("weight_scale", 0, np.inf), "scale-range"),
    "a bias of NaN": (put("bias.0", 0, np.nan), "bias-range"),
    "an infinite bias": (put("bias.0", 11, -np.inf), "bias-range"),
    "two tiles on a crossbar": (put("crossbar", 1, 0), "crossbar-twice"),
    "first and last tile on a crossbar": (put("crossbar", 5, 0), "crossbar-twice"),
    "a crossbar of the other layer": (put("crossbar", 5, TILES), "crossbar-shared"),
    "the last crossbar of the other layer": (put("crossbar", 0, TILES), "crossbar-shared"),
    "an input on two wordlines": (put("wordline_input", (BLOCK, 1), 0), "input-twice"),
    "an input on a free wordline as well": (put("wordline_input", (LATER, 15), 16), "input-twice"),
    "an input on two wordlines of one tile": (put("wordline_input", (4, 1), 16), "input-twice"),
    "an input in two row blocks": (put("wordline_input", (LATER, 10), 0), "input-in-two-blocks"),
    "a tile with its wordlines in another order": (permuted, "input-in-two-blocks"),
    "a tile with a wordline less": (
        both(put("wordline_input", (1, 0), -1), put("levels", (1, 0), 0)),
        "input-in-two-blocks",
    ),
    "an output in two tiles": (remade("bitline_output", lambda a: np.where(a == a[1, 0], a[0, 0], a)), "digit-twice"),
    "a tile twice": (copied, "digit-twice"),
    "a digit in two tiles": (bitline(1, UNUSED, 0, 3, 0), "digit-twice"),
    "used bitlines without an input": (
        both(put("wordline_input", LATER, -1), put("levels", LATER, 0)),
        "bitline-without-inputs",
    ),
    "a tile without an input": (
        both(put("wordline_input", 5, -1), put("levels", 5, 0)),
        "bitline-without-inputs",
    ),
    "a level on an unused bitline": (put("levels", (0, 3, UNUSED), 1), "unused-cell"),
    "a level on an unused wordline": (put("levels", (3, 9, 0), 1), "unused-cell"),
    "a level where both are unused": (put("levels", (3, 9, UNUSED), 1), "unused-cell"),
    "a level in the last cell": (put("levels", (5, 15, UNUSED), 3), "unused-cell"),
    "a bitline let go with its levels": (put("bitline_output", (0, 0), -1), "unused-cell"),
    "a wordline let go with its levels": (put("wordline_input", (LATER, 3), -1), "unused-cell"),
    "replica 2 twice": (put("bitline_replica", (0, COPY), 2), "replica-numbers"),
    "replica 0 twice": (put("bitline_replica", (0, COPY), 0), "replica-numbers"),
    "a lone replica 1": (put("bitline_replica", (0, 0), 1), "replica-numbers"),
    "replica 1 let go": (
        both(put("bitline_output", (0, COPY), -1), put("levels", (0, slice(None), COPY), 0)),
        "replica-numbers",
    ),
    "a replica in another tile": (bitline(1, UNUSED, 0, 3, 3), "replica-numbers"),
    "an inverted copy": (inverted(COPY), "replica-inversion"),
    "an inverted original": (inverted(LEAD), "replica-inversion"),
    "another level in a copy": (flipped((0, 0, COPY)), "replica-levels"),
    "another level in the last copy": (flipped((0, 15, LAST_COPY)), "replica-levels"),
    "another level in an original": (flipped((0, 7, LEAD)), "replica-levels"),
}
