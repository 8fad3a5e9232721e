"""The compiler, top to bottom: read ONNX, find linears, quantize, compact, protect, tile, encode, emit."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx_ir as ir

from rcompile.bundle.emit import Findings, Job, write_bundle
from rcompile.bundle.manifest import Manifest
from rcompile.bundle.scratch import claimed, new_bundle
from rcompile.errors import UsageError
from rcompile.hardware.faults import chip_map
from rcompile.hardware.target import Target
from rcompile.hardware.target_file import load_target
from rcompile.layout.compact import compact
from rcompile.layout.normal_form import F32
from rcompile.layout.place import plain, plain_crossbars
from rcompile.layout.quantize import quantize
from rcompile.layout.rules import broken_rules
from rcompile.layout.steps import Encoded, LayerSummary, Planned, plan, program, summarize
from rcompile.onnx_in.calibrate import calibrate, input_scale_mode
from rcompile.onnx_in.guard import guarded
from rcompile.onnx_in.linears import Found, Linear, Unmapped, find_linears
from rcompile.onnx_in.moments import input_moments
from rcompile.onnx_in.read import read_model
from rcompile.onnx_in.samples import samples_digest
from rcompile.options import UNCHANGED, CompileOptions
from rcompile.protection.digits import lines_of
from rcompile.protection.for_die import KnownDie, known_die, on_chip, program_for_die
from rcompile.protection.protect import UNPROTECTED, Protection, protect, scheme_of, survey
from rcompile.vocabulary import Stage, words

STAGES = words(Stage)
Progress = Callable[[str, int, int], None]
Step = TypeVar("Step", bound=Linear | Planned | Encoded)


def silent(layer: str, done: int, total: int) -> None:
    """Reports nothing."""


@dataclass(frozen=True)
class Compiled:
    """What a compile did. manifest and bundle are None unless the bundle was written."""

    target: Target
    stage: Stage
    layers: tuple[LayerSummary, ...]
    unmapped: tuple[Unmapped, ...]
    manifest: Manifest | None = None
    bundle: Path | None = None


def compile_model(  # noqa: PLR0913 -- each is a thing of its own to ask for
    model: str | Path,
    target: str | Path | Target,
    out: str | Path | None = None,
    options: CompileOptions = UNCHANGED,
    *,
    samples: str | Path | None = None,
    die_map: str | Path | None = None,
    compensate: str | Path | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> Compiled:
    """Compile an ONNX model for a target into a bundle directory.

    model: the ONNX file. target: a name, a TOML file or a Target. out: the bundle; default: the model's name plus
    `.bundle`, in the working directory. samples: inputs that calibrate static input scales. die_map: the map of the
    chip that the images are for. compensate: inputs on which weights make up for each other's errors on that chip, as
    samples. force: replace an existing bundle. progress(layer, done, total) is called after each
    layer. Raises RcompileError.
    """
    job = _job(model, target, options, samples, die_map, compensate)
    bundle = Path(out) if out is not None else Path(f"{job.source.stem}.bundle")
    with claimed(bundle, force), guarded(job.source):
        graph = read_model(job.source)
        found = _find(graph, options)
        protected = _protect(found.linears, job, progress)
        moments = input_moments(graph, job.source, found.linears, Path(compensate)) if compensate else {}
        die = _known_die(found.linears, job, progress)
        scales = calibrate(graph, job.source, found.linears, Path(samples), job.target) if samples else {}
        encoded = _encode(found.linears, protected, job.target, die, moments)
        findings = Findings(scales, protected, found.unmapped, die)
        with new_bundle(bundle) as folder:
            written = write_bundle(folder, job, graph, _reporting(encoded, found, progress), findings)
    return Compiled(job.target, "emit", written.summaries, found.unmapped, written.manifest, bundle)


def rehearse(  # noqa: PLR0913 -- as compile_model
    model: str | Path,
    target: str | Path | Target,
    options: CompileOptions = UNCHANGED,
    *,
    samples: str | Path | None = None,
    die_map: str | Path | None = None,
    compensate: str | Path | None = None,
    stop_after: Stage = "encode",
    progress: Progress = silent,
) -> Compiled:
    """Run the stages of `compile_model` up to one before emit; write nothing."""
    job = _job(model, target, options, samples, die_map, compensate)
    with guarded(job.source):
        return _rehearse(job, None if compensate is None else Path(compensate), stop_after, progress)


def _rehearse(job: Job, compensate: Path | None, stop_after: Stage, progress: Progress) -> Compiled:
    depth = STAGES.index(stop_after)
    graph = read_model(job.source)
    if stop_after == "read":
        return Compiled(job.target, stop_after, (), ())
    found = _find(graph, job.options)
    protect_too = depth >= STAGES.index("protect")
    protected = _protect(found.linears, job, progress) if protect_too else UNPROTECTED
    die = _known_die(found.linears, job, progress) if protect_too else None
    steps: Iterator[Linear | Planned | Encoded] = iter(found.linears)
    if depth >= STAGES.index("quantize"):
        steps = (_checked(linear, job.target) for linear in found.linears)
    if depth >= STAGES.index("tile"):
        steps = _plan(found.linears, protected, job.target, die)
    if depth >= STAGES.index("encode"):
        moments = input_moments(graph, job.source, found.linears, compensate) if compensate else {}
        steps = _encode(found.linears, protected, job.target, die, moments)
    layers = tuple(summarize(step) for step in _reporting(steps, found, progress))
    return Compiled(job.target, stop_after, layers, found.unmapped)


def _job(
    model: str | Path,
    target: str | Path | Target,
    options: CompileOptions,
    samples: str | Path | None,
    die_map: str | Path | None,
    compensate: str | Path | None,
) -> Job:
    """What is asked, checked as far as it can be before any work is done."""
    if compensate is not None and die_map is None:
        raise UsageError("--compensate makes up for the stuck cells of one chip: give its map with --die-map.")
    hardware = target if isinstance(target, Target) else load_target(target)
    options.check()
    options = options.model_copy(update={"protect": scheme_of(options, hardware, die_map is not None)})
    found, compensation = (None if path is None else Path(path) for path in (samples, compensate))
    chip = None if die_map is None else chip_map(Path(die_map), hardware)
    mode = input_scale_mode(hardware, found)
    return Job(Path(model), hardware, options, mode, samples_digest(found), chip, samples_digest(compensation))


def _find(graph: ir.Model, options: CompileOptions) -> Found:
    """The linears that are asked for. Raises UsageError for a glob that matches none."""

    def stay(names: Sequence[str]) -> set[str]:
        kept = _matching("--keep-on-host", options.keep_on_host, names)
        return kept | (set(names) - _matching("--only", options.only, names) if options.only else set())

    return find_linears(graph, stay)


def _matching(option: str, patterns: Sequence[str], names: Sequence[str]) -> set[str]:
    """The names that match any of an option's globs. Raises UsageError for a glob that matches none."""
    matched: set[str] = set()
    for pattern in patterns:
        found = {name for name in names if fnmatch.fnmatchcase(name, pattern)}
        if not found:
            raise UsageError(f"{option} '{pattern}' matches no layer. Layers: {', '.join(names)}.")
        matched |= found
    return matched


