"""Check a bundle: everything that its manifest says of its files, and everything that the host graph says of both."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from rcompile.bundle.host_graph import NODE_TENSORS, CrossbarNode, NodeFormat, TensorSpan, read_host, tensor_spans
from rcompile.bundle.manifest import MODEL, LayerEntry, NodeEntry
from rcompile.bundle.reader import Bundle, DamagedError
from rcompile.errors import BadInputError
from rcompile.layout.normal_form import decode


def check(bundle: Bundle) -> Iterator[tuple[str, list[str]]]:
    """Every check of `rcompile check`, one at a time: what was checked, and every problem found there."""
    unlisted = (
        {p.relative_to(bundle.folder).as_posix() for p in bundle.folder.rglob("*") if p.is_file()}
        - set(bundle.manifest.files)
        - {"manifest.json"}
    )
    yield "manifest", _manifest_problems(bundle) + [f"'{name}' is not in the manifest" for name in sorted(unlisted)]
    damaged = set()
    names = list(bundle.manifest.files)
    for name, problem in zip(names, bundle.file_problems(names), strict=True):
        damaged |= {name} if problem else set()
        yield name, [problem] if problem else []
    sound = []
    for entry in (e for e in bundle.manifest.layers if e.file not in damaged):
        problems = _layer_problems(bundle, entry)
        sound += [] if problems else [entry]
        yield f"layer {entry.name}", problems
    if MODEL not in damaged:
        yield "host graph", _graph_problems(bundle, sound)


def _manifest_problems(bundle: Bundle) -> list[str]:
    manifest, wrong, expected = bundle.manifest, [], 0
    if manifest.target.sha256 != manifest.target_sha256:
        wrong.append("the target is not the one that target_sha256 names")
    for entry, row in zip(manifest.layers, manifest.ledger, strict=False):
        if entry.first_tile != expected or (row.layer, row.crossbars) != (entry.name, entry.tiles):
            wrong.append(f"layer '{entry.name}': tile numbers or ledger do not add up")
        expected += entry.tiles
    if len(manifest.layers) != len(manifest.ledger):
        wrong.append("ledger and layers differ in number")
    for name in (manifest.source.model, manifest.source.tokenizer, MODEL, *(e.file for e in manifest.layers)):
        if name is not None and name not in manifest.files:
            wrong.append(f"'{name}' is not among the files")
    return wrong


def _layer_problems(bundle: Bundle, entry: LayerEntry) -> list[str]:
    try:
        layer = bundle.layer(entry)
    except DamagedError as damage:
        return [damage.text]
    codes = decode(layer.tiles, bundle.manifest.target, entry.inputs, entry.outputs)
    limit = bundle.manifest.target.weight_code_max
    if np.abs(codes).max() > limit or hashlib.sha256(codes.astype(np.int8).tobytes()).hexdigest() != entry.codes_sha256:
        return ["the images do not decode to the quantized weights"]
    return []


def _graph_problems(bundle: Bundle, sound: list[LayerEntry]) -> list[str]:
    """Do the nodes of model.onnx compute the very layers that the manifest lists? Only layers with sound files are
    compared.
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
    for entry in sound:
        spans = tensor_spans(bundle.path(entry.file))
        for listed_node in (n for n in entry.nodes if (entry.name, n.name) in nodes):
            wrong += _node_problems(bundle, entry, spans, listed_node, nodes[entry.name, listed_node.name])
    return wrong


def _node_problems(
    bundle: Bundle, entry: LayerEntry, spans: dict[str, TensorSpan], listed: NodeEntry, node: CrossbarNode
) -> list[str]:
    tensors = tuple((entry.file, spans[t].offset, spans[t].length) for t in (*NODE_TENSORS, listed.bias))
    reads = [] if node.tensors == tensors else [f"node '{node.name}' does not read the images of layer '{entry.name}'"]
    manifest = bundle.manifest
    node_format = NodeFormat(manifest.target, manifest.stored_bits, manifest.combiner)
    attributes = node_format.attributes(entry, listed)
    differing = [
        f"node '{node.name}' has {key} = {node.attributes.get(key)}, not {attributes.get(key)}"
        for key in sorted(attributes.keys() | node.attributes.keys())
        if not _same(node.attributes.get(key), attributes.get(key))
    ]
    return reads + differing


def _same(found: object, expected: object) -> bool:
    """Equal as an ONNX attribute holds them: its floats are 32-bit, its lists are lists."""
    if isinstance(expected, tuple):
        return found is not None and list(found) == list(expected)  # type: ignore[call-overload]
    if isinstance(found, float) and isinstance(expected, float):
        return np.float32(found) == np.float32(expected)
    return found == expected
