"""Bundles: what a report shows of those that still lie in the campaign's folder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rcompile.bundle.manifest import LedgerRow
from rcompile.bundle.reader import Bundle
from rcompile.errors import RcompileError
from rcompile.hardware.effects.table import Effects
from rcompile.hardware.faults import Fault, apply_faults
from rcompile.report.lines import Scored
from rcompile.report.repeat import bundle_folder, compile_command
from rcompile.report.summary import Point
from runtime.die.virtual import Die

U8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Source:
    """A model as it was compiled, or a bundle that was given. ledger: of its bundle, if that is there."""

    run: Scored
    ledger: LedgerRow | None
    command: str


@dataclass(frozen=True, eq=False)
class Tile:
    """A tile as programmed, and its faults on a die. levels, held, faults: u8 [rows, cols]; the level that each cell
    was given, that it holds, and its `Fault`. command: that shows it.
    """

    address: str
    run: Scored
    levels: U8
    held: U8
    faults: U8
    top_level: int
    command: str

    @property
    def stuck(self) -> int:
        """Cells that are stuck."""
        return int((self.faults != Fault.GOOD).sum())

    @property
    def changed(self) -> int:
        """Cells that hold another level than they were given."""
        return int((self.levels != self.held).sum())


def sources_of(folder: Path, runs: Sequence[Scored]) -> tuple[Source, ...]:
    """Each with the ledger of its bundle."""
    return tuple(Source(run, _ledger(folder, run), compile_command(run)) for run in runs)


def tile_of(folder: Path, worst: Sequence[Point]) -> Tile | None:
    """The first tile of a bundle on the first of these dies that is virtual, and whose bundle is there."""
    for run in (point.worst.runs[0] for point in worst):
        if run.die and run.die.map is None and run.compiled and not run.for_one_die:
            with suppress(RcompileError):
                return _tile(Bundle.open(folder / bundle_folder(run)), run)
    return None


def _tile(bundle: Bundle, run: Scored) -> Tile:
    assert run.die is not None
    target, address = bundle.manifest.target, f"{bundle.manifest.layers[0].name}:0"
    layer, number = bundle.tile(address)
    tiles, asked = layer.tiles, run.die
    die = Die(asked.seed, asked.sa0, asked.sa1, Effects.model_validate(asked.effects))
    faults = die.faults(layer.entry.name, tiles.placement.crossbar[number : number + 1], target)[0]
    levels, top = tiles.levels[number], target.top_level
    held = apply_faults(levels, faults, top)
    return Tile(address, run, levels, held, faults, top, f"rcompile inspect {bundle_folder(run)} --tile {address}")


def _ledger(folder: Path, run: Scored) -> LedgerRow | None:
    with suppress(RcompileError):
        if run.compiled and not run.for_one_die:
            return Bundle.open(folder / bundle_folder(run)).manifest.total()
    return None
