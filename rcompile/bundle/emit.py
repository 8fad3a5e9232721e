"""Emit: write the files of a bundle into a scratch directory."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from safetensors.numpy import save

from rcompile.bundle.host_graph import MappedLayer, tensor_spans
from rcompile.bundle.manifest import (
    MANIFEST,
    MODEL,
    AllocationEntry,
    FileEntry,
    LayerEntry,
    LedgerRow,
    Manifest,
    NodeEntry,
    Options,
    ProtectionEntry,
    Source,
    TensorEntry,
    Tool,
    UnmappedEntry,
)
from rcompile.bundle.work import LayerSummary, LayerWork, summarize
from rcompile.canonical import file_sha256, files_sha256
from rcompile.errors import BadInputError
from rcompile.hardware.target import Target
from rcompile.layout.compact import Kept
from rcompile.layout.normal_form import Placement
from rcompile.layout.packing import pack
from rcompile.layout.place import plain_crossbars
from rcompile.onnx_in.linears import Linear, Unmapped
from rcompile.onnx_in.read import external_files
from rcompile.onnx_in.text import TOKENIZER
from rcompile.protection.protect import Protection
from rcompile.version import full_version


@dataclass(frozen=True, eq=False)
class Written:
    """The layers of a bundle, written: for the host graph, the manifest and the report."""

    mapped: tuple[MappedLayer, ...]
    entries: tuple[LayerEntry, ...]
    ledger: tuple[LedgerRow, ...]
    summaries: tuple[LayerSummary, ...]


def write_layers(
    bundle: Path, works: Iterable[LayerWork], input_scales: dict[str, float], target: Target, options: Options
) -> Written:
    """Write tiles/<layer>.safetensors for each layer, one at a time."""
    stored_bits = target.stored_bits(options.pack_cells)
    rows: list[tuple[MappedLayer, LayerEntry, LedgerRow, LayerSummary]] = []
    first_tile = 0
    for work in works:
        assert work.placement is not None and work.kept is not None
        scales = tuple(input_scales.get(use.name) for use in work.linear.uses)
        layer = _write_layer(bundle, work, stored_bits, first_tile, scales)
        rows.append(
            (
                layer,
                _layer_entry(layer, work),
                _ledger_row(work.linear, work.kept, work.placement, target),
                summarize(work),
            )
        )
        first_tile += work.placement.tiles
    return Written(*map(tuple, zip(*rows, strict=True)))


def _write_layer(
    bundle: Path, work: LayerWork, stored_bits: int, first_tile: int, input_scales: tuple[float | None, ...]
) -> MappedLayer:
    """The normal form, weight_scale, and the distinct biases of the nodes that use the layer."""
    linear = work.linear
    assert work.tiles is not None and work.quantized is not None
    biases: dict[str, np.ndarray] = {}
    names = []
    for use in linear.uses:
        values = np.zeros(linear.outputs, np.float32) if use.bias is None else use.bias
        if not np.isfinite(values).all():
            raise BadInputError(
                f"the bias of '{linear.name}' holds NaN or Inf. The model is broken; export a sound one."
            )
        name = next((n for n, known in biases.items() if np.array_equal(known, values)), f"bias.{len(biases)}")
        biases[name] = values
        names.append(name)
    file = f"tiles/{linear.name}.safetensors"
    tensors = {**work.tiles.tensors(), "levels": pack(work.tiles.levels, stored_bits)}
    (bundle / file).write_bytes(save({**tensors, "weight_scale": work.quantized.weight_scale, **biases}))
    return MappedLayer(linear, file, first_tile, tensor_spans(bundle / file), tuple(names), input_scales)


def _layer_entry(layer: MappedLayer, work: LayerWork) -> LayerEntry:
    assert work.placement is not None and work.quantized is not None
    nodes = zip(layer.linear.uses, layer.bias_names, layer.input_scales, strict=True)
    return LayerEntry(
        name=layer.linear.name,
        file=layer.file,
        inputs=layer.linear.inputs,
        outputs=layer.linear.outputs,
        first_tile=layer.first_tile,
        tiles=work.placement.tiles,
        nodes=tuple(NodeEntry(name=use.name, bias=bias, input_scale=scale) for use, bias, scale in nodes),
        tensors={name: TensorEntry(dtype=span.dtype, shape=span.shape) for name, span in layer.tensors.items()},  # type: ignore[arg-type]
        codes_sha256=hashlib.sha256(work.quantized.codes.tobytes()).hexdigest(),
    )


def _ledger_row(linear: Linear, kept: Kept, placement: Placement, target: Target) -> LedgerRow:
    width = target.bitlines_per_output
    return LedgerRow(
        layer=linear.name,
        crossbars_dense=plain_crossbars(linear.inputs, linear.outputs, target),
        crossbars_pruned=plain_crossbars(len(kept.inputs), len(kept.outputs), target),
        crossbars=placement.tiles,
        cells_dense=linear.inputs * linear.outputs * width,
        cells_pruned=len(kept.inputs) * len(kept.outputs) * width,
        cells_used=placement.cells_used,
        cells=placement.tiles * target.crossbar.rows * target.crossbar.cols,
    )


def write_host(bundle: Path, model: ir.Model) -> None:
    """Write model.onnx; its constants already lie in the bundle's files."""
    ir.save(model, bundle / MODEL)