def _protect(linears: Sequence[Linear], job: Job, progress: Progress) -> Protection:
    """Replicas for every layer. Layers compete for crossbars, so all are surveyed before any is placed."""
    if not job.options.copies:
        return UNPROTECTED
    surveys = []
    for done, linear in enumerate(linears, 1):
        quantized = quantize(linear, job.target)
        surveys.append(survey(quantized, compact(quantized), job.target))
        progress(f"survey {linear.name}", done, len(linears))
    return protect(surveys, job.options, job.target)


def _known_die(linears: Sequence[Linear], job: Job, progress: Progress) -> KnownDie | None:
    """The crossbars of the chip that the model takes, and its digits there; None without a map. Raises BadInputError
    for a chip that has not enough.
    """
    if job.chip is None:
        return None
    layers, dense = [], 0
    for done, linear in enumerate(linears, 1):
        quantized = quantize(linear, job.target)
        layers.append(lines_of(quantized, compact(quantized), job.target))
        dense += plain_crossbars(linear.inputs, linear.outputs, job.target)
        progress(f"survey {linear.name}", done, len(linears))
    return known_die(layers, dense, job.chip, job.options.protect == "die")


def _plan(linears: Sequence[Linear], protected: Protection, target: Target, die: KnownDie | None) -> Iterator[Planned]:
    """Every layer on crossbars of its own, one at a time: memory is bounded by the largest layer."""
    first_crossbar, encoding = 0, die.encoding if die else target.encoding
    for linear in linears:
        replicas = protected.replicas.get(linear.name, plain(linear.outputs, encoding))
        planned = plan(linear, replicas, encoding, target, first_crossbar)
        first_crossbar += planned.placement.tiles
        yield on_chip(planned, die) if die else planned


def _encode(
    linears: Sequence[Linear],
    protected: Protection,
    target: Target,
    die: KnownDie | None,
    moments: Mapping[str, F32],
) -> Iterator[Encoded]:
    """The cells of every layer, held against the rules that every reader holds them against: one that breaks any is a
    bug, and is not written. moments: of a layer's inputs, by its name; none where errors are not to be made up for.
    """
    crossbars = np.empty(0, np.int32)
    for planned in _plan(linears, protected, target, die):
        encoded = (
            program_for_die(planned, die, target, moments.get(planned.linear.name)) if die else program(planned, target)
        )
        if wrong := broken_rules(encoded.form(target, crossbars)):
            raise AssertionError(
                f"layer '{planned.linear.name}' was encoded against the normal form: {'; '.join(map(str, wrong))}"
            )
        crossbars = np.concatenate([crossbars, encoded.tiles.placement.crossbar])
        yield encoded


def _checked(linear: Linear, target: Target) -> Linear:
    """A linear that can be quantized and compacted."""
    compact(quantize(linear, target))
    return linear


def _reporting(steps: Iterator[Step], found: Found, progress: Progress) -> Iterator[Step]:
    for done, (step, linear) in enumerate(zip(steps, found.linears, strict=True), 1):
        yield step
        progress(linear.name, done, len(found.linears))
