"""Names that exporters leave in a model: of layers, module paths that are safe as file names everywhere, and of the
labels of its head.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

import onnx_ir as ir

NAME_SCOPES = "pkg.torch.onnx.name_scopes"  # where torch.onnx.export leaves the module path of a node
LABELS = "rcompile.labels"  # where `rcompile export` leaves the names of the labels, a JSON list


def layer_name(node: ir.Node, node_name: str, weight_name: str) -> str:
    """A module path where the exporter left one: in the weight's name, in node metadata, or in the node's name."""
    stored = weight_name.removesuffix("_quantized").removesuffix(".weight")
    if weight_name.endswith((".weight", ".weight_quantized")):
        return _clean(stored)
    scopes = node.metadata_props.get(NAME_SCOPES, "")
    paths = re.findall(r"'([^']*)'", scopes)
    if len(paths) >= 2:
        return _clean(paths[-2])
    path = node_name.strip("/").rsplit("/", 1)
    return _clean(path[0] if len(path) == 2 else node_name)


def _clean(name: str) -> str:
    """A name that is safe as a file name everywhere."""
    return re.sub(r"[^A-Za-z0-9_.-]+", ".", name).strip(".")[:120] or "linear"


def unique(name: str, taken: set[str]) -> str:
    """The name, numbered if it is taken (in any case: file systems differ); adds it to `taken`."""
    candidate, n = name, 1
    while candidate.lower() in taken:
        n += 1
        candidate = f"{name}.{n}"
    taken.add(candidate.lower())
    return candidate


def labels_in(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """The names of a model's labels in the order of its logits, from its metadata; none where it does not say."""
    try:
        labels = json.loads(metadata.get(LABELS, "[]"))
    except ValueError:
        return ()
    return tuple(labels) if isinstance(labels, list) and all(isinstance(label, str) for label in labels) else ()


def same_in_another_order(some: Sequence[str], others: Sequence[str]) -> bool:
    """Whether two lists hold the same names, in any case of letters, in another order."""
    first, second = ([name.casefold() for name in names] for names in (some, others))
    return first != second and sorted(first) == sorted(second)
