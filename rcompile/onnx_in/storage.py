"""What the tensors of an ONNX file hold, checked before anything is made of it: a shape is a claim, and a location a
path that another chose.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx.helper import tensor_dtype_to_field
from onnx_ir import DataType

from rcompile.errors import BadInputError

COMPLEX = (DataType.COMPLEX64, DataType.COMPLEX128)  # two entries of a field make a number
PACKED_BITS = (2, 4)  # several numbers make an entry


def check_storage(model: onnx.ModelProto, path: Path) -> None:
    """Every tensor must hold as many bytes as its shape and type say, in the file at `path` or in one of its folder.

    Raises BadInputError.
    """
    for tensor in _tensors_of(model):
        try:
            _check(tensor, path.absolute().parent)
        except ValueError as wrong:
            raise BadInputError(f"'{path}': tensor '{tensor.name}' {wrong}.") from None


def _tensors_of(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor: initializers, and attributes of nodes in graphs, in their branches and in functions."""
    yield from _tensors(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from _tensors_of_node(node)


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _tensors_of_node(node)


def _tensors_of_node(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    for attribute in node.attribute:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        for graph in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
            yield from _tensors(graph)


def _check(tensor: onnx.TensorProto, folder: Path) -> None:
    """Raises ValueError, which says what is wrong with the tensor."""
    if tensor.data_type not in set(DataType) or tensor.data_type == DataType.UNDEFINED:
        raise ValueError(f"is of type {tensor.data_type}, which ONNX does not define")
    if any(d < 0 for d in tensor.dims):
        raise ValueError(f"has shape {list(tensor.dims)}")
    dtype, size = DataType(tensor.data_type), math.prod(tensor.dims)
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        _check_external(tensor, 0 if dtype == DataType.STRING else _bytes(dtype, size), folder)
        return
    held = [f.name for f, _ in tensor.ListFields() if f.name.endswith("_data") and f.name != "external_data"]
    field = tensor_dtype_to_field(tensor.data_type)
    if held == ["raw_data"] and dtype != DataType.STRING:
        found, wanted, unit = len(tensor.raw_data), _bytes(dtype, size), "bytes"
    elif held in ([field], []):
        found, wanted, unit = len(getattr(tensor, field)), _entries(dtype, size), f"entries of {field}"
    else:
        raise ValueError(f"is {dtype.name}, but holds its numbers as {', '.join(held)}")
    if found != wanted:
        raise ValueError(
            f"holds {found} {unit}, but {dtype.name} {list(tensor.dims)} takes {wanted}: "
            "it is truncated, or its numbers were left out. Export the model again, with its weights"
        )


def _bytes(dtype: DataType, size: int) -> int:
    return math.ceil(size * dtype.bitwidth / 8)


def _entries(dtype: DataType, size: int) -> int:
    """How many entries of its field a tensor takes."""
    if dtype in COMPLEX:
        return 2 * size
    return _bytes(dtype, size) if dtype != DataType.STRING and dtype.bitwidth in PACKED_BITS else size


def _check_external(tensor: onnx.TensorProto, size: int, folder: Path) -> None:
    """External data: a file in the model's own folder, also after links, which holds the tensor's bytes."""
    if tensor.data_type == DataType.STRING:
        raise ValueError("is of strings in external data, which ONNX does not define")
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    try:
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", size))
    except ValueError:
        raise ValueError("has an offset or a length that is no number") from None
    file = folder / location
    try:
        inside, there = file.resolve().is_relative_to(folder.resolve()), file.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # a name that no file can have, a circle of links
        raise ValueError(f"lies in a file that cannot be read: {error}") from None
    if not inside:
        raise ValueError(f"lies in '{location}', outside the model's folder. Copy the data beside the model")
    if not location or not there:
        raise ValueError(f"lies in '{location}', which is missing. Put it beside the model")
    found = file.stat()
    if found.st_nlink > 1:  # onnx_ir reads no such file
        raise ValueError(f"lies in '{location}', which has several hard links. Copy it: `cp --remove-destination`")
    if length != size or offset < 0 or offset + size > found.st_size:
        raise ValueError(
            f"takes {size} bytes, but has {length} from byte {offset} of '{location}', which holds {found.st_size}: "
            "the file is truncated, or not this model's. Export the model again"
        )
