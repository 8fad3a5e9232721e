"""Check a bundle: everything that its manifest says of its files, and everything that the host graph says of both."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from rcompile.bundle.host_check import graph_problems
from rcompile.bundle.manifest import MODEL, LayerEntry
from rcompile.bundle.reader import Bundle, DamagedError
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
        yield "host graph", graph_problems(bundle, sound)


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
