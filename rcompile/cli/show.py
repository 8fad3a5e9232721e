"""What the commands print: tables for people, JSON for programs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from rcompile.bundle.diff import Difference
from rcompile.bundle.manifest import LedgerRow, Manifest
from rcompile.bundle.reader import Bundle, Layer
from rcompile.hardware.describe import DescribedEffect, describe
from rcompile.hardware.target import Target
from rcompile.layout.normal_form import Tiles
from rcompile.pipeline import Compiled

if TYPE_CHECKING:
    from rcompile.train.run import Pruned

SHADES = " ░▒▓█"


def to_json(value: Any) -> str:
    """Indented JSON of dataclasses, schemas and plain values."""

    def plain(item: Any) -> Any:
        if isinstance(item, BaseModel):
            return item.model_dump(mode="json")
        if dataclasses.is_dataclass(item) and not isinstance(item, type):
            return {f.name: getattr(item, f.name) for f in dataclasses.fields(item)}
        return str(item)

    return json.dumps(value, indent=2, ensure_ascii=False, default=plain)


def table(*columns: str, right: frozenset[int] = frozenset()) -> Table:
    """A plain table; the columns whose numbers are in `right` are flush right."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for i, column in enumerate(columns):
        made.add_column(column, justify="right" if i in right else "left", overflow="fold")
    return made


def count(number: int | None) -> str:
    """An integer with thin grouping, or a dash."""
    return "-" if number is None else f"{number:,}"


def compiled_summary(result: Compiled) -> dict[str, Any]:
    """The JSON of a compile."""
    return {
        "target": result.target.name,
        "stage": result.stage,
        "bundle": None if result.bundle is None else str(result.bundle),
        "layers": result.layers,
        "crossbars": sum(row.crossbars or 0 for row in result.layers),
        "cells_used": sum(row.cells_used or 0 for row in result.layers),
        "unmapped": result.unmapped,
        "tokenizer": None if result.manifest is None else result.manifest.source.tokenizer,
        "die": None if result.manifest is None else result.manifest.die,
        "ledger": None
        if result.manifest is None
        else {"layers": result.manifest.ledger, "total": result.manifest.total()},
    }


def print_compiled(result: Compiled, console: Console, every_layer: bool) -> None:
    """What a compile did, for people."""
    if every_layer:
        rows = table("layer", "inputs", "outputs", "nodes", "crossbars", "cells used", right=frozenset({1, 2, 3, 4, 5}))
        for row in result.layers:
            rows.add_row(
                row.name, str(row.inputs), str(row.outputs), str(row.nodes), count(row.crossbars), count(row.cells_used)
            )
        console.print(rows)
        for item in result.unmapped:
            console.print(f"on the host: {item.op} {item.node}: {item.reason}", highlight=False)
    weights = sum(row.inputs * row.outputs for row in result.layers)
    crossbars = sum(row.crossbars or 0 for row in result.layers)
    where = f" -> {result.bundle}" if result.bundle is not None else f" (stopped after {result.stage}; nothing written)"
    dense = f" (dense: {result.manifest.total().crossbars_dense:,})" if result.manifest else ""
    size = (
        f" on {crossbars:,} crossbars of {result.target.crossbar.rows}x{result.target.crossbar.cols}{dense}"
        if crossbars
        else ""
    )
    console.print(
        f"{len(result.layers)} linears, {weights:,} weights{size}; {len(result.unmapped)} products stay on the host{where}",
        highlight=False,
    )
    if result.manifest is not None and result.manifest.protection is not None:
        console.print(_protection_line(result.manifest), highlight=False)
    if result.manifest is not None and result.manifest.source.tokenizer is None:
        console.print(
            "no tokenizer.json beside the model: `rcompile evaluate` will not be able to read text", highlight=False
        )


