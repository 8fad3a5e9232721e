"""Codes in disguise: `Mul(Cast(codes), scale)` is what DequantizeLinear says, and becomes that, so that the codes are
found. Exporters that know no quantization write weights so.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rcompile.onnx_in.constants import STANDARD_DOMAINS
from rcompile.onnx_in.names import unique

FIRST_OPSET = 13  # whose DequantizeLinear has an axis
CODES = {ir.DataType.INT8, ir.DataType.UINT8}


def name_codes(model: ir.Model, opset: int) -> None:
    """Replace every such product of the main graph. Changes `model`; nothing before opset 13."""
    if opset < FIRST_OPSET:
        return
    graph = model.graph
    taken = {name.lower() for name in graph.initializers}
    for product in [node for node in graph if node.op_type == "Mul" and node.domain in STANDARD_DOMAINS]:
        for factor, scale in (product.inputs, tuple(reversed(product.inputs))):
            cast = None if factor is None else factor.producer()
            codes = None if cast is None else _codes(cast)
            if cast is None or codes is None or scale is None or scale.const_value is None:
                continue
            axis = _axis(scale.const_value, codes.shape)
            if axis is not None:
                _replace(product, cast, codes, scale.const_value, axis, unique(f"{product.name}/codes_scale", taken))
                break


def _codes(cast: ir.Node) -> ir.Value | None:
    """The stored codes that a Cast makes float32."""
    codes = cast.inputs[0] if cast.op_type == "Cast" and cast.domain in STANDARD_DOMAINS else None
    if codes is None or not codes.is_initializer() or codes.const_value is None:
        return None
    to_float = ir.DataType(cast.attributes["to"].as_int()) == ir.DataType.FLOAT
    return codes if codes.const_value.dtype in CODES and to_float else None


def _axis(scale: ir.TensorProtocol, shape: ir.Shape | None) -> int | None:
    """The axis of the codes that the scales belong to, 0 for a single scale; None if they do not run along one."""
    if shape is None or scale.dtype != ir.DataType.FLOAT or len(scale.shape) > len(shape):
        return None
    dims = [1] * (len(shape) - len(scale.shape)) + [int(d) for d in scale.shape.numpy()]
    along = [axis for axis, size in enumerate(dims) if size != 1]
    if len(along) > 1 or any(dims[axis] != shape[axis] for axis in along):
        return None
    return along[0] if along else 0


def _replace(product: ir.Node, cast: ir.Node, codes: ir.Value, scale: ir.TensorProtocol, axis: int, name: str) -> None:
    graph = product.graph
    assert isinstance(graph, ir.Graph)  # the one that it was found in
    values = np.asarray(scale.numpy(), np.float32).reshape(-1)
    tensor = ir.Tensor(values.reshape(()) if values.size == 1 else values, name=name)
    stored = ir.Value(name=name, shape=tensor.shape, type=ir.TensorType(ir.DataType.FLOAT), const_value=tensor)
    graph.register_initializer(stored)
    node = ir.node("DequantizeLinear", [codes, stored], {"axis": axis}, name=f"{product.name}/codes")
    old, new = product.outputs[0], node.outputs[0]
    new.name, new.type, new.shape = f"{name}d", ir.TensorType(ir.DataType.FLOAT), codes.shape
    graph.insert_after(product, node)
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    graph.remove(product, safe=True)
    if not any(v.uses() or v.is_graph_output() for v in cast.outputs):
        graph.remove(cast, safe=True)
