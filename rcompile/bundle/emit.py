"""Emit: write the files of a bundle into a scratch directory."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from safetensors.numpy import save

from rcompile.bundle.host_graph import MappedLayer, NodeFormat, rewrite_host
from rcompile.bundle.ledger import allocation_entries, held_copies, ledger_row
from rcompile.bundle.manifest import (
    MANIFEST,
    MODEL,
    AllocationEntry,
    DieEntry,
    FileEntry,
    LayerEntry,
    Manifest,
    NodeEntry,
    ProtectionEntry,
    Source,
    TensorEntry,
    Tool,
    UnmappedEntry,
    codes_dtype,
)
from rcompile.bundle.tile_file import tensor_spans
from rcompile.canonical import file_sha256, files_sha256
from rcompile.errors import BadInputError
from rcompile.hardware.faults import ChipMap
from rcompile.hardware.target import Target
from rcompile.layout.normal_form import F32
from rcompile.layout.packing import pack
from rcompile.layout.steps import Encoded, LayerSummary, summarize
from rcompile.onnx_in.linears import Linear, Unmapped
from rcompile.onnx_in.read import external_files, opset_version
from rcompile.onnx_in.text import TOKENIZER
from rcompile.options import CompileOptions
from rcompile.protection.for_die import KnownDie, relative_error
from rcompile.protection.protect import Protection
from rcompile.version import full_version
from rcompile.vocabulary import InputScale


@dataclass(frozen=True)
class Job:
    """What is asked of a compile."""

    source: Path
    target: Target
    options: CompileOptions
    input_scale: InputScale
    calibration_sha256: str | None
    chip: ChipMap | None = None
    compensation_sha256: str | None = None

    @property
    def stored_bits(self) -> int:
        """Bits that a cell takes in a tile file."""
        return self.target.stored_bits(self.options.pack_cells)


@dataclass(frozen=True, eq=False)
class Findings:
    """What was found out before any layer is written. input_scales: by node, none if they are dynamic."""

    input_scales: Mapping[str, float]
    protection: Protection
    unmapped: tuple[Unmapped, ...]
    die: KnownDie | None = None


@dataclass(frozen=True, eq=False)
class Written:
    """A bundle, written."""

    summaries: tuple[LayerSummary, ...]
    manifest: Manifest


def write_bundle(folder: Path, job: Job, graph: ir.Model, layers: Iterable[Encoded], findings: Findings) -> Written:
    """Write every file of a bundle, the layers one at a time as they come, the manifest last. `graph` is spent
    afterwards.
    """
    mapped, ledger, summaries, errors, allocations = [], [], [], [], {}
    first_tile = 0
    for encoded in layers:
        mapped.append(_write_layer(folder, encoded, job.stored_bits, first_tile, findings.input_scales))
        linear, lines, placement = encoded.planned.linear, encoded.planned.lines, encoded.tiles.placement
        ledger.append(ledger_row(linear.name, (linear.inputs, linear.outputs), lines, placement, job.target))
        allocations[linear.name] = allocation_entries(held_copies(placement))
        summaries.append(summarize(encoded))
        if findings.die:
            errors.append(relative_error(encoded))
        first_tile += placement.tiles
    opset = opset_version(graph)
    stored = _copy_source(job.source, graph, folder) if job.options.keep_source else None
    tokenizer = _copy_tokenizer(job.source, folder)
    node_format = NodeFormat(job.target, job.stored_bits, findings.protection.combiner)
    ir.save(rewrite_host(graph, mapped, node_format, folder), folder / MODEL)
    files = _digests(folder)
    digest = files[stored].sha256 if stored else file_sha256(job.source)
    manifest = Manifest(
        tool=Tool(version=full_version()),
        target=job.target,
        target_sha256=job.target.sha256,
        source=Source(name=job.source.name, sha256=digest, opset=opset, model=stored, tokenizer=tokenizer),
        options=job.options,
        input_scale=job.input_scale,
        calibration_sha256=job.calibration_sha256,
        combiner=findings.protection.combiner,
        stored_bits=job.stored_bits,
        protection=_protection_entry(findings.protection, allocations),
        die=_die_entry(findings.die, errors, job.compensation_sha256),
        ledger=tuple(ledger),
        layers=tuple(layer.entry for layer in mapped),
        unmapped=tuple(UnmappedEntry(node=u.node, op=u.op, reason=u.reason) for u in findings.unmapped),
        files=files,
    )
    (folder / MANIFEST).write_text(manifest.text(), encoding="utf-8", newline="\n")
    return Written(tuple(summaries), manifest)


def _write_layer(
    folder: Path, encoded: Encoded, stored_bits: int, first_tile: int, input_scales: Mapping[str, float]
) -> MappedLayer:
    """Write tiles/<layer>.safetensors: the normal form, weight_scale, and the distinct biases of the nodes that use the
    layer.
    """
    linear, quantized = encoded.planned.linear, encoded.planned.quantized
    biases, names = _distinct_biases(linear)
    file = f"tiles/{linear.name}.safetensors"
    tensors = {**encoded.tiles.tensors(), "levels": pack(encoded.tiles.levels, stored_bits)}
    (folder / file).write_bytes(save({**tensors, "weight_scale": quantized.weight_scale, **biases}))
    spans = tensor_spans(folder / file)
    entry = LayerEntry(
        name=linear.name,
        file=file,
        inputs=linear.inputs,
        outputs=linear.outputs,
        encoding=encoded.tiles.placement.encoding,
        first_tile=first_tile,
        tiles=encoded.tiles.placement.tiles,
        nodes=tuple(
            NodeEntry(name=use.name, bias=bias, input_scale=input_scales.get(use.name))
            for use, bias in zip(linear.uses, names, strict=True)
        ),
        tensors={name: TensorEntry(dtype=span.dtype, shape=span.shape) for name, span in spans.items()},  # type: ignore[arg-type]
        codes_sha256=hashlib.sha256(encoded.codes.astype(codes_dtype(encoded.held is not None)).tobytes()).hexdigest(),
    )
    return MappedLayer(linear, entry, spans)


def _distinct_biases(linear: Linear) -> tuple[dict[str, F32], list[str]]:
    """The biases of a linear's nodes by the name of their tensor, and the name for each node."""
    biases: dict[str, F32] = {}
    names = []
    for use in linear.uses:
        values = np.zeros(linear.outputs, np.float32) if use.bias is None else use.bias
        name = next((n for n, known in biases.items() if np.array_equal(known, values)), f"bias.{len(biases)}")
        biases[name] = values
        names.append(name)
    return biases, names


def _copy_source(source: Path, model: ir.Model, bundle: Path) -> str:
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


def _digests(folder: Path) -> dict[str, FileEntry]:
    """Every file that lies in the folder."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file())
    return {
        path.relative_to(folder).as_posix(): FileEntry(sha256=digest, bytes=path.stat().st_size)
        for path, digest in zip(paths, files_sha256(paths), strict=True)
    }


def _die_entry(die: KnownDie | None, errors: Sequence[float], compensation_sha256: str | None) -> DieEntry | None:
    if die is None:
        return None
    # Six digits: sums in another order, on another machine, differ in later ones.
    mean = float(f"{np.mean(errors):.6g}")
    return DieEntry(
        map_sha256=die.map_sha256,
        stuck_share=die.stuck_share,
        relative_error=mean,
        compensation_sha256=compensation_sha256,
    )


def _protection_entry(
    protected: Protection, allocations: dict[str, tuple[AllocationEntry, ...]]
) -> ProtectionEntry | None:
    if not protected.replicas:
        return None
    return ProtectionEntry(
        sa0=protected.sa0, sa1=protected.sa1, predicted_error=protected.predicted_error, allocations=allocations
    )
