"""BERT-shaped ONNX models with random weights, built without torch: as an exporter writes them, in any size."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


@dataclass(frozen=True)
class Shape:
    """The size of a BERT. external_data: protobuf cannot hold its weights in one file."""

    name: str
    layers: int
    hidden: int
    heads: int
    intermediate: int
    vocabulary: int = 30522
    external_data: bool = False

    @property
    def mapped_weights(self) -> int:
        """Weights of the linears: what a compile puts on crossbars."""
        layer = 4 * self.hidden * self.hidden + 2 * self.hidden * self.intermediate
        return self.layers * layer + self.hidden * self.hidden + 2 * self.hidden

    @property
    def weights(self) -> int:
        """Linears and word embeddings."""
        return self.mapped_weights + self.vocabulary * self.hidden


MINILM = Shape("MiniLM-L6", 6, 384, 12, 1536)
BERT_BASE = Shape("BERT-base", 12, 768, 12, 3072)
BERT_1B = Shape("BERT-1.3B", 24, 2048, 32, 8192, vocabulary=50_000, external_data=True)

# A tensor of fewer bytes stays in the ONNX file, so that shapes can be read.
SMALL_BYTES = 1024
PAGE_BYTES = 4096


class _Graph:
    """Nodes and initializers in an exporter's order. data: where large tensors are written; None: into the model."""

    def __init__(self, seed: int, data: BinaryIO | None) -> None:
        self.data = data
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.rng = np.random.default_rng(seed)

    def op(self, kind: str, *inputs: str, **attributes: object) -> str:
        output = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=f"/{output}/{kind}", **attributes))
        return output

    def constant(self, name: str, array: np.ndarray) -> str:
        inside = self.data is None or array.nbytes < SMALL_BYTES
        self.constants.append(numpy_helper.from_array(array, name) if inside else self.external(name, array))
        return name

    def external(self, name: str, array: np.ndarray) -> onnx.TensorProto:
        assert self.data is not None
        offset = self.data.seek(-self.data.tell() % PAGE_BYTES, 1)
        self.data.write(array.data)
        element = helper.np_dtype_to_tensor_dtype(array.dtype)
        tensor = onnx.TensorProto(name=name, data_type=element, dims=array.shape, data_location=TensorProto.EXTERNAL)
        where = {"location": Path(self.data.name).name, "offset": offset, "length": array.nbytes}
        for key, value in where.items():
            tensor.external_data.add(key=key, value=str(value))
        return tensor

    def normal(self, name: str, *shape: int) -> str:
        return self.constant(name, self.rng.standard_normal(shape, np.float32) * np.float32(0.05))

    def ints(self, *values: int) -> str:
        return self.constant(f"ints{len(self.constants)}", np.array(values, np.int64))

    def scalar(self, value: float) -> str:
        return self.constant(f"scalar{len(self.constants)}", np.array(value, np.float32))

    def linear(self, x: str, name: str, inputs: int, outputs: int) -> str:
        product = self.op("MatMul", x, self.normal(f"{name}.weight", inputs, outputs))
        return self.op("Add", product, self.normal(f"{name}.bias", outputs))

    def norm(self, x: str, name: str, hidden: int) -> str:
        scale = self.constant(f"{name}.weight", np.ones(hidden, np.float32))
        return self.op("LayerNormalization", x, scale, self.normal(f"{name}.bias", hidden), axis=-1, epsilon=1e-12)

    def gelu(self, x: str) -> str:
        erf = self.op("Erf", self.op("Div", x, self.scalar(2.0**0.5)))
        return self.op("Mul", self.op("Mul", x, self.op("Add", erf, self.scalar(1.0))), self.scalar(0.5))


def write_bert(shape: Shape, path: Path, seed: int = 0) -> Path:
    """Write a two-way sequence classifier of this shape; external data beside it, a tensor at a time."""
    with ExitStack() as stack:
        data = stack.enter_context(path.with_name(f"{path.name}.data").open("wb")) if shape.external_data else None
        onnx.save(_bert(shape, _Graph(seed, data)), path)
    return path


def _bert(shape: Shape, g: _Graph) -> onnx.ModelProto:
    size, hidden = shape.hidden // shape.heads, shape.hidden
    words = g.op("Gather", g.normal("embeddings.word_embeddings.weight", shape.vocabulary, hidden), "input_ids")
    mask = g.op("Cast", g.op("Unsqueeze", "attention_mask", g.ints(1, 2)), to=TensorProto.FLOAT)
    mask = g.op("Mul", g.op("Sub", g.scalar(1.0), mask), g.scalar(-10000.0))
    x = g.norm(words, "embeddings.LayerNorm", hidden)
    for i in range(shape.layers):
        name = f"encoder.layer.{i}"

        def heads(kind: str, perm: list[int], x: str = x, name: str = name) -> str:
            projected = g.linear(x, f"{name}.attention.self.{kind}", hidden, hidden)
            split = g.op("Reshape", projected, g.ints(0, 0, shape.heads, size))
            return g.op("Transpose", split, perm=perm)

        query, key, value = (
            heads(k, p) for k, p in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3]))
        )
        scores = g.op("Div", g.op("MatMul", query, key), g.scalar(size**0.5))
        weights = g.op("Softmax", g.op("Add", scores, mask), axis=-1)
        merged = g.op("Transpose", g.op("MatMul", weights, value), perm=[0, 2, 1, 3])
        context = g.op("Reshape", merged, g.ints(0, 0, hidden))
        attended = g.linear(context, f"{name}.attention.output.dense", hidden, hidden)
        x = g.norm(g.op("Add", attended, x), f"{name}.attention.output.LayerNorm", hidden)
        up = g.gelu(g.linear(x, f"{name}.intermediate.dense", hidden, shape.intermediate))
        down = g.linear(up, f"{name}.output.dense", shape.intermediate, hidden)
        x = g.norm(g.op("Add", down, x), f"{name}.output.LayerNorm", hidden)
    first = g.op("Gather", x, g.constant("zero", np.array(0, np.int64)), axis=1)
    pooled = g.op("Tanh", g.linear(first, "pooler.dense", hidden, hidden))
    g.op("Identity", g.linear(pooled, "classifier", hidden, 2))
    g.nodes[-1].output[0] = "logits"
    ids = [
        helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "tokens"])
        for n in ("input_ids", "attention_mask")
    ]
    logits = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])]
    return helper.make_model(
        helper.make_graph(g.nodes, shape.name, ids, logits, g.constants),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