def print_pruned(result: Pruned, console: Console) -> None:
    """What pruning left, kind by kind of line."""
    kinds: dict[str, list[int]] = {}
    for name, (kept, of) in result.kept.items():
        sums = kinds.setdefault(name.removeprefix("layer.").lstrip("0123456789."), [0, 0])
        sums[0], sums[1] = sums[0] + kept, sums[1] + of
    if kinds:
        rows = table("lines", "kept", "of", "share", right=frozenset({1, 2, 3}))
        for kind, (kept, of) in sorted(kinds.items()):
            rows.add_row(kind, count(kept), count(of), f"{100 * kept / of:.0f} %")
        console.print(rows)
    share = result.crossbars_pruned / result.crossbars_dense
    console.print(
        f"{result.crossbars_pruned:,} of {result.crossbars_dense:,} crossbars ({100 * share:.1f} %) -> {result.out}",
        highlight=False,
    )


def target_summary(target: Target) -> dict[str, Any]:
    """The JSON of `targets check`."""
    return {
        "name": target.name,
        "valid": True,
        "encoding": target.encoding,
        "bitlines_per_output": target.bitlines_per_output,
        "leaked_levels": target.hrs_levels,
    }


def print_target(target: Target, console: Console) -> None:
    """A target, key by key."""
    console.print(f"{target.name}: {target.description}", highlight=False)
    rows = table("key", "value", "unit", "meaning", "source", right=frozenset({1}))
    for key in describe(target):
        value = ", ".join(map(str, key.value)) if isinstance(key.value, list) else str(key.value)
        rows.add_row(key.key, value, key.unit, key.meaning, key.source)
    console.print(rows)


def print_effects(effects: Sequence[DescribedEffect], console: Console) -> None:
    """Every effect, its meaning and source above its keys."""
    for effect in effects:
        console.print(f"{effect.name}: {effect.meaning}", highlight=False)
        console.print(f"  source: {effect.source}", highlight=False)
        rows = table("  key", "default", "unit", "meaning", right=frozenset({1}))
        for key in effect.keys:
            rows.add_row(f"  {key.key}", "none" if key.value is None else str(key.value), key.unit, key.meaning)
        console.print(rows)
        console.print()


def bundle_summary(bundle: Bundle) -> dict[str, Any]:
    """The JSON of `inspect DIR`."""
    manifest = bundle.manifest
    return {
        "bundle": str(bundle.folder),
        "format_version": manifest.format_version,
        "target": manifest.target.name,
        "source": manifest.source,
        "options": manifest.options,
        "input_scale": manifest.input_scale,
        "combiner": manifest.combiner,
        "stored_bits": manifest.stored_bits,
        "protection": manifest.protection,
        "die": manifest.die,
        "layers": manifest.layers,
        "ledger": {"layers": manifest.ledger, "total": manifest.total()},
        "unmapped": manifest.unmapped,
    }


def _ledger_cells(row: LedgerRow) -> tuple[str, ...]:
    share = f"{100 * row.cells_used / row.cells:.1f} %"
    return count(row.crossbars_dense), count(row.crossbars_pruned), count(row.crossbars), share


def _protection_line(manifest: Manifest) -> str:
    protection, options = manifest.protection, manifest.options
    assert protection is not None
    text = f"protected: {options.protect}, voting by {manifest.combiner}"
    if protection.predicted_error is None or protection.sa0 is None or protection.sa1 is None:
        return text
    error, rates = (
        f"{100 * protection.predicted_error**0.5:.1f} %",
        f"SA0 {protection.sa0:.3%}, SA1 {protection.sa1:.3%}",
    )
    if options.chooses_rates:
        return f"{text}; predicted to carry {protection.sa0 + protection.sa1:.2%} stuck cells ({rates}), where an output has an error of {error}"
    return f"{text}; predicted error of an output {error} at {rates}"


def print_bundle(bundle: Bundle, console: Console) -> None:
    """A bundle, layer by layer."""
    manifest = bundle.manifest
    console.print(
        f"{bundle.folder}: {manifest.source.name} for {manifest.target.name}, {manifest.input_scale} input scales",
        highlight=False,
    )
    columns = ("layer", "inputs", "outputs", "first tile", "crossbars dense", "pruned", "as compiled", "cells used")
    rows = table(*columns, right=frozenset(range(1, 8)))
    for entry, row in zip(manifest.layers, manifest.ledger, strict=True):
        rows.add_row(entry.name, str(entry.inputs), str(entry.outputs), count(entry.first_tile), *_ledger_cells(row))
    rows.add_section()
    rows.add_row("total", "", "", "", *_ledger_cells(manifest.total()))
    console.print(rows)
    if manifest.protection is not None:
        console.print(_protection_line(manifest), highlight=False)
    if manifest.die is not None:
        samples = manifest.die.compensation_sha256
        console.print(
            f"for one die: {manifest.die.stuck_share:.2%} of its cells are stuck, weights are {manifest.die.relative_error:.2%} off{f', compensated on samples {samples[:12]}' if samples else ''}; map {manifest.die.map_sha256[:12]}",
            highlight=False,
        )
    console.print(f"on the host: {len(manifest.unmapped)} products (`--json` lists them with reasons)", highlight=False)


