"""Make the demo's ONNX file small enough to ship: fp16 weights, int8 word embeddings with a scale a row.

    python docs/demo/shrink.py build/demo-train docs/demo/sst2-minilm.onnx

The input is the Hugging Face directory that `train.py` wrote. Needs what `rcompile export` needs.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx_ir as ir

from rcompile.export import export_model

SMALL_BYTES = 1024
BYTES_LIMIT = 25_000_000


def shrink(model: ir.Model) -> None:
    """Replace every large float initializer by a smaller one and the nodes that restore it."""
    graph = model.graph
    for value in list(graph.initializers.values()):
        tensor = value.const_value
        if tensor is None or tensor.dtype != ir.DataType.FLOAT or tensor.nbytes <= SMALL_BYTES:
            continue
        array = tensor.numpy()
        if str(value.name).endswith("word_embeddings.weight"):
            quantize_embedding(graph, value, array)
        else:
            half = initializer(graph, f"{value.name}", array.astype(np.float16), replaces=value)
            cast = ir.node("Cast", [half], {"to": ir.DataType.FLOAT.value}, name=f"{value.name}/to_float")
            replace(graph, value, cast)


def quantize_embedding(graph: ir.Graph, table: ir.Value, array: np.ndarray) -> None:
    """Gather int8 rows and their scales instead of float rows."""
    scale = np.maximum(np.abs(array).max(axis=1, keepdims=True) / 127, np.finfo(np.float32).tiny).astype(np.float32)
    codes = initializer(graph, str(table.name), np.rint(array / scale).astype(np.int8), replaces=table)
    scales = initializer(graph, f"{table.name}_scale", scale)
    for gather, _ in list(table.uses()):
        rows = ir.node("Gather", [codes, gather.inputs[1]], name=f"{gather.name}/codes")
        floats = ir.node("Cast", [rows.outputs[0]], {"to": ir.DataType.FLOAT.value}, name=f"{gather.name}/to_float")
        factors = ir.node("Gather", [scales, gather.inputs[1]], name=f"{gather.name}/scale")
        product = ir.node("Mul", [floats.outputs[0], factors.outputs[0]], name=f"{gather.name}/dequantized")
        graph.insert_before(gather, [rows, floats, factors, product])
        gather.outputs[0].replace_all_uses_with(product.outputs[0])
        graph.remove(gather, safe=True)


def initializer(graph: ir.Graph, name: str, array: np.ndarray, replaces: ir.Value | None = None) -> ir.Value:
    if replaces is not None:
        graph.initializers.pop(str(replaces.name))
        replaces.name = f"{name}.float"
    tensor = ir.Tensor(array, name=name)
    value = ir.Value(name=name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.register_initializer(value)
    return value


def replace(graph: ir.Graph, old: ir.Value, restore: ir.Node) -> None:
    first = next(node for node in graph if old in node.inputs)
    graph.insert_before(first, restore)
    old.replace_all_uses_with(restore.outputs[0])


def main(source: Path, out: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        exported = Path(scratch) / "model.onnx"
        export_model(str(source), exported)
        model = ir.load(exported)
        shrink(model)
        ir.save(model, out)
        (out.parent / "tokenizer.json").write_bytes((Path(scratch) / "tokenizer.json").read_bytes())
    size = out.stat().st_size + (out.parent / "tokenizer.json").stat().st_size
    if size > BYTES_LIMIT:
        raise SystemExit(f"{size} bytes are more than {BYTES_LIMIT}: train with a smaller --vocabulary")
    print(f"{out}: {size:,} bytes with its tokenizer")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
