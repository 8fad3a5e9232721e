"""Does the host graph compute the layers that the manifest lists? Read without its numbers, so that a session asks it
each time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from rcompile.bundle.host_graph import DOMAIN, DTYPES, NODE_TENSORS, OP_TYPE, NodeFormat
from rcompile.bundle.manifest import MODEL, LayerEntry, Manifest, NodeEntry
from rcompile.bundle.reader import Bundle
from rcompile.bundle.tile_file import TensorSpan
from rcompile.errors import BadInputError

# By ONNX's number, as safetensors names it.
NAMES = {dtype.value: name for name, dtype in DTYPES.items()}
MOST_DIGITS = 20  # of a number of bytes; Python refuses to read thousands
Tensors = Mapping[str, Any]  # TensorProto by name


@dataclass(frozen=True, eq=False)
class CrossbarNode:
    """A CrossbarMatMul node as model.onnx holds it. tensors: the file and the span of each in order, None for one that
    lies inline or is computed.
    """

    name: str
    attributes: dict[str, object]
    tensors: tuple[tuple[str, TensorSpan] | None, ...]


@dataclass(frozen=True, eq=False)
class HostGraph:
    """What model.onnx says of itself: its crossbars, those in the bodies of If, Loop and functions too, the files that
    its tensors lie in, and names that two nodes share.
    """

    crossbars: tuple[CrossbarNode, ...]
    files: tuple[str, ...]
    repeated_names: tuple[str, ...]


def read_host(path: Path) -> HostGraph:
    """A host graph, less its numbers. Raises BadInputError if the file is no ONNX."""
    try:
        model = onnx.load(path, load_external_data=False)
    except MemoryError:
        raise
    except Exception as error:  # protobuf raises its own
        raise BadInputError(f"'{path.name}' is not an ONNX model: {error}") from None
    bodies = [*_graphs(model.graph, {}), *((function.node, {}) for function in model.functions)]
    crossbars = [_crossbar(n, known) for nodes, known in bodies for n in nodes if _is_crossbar(n)]
    names = Counter(
        _text(n.name) for n in model.graph.node if n.name
    )  # a branch has names of its own, but its crossbars
    names.update(c.name for c in crossbars if c.name not in names)
    repeated = {name for name, times in Counter(c.name for c in crossbars).items() if times > 1}
    repeated |= {name for name, times in names.items() if times > 1}
    held = chain.from_iterable(known.values() for _, known in bodies)
    files = {_text(item.value) for tensor in held for item in tensor.external_data if item.key == "location"}
    return HostGraph(tuple(crossbars), tuple(sorted(files)), tuple(sorted(repeated)))


def graph_problems(bundle: Bundle, layers: Sequence[LayerEntry]) -> list[str]:
    """Every way in which the nodes of model.onnx are not those of the manifest. layers: those whose files are compared
    with what the nodes read.
    """
    try:
        host = read_host(bundle.path(MODEL))
    except BadInputError as error:
        return [str(error)]
    nodes = {(str(n.attributes.get("layer")), n.name): n for n in host.crossbars}
    wrong = [f"two nodes are named '{name}'" for name in host.repeated_names]
    wrong += [
        f"tensors lie in '{name}', which is not among the files"
        for name in host.files
        if name not in bundle.manifest.files
    ]
    listed = {(e.name, n.name) for e in bundle.manifest.layers for n in e.nodes}
    for layer, name in sorted(listed ^ set(nodes)):
        where = "manifest" if (layer, name) in nodes else "graph"
        wrong.append(f"node '{name}' of layer '{layer}' is not in the {where}")
    for entry in layers:
        try:
            spans = bundle.spans(entry)
        except BadInputError as error:
            wrong.append(str(error))
            continue
        wrong += _size_problems(bundle.manifest, entry)
        for listed_node in (n for n in entry.nodes if (entry.name, n.name) in nodes):
            wrong += _node_problems(bundle.manifest, entry, spans, listed_node, nodes[entry.name, listed_node.name])
    return wrong


def _graphs(graph: Any, outer: Tensors) -> Iterator[tuple[Any, Tensors]]:
    """The nodes of a graph and the initializers that they see, then those of every graph inside it."""
    known = {**outer, **{tensor.name: tensor for tensor in graph.initializer}}
    yield graph.node, known
    for attribute in (a for node in graph.node for a in node.attribute):
        for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            yield from _graphs(inner, known)


def _is_crossbar(node: Any) -> bool:
    return (node.domain, node.op_type) == (DOMAIN, OP_TYPE)


def _crossbar(node: Any, known: Tensors) -> CrossbarNode:
    attributes = {_text(a.name): _value(a) for a in node.attribute}
    return CrossbarNode(_text(node.name), attributes, tuple(_external(known.get(name)) for name in node.input[1:]))


def _value(attribute: Any) -> object:
    try:
        value = helper.get_attribute_value(attribute)
        return value.decode() if isinstance(value, bytes) else value
    except (ValueError, UnicodeDecodeError):
        return None  # of no type that a crossbar node has


def _text(value: str | bytes) -> str:
    """A text of the file; protobuf gives bytes where it is not UTF-8."""
    return value if isinstance(value, str) else repr(value)


def _number(text: str) -> int:
    """A number of bytes; -1 for what no file has."""
    return int(text) if text.isdecimal() and len(text) <= MOST_DIGITS else -1


def _external(tensor: Any) -> tuple[str, TensorSpan] | None:
    if tensor is None or tensor.data_location != onnx.TensorProto.EXTERNAL:
        return None
    said = {_text(item.key): _text(item.value) for item in tensor.external_data}
    offset, length = (_number(said.get(key, "")) for key in ("offset", "length"))
    dtype = NAMES.get(tensor.data_type, f"ONNX type {tensor.data_type}")
    return said.get("location", ""), TensorSpan(dtype, tuple(tensor.dims), offset, length)


def _size_problems(manifest: Manifest, entry: LayerEntry) -> list[str]:
    """Dies and reports count on these sizes; the provider holds the other arrays against them."""
    sizes = {
        "levels": manifest.stored_levels(entry),
        "bitline_output": (entry.tiles, manifest.target.crossbar.cols),
    }
    return [
        f"{name} of layer '{entry.name}' is {list(entry.tensors[name].shape)}, {entry.tiles} tiles on '{manifest.target.name}' take {list(shape)}"
        for name, shape in sizes.items()
        if entry.tensors[name].shape != shape
    ]


def _node_problems(
    manifest: Manifest, entry: LayerEntry, spans: dict[str, TensorSpan], listed: NodeEntry, node: CrossbarNode
) -> list[str]:
    tensors = tuple((entry.file, spans[t]) for t in (*NODE_TENSORS, listed.bias))
    reads = [] if node.tensors == tensors else [f"node '{node.name}' does not read the images of layer '{entry.name}'"]
    node_format = NodeFormat(manifest.target, manifest.stored_bits, manifest.combiner)
    attributes = node_format.attributes(entry, listed)
    differing = [
        f"node '{node.name}' has {key} = {_shown(node.attributes.get(key))}, not {attributes.get(key)}"
        for key in sorted(attributes.keys() | node.attributes.keys())
        if not _same(node.attributes.get(key), attributes.get(key))
    ]
    return reads + differing


def _shown(value: object) -> str:
    """An attribute, as long as a message has room; tensors and graphs are not shown."""
    return (
        str(value)[:80] if value is None or isinstance(value, int | float | str | list) else "a value of another type"
    )


def _same(found: object, expected: object) -> bool:
    """Equal as an ONNX attribute holds them: its floats are 32-bit, its lists are lists."""
    if isinstance(expected, tuple):
        return isinstance(found, list) and found == list(expected)
    if isinstance(found, float) and isinstance(expected, float):
        return np.float32(found) == np.float32(expected)
    return type(found) is type(expected) and found == expected