def tile_summary(layer: Layer, tile: int, target: Target) -> dict[str, Any]:
    """The JSON of `inspect DIR --tile LAYER:T`: the normal form of one tile, and the conductance of each level."""
    tensors = {name: array[tile].tolist() for name, array in layer.tiles.tensors().items()}
    conductance = [target.conductance_siemens(level) for level in range(target.top_level + 1)]
    return {
        "layer": layer.entry.name,
        "tile": tile,
        "bundle_tile": layer.entry.first_tile + tile,
        "conductance_siemens": conductance,
        **tensors,
    }


def print_tile(layer: Layer, tile: int, target: Target, console: Console) -> None:
    """One tile: what its lines carry, and its levels as shades."""
    place = layer.tiles.placement
    driven, used = place.wordline_input[tile] >= 0, place.bitline_output[tile] >= 0
    features, outputs = place.wordline_input[tile][driven], place.bitline_output[tile][used]
    console.print(
        f"{layer.entry.name}, tile {tile} of {place.tiles} (number {layer.entry.first_tile + tile} of the bundle)",
        highlight=False,
    )
    console.print(
        f"wordlines: {driven.sum()} of {len(driven)} driven, by inputs {features.min()} .. {features.max()}",
        highlight=False,
    )
    inverted = int(layer.tiles.bitline_inverted[tile].sum())
    console.print(
        f"bitlines: {used.sum()} of {len(used)} used, for outputs {outputs.min()} .. {outputs.max()}, {inverted} inverted",
        highlight=False,
    )
    for level in range(target.top_level + 1):
        cells = int((layer.tiles.levels[tile][driven][:, used] == level).sum())
        console.print(f"level {level}: {target.conductance_siemens(level):.3e} S, {cells:,} cells", highlight=False)
    for line in _shaded(layer.tiles, tile, target):
        console.print(line, highlight=False, markup=False, no_wrap=True, crop=False, soft_wrap=True)


def _shaded(tiles: Tiles, tile: int, target: Target) -> list[str]:
    """Levels as shades, a character for two wordlines and one bitline."""
    levels = tiles.levels[tile].astype(float)
    pairs = (
        (levels[0::2][: len(levels) // 2] + levels[1::2][: len(levels) // 2]) / (2 * target.top_level)
        if len(levels) > 1
        else levels / target.top_level
    )
    return ["".join(SHADES[round(v * (len(SHADES) - 1))] for v in row) for row in pairs]


def print_difference(found: Difference, console: Console) -> None:
    """The cells that change from bundle A to bundle B."""
    for what, names in (
        ("only in A", found.only_in_a),
        ("only in B", found.only_in_b),
        ("differs in size", found.reshaped),
        ("differs in its maps", found.remapped),
    ):
        for name in names:
            console.print(f"{name}: {what}", highlight=False)
    for bundle, only in (("A", found.crossbars_only_in_a), ("B", found.crossbars_only_in_b)):
        if only:
            console.print(f"{count(len(only))} crossbars are used only in {bundle}", highlight=False)
    if found.tiles:
        columns = ("crossbar", "layer", "tile", "cells", "levels up", "levels down")
        rows = table(*columns, right=frozenset({0, 2, 3, 4, 5}))
        for tile in found.tiles:
            numbers = (count(n) for n in (tile.cells, tile.levels_up, tile.levels_down))
            rows.add_row(str(tile.crossbar), tile.layer, str(tile.tile), *numbers)
        console.print(rows)
    cells = sum(t.cells for t in found.tiles)
    console.print(
        "the same cells" if found.same else f"{cells:,} cells change, on {len(found.tiles)} crossbars", highlight=False
    )
