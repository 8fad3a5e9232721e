"""Check a bundle: everything that its manifest says of its files, and everything that the host graph says of both."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rcompile.bundle.die_check import die_problems
from rcompile.bundle.host_check import graph_problems
from rcompile.bundle.ledger import Copies, allocation_entries, held_copies, ledger_row
from rcompile.bundle.manifest import MODEL, LayerEntry, codes_dtype
from rcompile.bundle.prediction import predict, survey_decoded
from rcompile.bundle.reader import Bundle, DamagedError
from rcompile.hardware.faults import chip_map
from rcompile.layout.compact import placed_lines, used_lines
from rcompile.layout.normal_form import BlockCodes, decode_blocks
from rcompile.protection.allocate import Survey
from rcompile.protection.protect import combiners_of, may_allocate_for

# Codes that are hashed at a time: a pruned layer has more weights than cells, so they are never all at hand.
BAND = 1 << 22
# Of sums in another order, on another machine.
PREDICTION_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class Found:
    """What a sound layer turned out to hold. survey: None where a prediction cannot be made from the arrays."""

    entry: LayerEntry
    copies: Copies
    survey: Survey | None


def check(bundle: Bundle, die_map: Path | None = None) -> Iterator[tuple[str, list[str]]]:
    """Every check of `rcompile check`, one at a time: what was checked, and every problem found there. die_map: the map
    of the die that the images are for, if it is at hand. Raises BadInputError for a file that is none for the target.
    """
    chip = chip_map(die_map, bundle.manifest.target) if die_map else None
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
    sound: list[Found] = []
    for entry in (e for e in bundle.manifest.layers if e.file not in damaged):
        found, problems = _layer_problems(bundle, entry)
        sound += [found] if found else []
        yield f"layer {entry.name}", problems
    yield "protection", _protection_problems(bundle, sound)
    if chip:
        yield "die", die_problems(bundle, chip, [found.entry for found in sound])
    if MODEL not in damaged:
        yield "host graph", graph_problems(bundle, [found.entry for found in sound])


def _manifest_problems(bundle: Bundle) -> list[str]:
    manifest, wrong, expected = bundle.manifest, [], 0
    if manifest.target.sha256 != manifest.target_sha256:
        wrong.append("the target is not the one that target_sha256 names")
    for entry in manifest.layers:
        if entry.first_tile != expected:
            wrong.append(f"layer '{entry.name}': first_tile is {entry.first_tile}, the layers before take {expected}")
        expected += entry.tiles
        digits = set(entry.encoding.digits)
        if entry.encoding != manifest.target.encoding and not (manifest.die and digits <= manifest.target.digits_apply):
            wrong.append(
                f"layer '{entry.name}' is in digits {entry.encoding}, the target's shift-add cannot apply them"
            )
    if [row.layer for row in manifest.ledger] != [entry.name for entry in manifest.layers]:
        wrong.append("the ledger has not a row for each layer, in their order")
    if manifest.options.protect == "die" and manifest.die is None:
        wrong.append("options.protect is die, but no die is named")
    for name in (manifest.source.model, manifest.source.tokenizer, MODEL, *(e.file for e in manifest.layers)):
        if name is not None and name not in manifest.files:
            wrong.append(f"'{name}' is not among the files")
    return wrong


def _layer_problems(bundle: Bundle, entry: LayerEntry) -> tuple[Found | None, list[str]]:
    try:
        layer = bundle.layer(entry)
    except DamagedError as damage:
        return None, [damage.text]
    target = bundle.manifest.target
    die_known = bundle.manifest.die is not None
    blocks = list(decode_blocks(layer.tiles, target))
    fits = die_known or all(np.abs(block.codes).max(initial=0) <= target.weight_code_max for block in blocks)
    if not fits or _codes_sha256(entry, blocks, codes_dtype(die_known)) != entry.codes_sha256:
        what = "weights that were found for their die" if die_known else "quantized weights"
        return None, [f"the images do not decode to the {what}"]
    placement = layer.tiles.placement
    # A die may make a line of weights all zero.
    lines = placed_lines(blocks) if die_known else used_lines(blocks)
    row = ledger_row(entry.name, (entry.inputs, entry.outputs), lines, placement, target).model_dump()
    listed = next((r.model_dump() for r in bundle.manifest.ledger if r.layer == entry.name), row)
    wrong = [f"the ledger says {key} {listed[key]}, the images {n}" for key, n in row.items() if listed[key] != n]
    survey = survey_decoded(layer, blocks, lines, target) if bundle.manifest.protection else None
    return Found(entry, held_copies(placement), survey), wrong


def _codes_sha256(entry: LayerEntry, blocks: Sequence[BlockCodes], dtype: np.dtype[np.signedinteger]) -> str:
    """The digest of the dense codes."""
    block_of = np.full(entry.inputs, -1, np.int32)
    row_of = np.zeros(entry.inputs, np.int32)
    for i, block in enumerate(blocks):
        block_of[block.inputs], row_of[block.inputs] = i, np.arange(len(block.inputs))
    digest, rows = hashlib.sha256(), max(1, BAND // entry.outputs)
    for start in range(0, entry.inputs, rows):
        held = block_of[start : start + rows]
        band = np.zeros((len(held), entry.outputs), dtype)
        for i in np.unique(held[held >= 0]):
            inputs = np.flatnonzero(held == i)
            band[np.ix_(inputs, blocks[i].outputs)] = blocks[i].codes[row_of[start + inputs]]
        digest.update(band.tobytes())
    return digest.hexdigest()


def _protection_problems(bundle: Bundle, sound: Sequence[Found]) -> list[str]:
    """Does the summary of protection say what the images hold? Only sound layers are compared."""
    manifest, protection = bundle.manifest, bundle.manifest.protection
    if (protection is None) == manifest.options.copies:
        return [f"options.protect is {manifest.options.protect}, which the summary of protection contradicts"]
    if protection is None:
        copied = [f.entry.name for f in sound if (f.copies.counts != 1).any()]
        wrong = [f"layer '{name}' does not hold each digit once, but nothing is protected" for name in copied]
        return wrong + [f"combiner is {manifest.combiner}, but nothing is protected"] * (manifest.combiner != "none")
    wrong = [
        f"layer '{found.entry.name}' does not hold the copies that protection.allocations lists"
        for found in sound
        if protection.allocations.get(found.entry.name) != allocation_entries(found.copies)
    ]
    if unknown := sorted(set(protection.allocations) - {entry.name for entry in manifest.layers}):
        wrong.append(f"protection.allocations lists '{unknown[0]}', which is no layer")
    if manifest.combiner not in combiners_of(manifest.options, manifest.target):
        wrong.append(f"combiner {manifest.combiner} is not one that options and target allow")
    rates = protection.sa0 or 0.0, protection.sa1 or 0.0
    if not may_allocate_for(rates, manifest.options, manifest.target):
        return [*wrong, f"protection is for rates {rates[0]} and {rates[1]}, which options and target do not give"]
    error = predict([(f.survey, f.copies) for f in sound], manifest.combiner, manifest.target, rates)
    if len(sound) == len(manifest.layers) and error is not None:
        said = protection.predicted_error
        if said is None or not np.isclose(said, error, rtol=PREDICTION_TOLERANCE, atol=0):
            wrong.append(f"predicted_error is {said}, the images give {error}")
    return wrong
