"""Host graph: the source model with each mapped linear replaced by one `ai.rcompile:CrossbarMatMul` node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir
from onnx_ir.passes.common import ClearMetadataAndDocStringPass, RemoveUnusedNodesPass, RemoveUnusedOpsetsPass

from rcompile.bundle.manifest import LayerEntry, NodeEntry
from rcompile.bundle.tile_file import TensorSpan
from rcompile.hardware.target import Target
from rcompile.layout.normal_form import MAPS
from rcompile.onnx_in.linears import Linear, Use
from rcompile.onnx_in.names import LABELS
from rcompile.onnx_in.read import OWN_PREFIX, every_initializer
from rcompile.vocabulary import Combiner

Attribute = int | float | str | tuple[int, ...]
DOMAIN = "ai.rcompile"
OP_TYPE = "CrossbarMatMul"
OP_VERSION = 1
# Inputs of the node after x, in order; `bias` is per node.
NODE_TENSORS = (
    "levels",
    *MAPS,
    "bitline_inverted",
    "weight_scale",
)
DTYPES = {"U8": ir.DataType.UINT8, "I8": ir.DataType.INT8, "I32": ir.DataType.INT32, "F32": ir.DataType.FLOAT}
HOST_DATA = "host.data"
# ONNX's protobuf cannot exceed 2 GiB, and ONNX Runtime maps external data: only small constants stay in model.onnx.
INLINE_BYTES = 1024


@dataclass(frozen=True, eq=False)
class MappedLayer:
    """A linear whose tiles are written: its entry in the manifest, and where the tensors of its file lie."""

    linear: Linear
    entry: LayerEntry
    tensors: dict[str, TensorSpan]


@dataclass(frozen=True)
class NodeFormat:
    """What all crossbar nodes of a bundle have in common. stored_bits: that a cell takes in a tile file."""

    target: Target
    stored_bits: int
    combiner: Combiner

    def attributes(self, layer: LayerEntry, node: NodeEntry) -> dict[str, Attribute]:
        """The attributes of a node, by name; docs/bundle.md lists them."""
        return {
            "layer": layer.name,
            "inputs": layer.inputs,
            "outputs": layer.outputs,
            "digits": layer.encoding.digits,
            "weight_offset": layer.encoding.offset,
            "stored_bits": self.stored_bits,
            "input_scale": node.input_scale or 0.0,
            "combiner": self.combiner,
            **self.target.node_attributes,
        }


def rewrite_host(model: ir.Model, layers: Sequence[MappedLayer], node_format: NodeFormat, bundle: Path) -> ir.Model:
    """The host graph, its large constants moved to `bundle`/host.data. Changes `model`, which is spent afterwards."""
    graph = model.graph
    for layer in layers:
        shared = [_initializer(graph, layer, name) for name in NODE_TENSORS]
        biases = {name: _initializer(graph, layer, name) for name in dict.fromkeys(n.bias for n in layer.entry.nodes)}
        for use, node in zip(layer.linear.uses, layer.entry.nodes, strict=True):
            _replace(graph, use, [*shared, biases[node.bias]], node_format.attributes(layer.entry, node))
    model.opset_imports[DOMAIN] = OP_VERSION
    labels = {key: value for key, value in model.metadata_props.items() if key == LABELS}
    # Docstrings and metadata hold stack traces with absolute paths.
    for clean in (RemoveUnusedNodesPass(), RemoveUnusedOpsetsPass(), ClearMetadataAndDocStringPass()):
        model = clean(model).model
    model.metadata_props.clear()
    model.metadata_props.update(labels)
    model.producer_name, model.producer_version = "rcompile", ""
    _move_constants(model, bundle)
    return model


def _initializer(graph: ir.Graph, layer: MappedLayer, name: str) -> ir.Value:
    span = layer.tensors[name]
    shape = ir.Shape(span.shape)
    full = f"{OWN_PREFIX}{layer.linear.name}/{name}"
    tensor = ir.ExternalTensor(layer.entry.file, span.offset, span.length, DTYPES[span.dtype], shape=shape, name=full)
    value = ir.Value(name=full, shape=shape, type=ir.TensorType(DTYPES[span.dtype]), const_value=tensor)
    graph.register_initializer(value)
    return value


def _replace(graph: ir.Graph, use: Use, constants: list[ir.Value], attributes: dict[str, Attribute]) -> None:
    """Put the crossbar node in the place of the product and of the bias Add that it absorbs."""
    new: list[ir.Node] = []
    x = use.x
    if use.dtype != ir.DataType.FLOAT:
        new.append(_cast(x, ir.DataType.FLOAT, f"{OWN_PREFIX}{use.name}/to_float"))
        x = new[-1].outputs[0]
    new.append(ir.node(OP_TYPE, [x, *constants], attributes, domain=DOMAIN, name=use.name))
    if use.dtype != ir.DataType.FLOAT:
        new[-1].outputs[0].name = f"{OWN_PREFIX}{use.name}/product"
        new.append(_cast(new[-1].outputs[0], use.dtype, f"{OWN_PREFIX}{use.name}/from_float"))
    result = new[-1].outputs[0]
    result.type, result.shape = ir.TensorType(use.dtype), use.result.shape
    last = use.tail or use.node
    graph.insert_after(last, new)
    name = use.result.name
    use.result.replace_all_uses_with(result, replace_graph_outputs=True)
    graph.remove([use.node, use.tail] if use.tail else use.node, safe=True)
    result.name = name


def _cast(x: ir.Value, to: ir.DataType, name: str) -> ir.Node:
    """A Cast whose node and value have a name that no source model has."""
    node = ir.node("Cast", [x], {"to": to.value}, name=name)
    node.outputs[0].name = name
    return node


def _move_constants(model: ir.Model, bundle: Path) -> None:
    """Write every large initializer that is not a crossbar's to host.data; source files outside the bundle are then no
    longer needed.
    """
    held = [
        (value, tensor)
        for value in every_initializer(model)
        if (tensor := value.const_value) is not None
        and not str(value.name).startswith(OWN_PREFIX)
        and tensor.dtype != ir.DataType.STRING
    ]
    large = [(value, tensor) for value, tensor in held if tensor.nbytes > INLINE_BYTES]
    moved = ir.external_data.convert_tensors_to_external([t for _, t in large], bundle, HOST_DATA) if large else []
    for (value, _), external in zip(large, moved, strict=True):
        value.const_value = external
    for value, tensor in held:
        if isinstance(value.const_value, ir.ExternalTensor) and tensor.nbytes <= INLINE_BYTES:
            value.const_value = ir.Tensor(tensor.numpy().copy(), name=value.name)
