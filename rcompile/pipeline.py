"""The compiler, top to bottom: read ONNX, find linears, quantize, compact, protect, tile, encode, emit."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import onnx_ir as ir

from rcompile.bundle import emit
from rcompile.bundle.host_graph import rewrite_host
from rcompile.bundle.manifest import Manifest, Options
from rcompile.bundle.scratch import check_output, new_bundle
from rcompile.bundle.work import LayerSummary, LayerWork, summarize
from rcompile.errors import UsageError
from rcompile.hardware.target import Target
from rcompile.hardware.target_file import load_target
from rcompile.layout.compact import compact
from rcompile.layout.encode import encode
from rcompile.layout.place import place, plain
from rcompile.layout.quantize import quantize
from rcompile.onnx_in.calibrate import calibrate, input_scale_mode, samples_digest
from rcompile.onnx_in.linears import Found, Linear, Unmapped, find_linears
from rcompile.onnx_in.read import opset_version, read_model
from rcompile.protection.protect import UNPROTECTED, Guard, Protection, combiners_of, protect, survey

Stage = Literal["read", "find", "quantize", "compact", "protect", "tile", "encode", "emit"]
STAGES: tuple[Stage, ...] = ("read", "find", "quantize", "compact", "protect", "tile", "encode", "emit")
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Compiled:
    """What a compile did. manifest and bundle are None unless the bundle was written."""

    target: Target
    stage: Stage
    layers: tuple[LayerSummary, ...]
    unmapped: tuple[Unmapped, ...]
    manifest: Manifest | None = None
    bundle: Path | None = None


def compile_model(
    model: str | Path,
    target: str | Path | Target,
    out: str | Path | None = None,
    *,
    calibrate_with: str | Path | None = None,
    keep_on_host: tuple[str, ...] = (),
    keep_source: bool = True,
    guard: Guard = Guard(),  # noqa: B008  # frozen
    pack_cells: bool = False,
    force: bool = False,
    stop_after: Stage = "emit",
    progress: Progress = lambda layer, done, total: None,
) -> Compiled:
    """Compile an ONNX model for a target into a bundle directory.

    model: the ONNX file. target: a name, a TOML file or a Target. out: the bundle; default: the model's name plus `.bundle`, in the
    working directory. calibrate_with: sample inputs for static input scales. keep_on_host: globs of layer names to leave on the CPU.
    keep_source: put the source model into the bundle, so that the two can be compared at any time. guard: how to protect against stuck
    cells. pack_cells: several cells in a byte of the tile files. stop_after: run the stages up to this one; only `emit` writes.
    progress(layer, done, total) is called after each layer. Raises RcompileError.
    """
    source, samples = Path(model), None if calibrate_with is None else Path(calibrate_with)
    hardware = target if isinstance(target, Target) else load_target(target)
    guard.check()
    if guard.scheme != "none":
        combiners_of(guard, hardware)
    bundle = Path(out) if out is not None else Path(f"{source.stem}.bundle")
    input_scale = input_scale_mode(hardware, samples)
    if stop_after == "emit":
        check_output(bundle, force)

    graph = read_model(source)
    if stop_after == "read":
        return Compiled(hardware, stop_after, (), ())
    found = _find(graph, keep_on_host)
    depth = STAGES.index(stop_after)
    protected = _protect(found.linears, guard, hardware, progress) if depth >= STAGES.index("protect") else UNPROTECTED
    works = _reporting(_stages(found.linears, protected, hardware, depth), len(found.linears), progress)
    if stop_after != "emit":
        return Compiled(hardware, stop_after, tuple(map(summarize, works)), found.unmapped)

    input_scales = calibrate(graph, source, found.linears, samples, hardware) if samples else {}
    options = Options(
        input_scale=input_scale,
        calibration_sha256=samples_digest(samples),
        keep_on_host=keep_on_host,
        protect=guard.scheme,
        combiner=protected.combiner,
        guard_sa0=protected.sa0,
        guard_sa1=protected.sa1,
        allow_extra_crossbars=guard.allow_extra_crossbars,
        pack_cells=pack_cells,
    )
    with new_bundle(bundle, force) as folder:
        written = emit.write_layers(folder, works, input_scales, hardware, options)
        kept = emit.copy_source(source, graph, folder) if keep_source else None
        opset = opset_version(graph)
        emit.write_host(folder, rewrite_host(graph, written.mapped, hardware, options, folder))
        passes = STAGES if guard.scheme != "none" else tuple(s for s in STAGES if s != "protect")
        manifest = emit.write_manifest(
            folder, hardware, source, opset, kept, options, passes, protected, written, found.unmapped
        )
    return Compiled(hardware, stop_after, written.summaries, found.unmapped, manifest, bundle)


def _find(graph: ir.Model, keep_on_host: tuple[str, ...]) -> Found:
    """The linears, less those whose name matches a glob. Raises UsageError for a glob that matches none."""
    seen: list[str] = []

    def kept(name: str) -> bool:
        seen.append(name)
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in keep_on_host)

    found = find_linears(graph, kept)
    for pattern in keep_on_host:
        if not fnmatch.filter(seen, pattern):
            raise UsageError(f"--keep-on-host '{pattern}' matches no layer. Layers: {', '.join(seen)}.")
    return found


def _protect(linears: tuple[Linear, ...], guard: Guard, target: Target, progress: Progress) -> Protection:
    """Replicas for every layer. Layers compete for crossbars, so all are surveyed before any is placed."""
    if guard.scheme == "none":
        return UNPROTECTED
    surveys = []
    for done, linear in enumerate(linears, 1):
        quantized = quantize(linear, target)
        surveys.append(survey(quantized, compact(quantized), target))
        progress(f"survey {linear.name}", done, len(linears))
    return protect(surveys, guard, target)


def _stages(linears: tuple[Linear, ...], protected: Protection, target: Target, depth: int) -> Iterator[LayerWork]:
    """Every layer through the stages between `find` and `emit`, one at a time: memory is bounded by the largest layer."""
    for linear in linears:
        work = LayerWork(linear)
        replicas = protected.replicas.get(linear.name, plain(linear.outputs, target))
        if depth >= STAGES.index("quantize"):
            given_up = (replicas == 0).sum(axis=1)
            work = replace(work, quantized=quantize(linear, target, np.left_shift(1, given_up * target.cell.bits)))
        if work.quantized and depth >= STAGES.index("compact"):
            work = replace(work, kept=compact(work.quantized))
        if work.kept and depth >= STAGES.index("tile"):
            work = replace(work, placement=place(work.kept, replicas, target))
        if work.quantized and work.placement and depth >= STAGES.index("encode"):
            work = replace(work, tiles=encode(work.quantized, work.placement, target))
        yield work


def _reporting(works: Iterator[LayerWork], total: int, progress: Progress) -> Iterator[LayerWork]:
    for done, work in enumerate(works, 1):
        yield work
        progress(work.linear.name, done, total)