def copy_source(source: Path, model: ir.Model, bundle: Path) -> str:
    """Copy the source model and its external data into source/; the path of the copy inside the bundle."""
    folder = (bundle / "source").resolve()
    for name in [source.name, *external_files(model)]:
        copy = (folder / name).resolve()
        if not copy.is_relative_to(folder):
            raise BadInputError(
                f"'{source}' keeps data in '{name}', outside its own directory. Move the data beside the model, and export again."
            )
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.parent / name, copy)
    return f"source/{source.name}"


def _copy_tokenizer(source: Path, bundle: Path) -> str | None:
    """Copy the tokenizer.json that lies beside the source, if one does."""
    beside = source.parent / TOKENIZER
    if not beside.is_file():
        return None
    shutil.copyfile(beside, bundle / TOKENIZER)
    return TOKENIZER


def _protection_entry(protected: Protection) -> ProtectionEntry | None:
    if not protected.replicas:
        return None
    allocations: dict[str, tuple[AllocationEntry, ...]] = {}
    for name, replicas in protected.replicas.items():
        copies, outputs = np.unique(replicas, axis=0, return_counts=True)
        pairs = zip(copies.tolist(), outputs.tolist(), strict=True)
        allocations[name] = tuple(AllocationEntry(copies=tuple(c), outputs=n) for c, n in pairs)
    return ProtectionEntry(predicted_error=protected.predicted_error, allocations=allocations)


def write_manifest(
    bundle: Path,
    target: Target,
    source: Path,
    opset: int,
    kept: str | None,
    options: Options,
    passes: tuple[str, ...],
    protected: Protection,
    written: Written,
    unmapped: tuple[Unmapped, ...],
) -> Manifest:
    """Write manifest.json, the last file of a bundle, with the digest of every other."""
    tokenizer = _copy_tokenizer(source, bundle)
    paths = sorted(p for p in bundle.rglob("*") if p.is_file())
    files = {
        path.relative_to(bundle).as_posix(): FileEntry(sha256=digest, bytes=path.stat().st_size)
        for path, digest in zip(paths, files_sha256(paths), strict=True)
    }
    digest = files[kept].sha256 if kept else file_sha256(source)
    manifest = Manifest(
        tool=Tool(version=full_version()),
        target=target,
        target_sha256=target.sha256,
        source=Source(name=source.name, sha256=digest, opset=opset, model=kept, tokenizer=tokenizer),
        options=options,
        passes=passes,
        stored_bits=target.stored_bits(options.pack_cells),
        protection=_protection_entry(protected),
        ledger=written.ledger,
        layers=written.entries,
        unmapped=tuple(UnmappedEntry(node=u.node, op=u.op, reason=u.reason) for u in unmapped),
        files=files,
    )
    (bundle / MANIFEST).write_text(manifest.text(), encoding="utf-8", newline="\n")
    return manifest
