"""For a known die: levels for the cells of one chip, of which some are stuck. docs/protection.md, "When the die is
known", is the prose.

A stuck cell's level in an image is the one that it is stuck at: what the image decodes to is what that die computes
with, and programming asks of no cell what it cannot do.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from rcompile.errors import BadInputError
from rcompile.hardware.encoding import Encoding
from rcompile.hardware.faults import ChipMap, Fault, stuck_cells
from rcompile.hardware.target import Target
from rcompile.layout.normal_form import F32, I32, I64, U8, Placement, Tiles
from rcompile.layout.steps import Encoded, Planned
from rcompile.protection.compensate import Feeds, compensate, feeds_of
from rcompile.protection.digits import Lines, choose_digits, most_bitlines
from rcompile.protection.nearest import FREE, Block, Descent, Held, Reads
from rcompile.protection.order import cleanest_crossbars, cleanest_first, heaviest_first
from rcompile.protection.reachable import Reachable

# Crossbars whose cells digits are tried on.
TRIED_CROSSBARS = 64
# A crossbar of which more is stuck is not used. Memory whose stuck cells are known when it is written stores at most
# the share of its cells that is free (Kuznetsov and Tsybakov 1974): such a crossbar, less than half of a sound one.
MOST_STUCK = 0.5
# That a thread takes at a time, in half of an even number of parts.
MOST_OUTPUTS = 512


@dataclass(frozen=True, eq=False)
class KnownDie:
    """The crossbars of a chip that a model takes: i32, in rising order. faults: u8 [crossbars, rows, cols] of `Fault`.
    map_sha256: of the file that says so. encoding: the digits that weights are written in on it.
    """

    map_sha256: str
    crossbars: I32
    faults: U8
    encoding: Encoding

    def faults_of(self, crossbars: I32) -> U8:
        """The fault of each cell of some of these crossbars: u8 [len(crossbars), rows, cols]."""
        return self.faults[np.searchsorted(self.crossbars, crossbars)]

    @property
    def stuck_share(self) -> float:
        """Share of cells that are stuck."""
        return float(np.count_nonzero(self.faults != Fault.GOOD) / self.faults.size)


def known_die(layers: Sequence[Lines], dense_crossbars: int, chip: ChipMap, choose: bool) -> KnownDie:
    """The crossbars of a chip that a model takes, those with the fewest stuck cells, and its digits there: the target's
    own, or, to choose, the best ones within the crossbars of the dense model. Raises BadInputError for a chip that has
    too few that can be used.
    """
    target, encoding = chip.target, chip.target.encoding
    own = sum(layer.crossbars(len(encoding.digits), target) for layer in layers)
    stuck = chip.stuck_cells()
    usable = int(np.count_nonzero(stuck <= MOST_STUCK * target.crossbar.rows * target.crossbar.cols))
    if own > usable:
        sound = f", {usable} of them with at most {MOST_STUCK:.0%} of their cells stuck"
        raise BadInputError(
            f"the chip of '{chip.path}' has {chip.crossbars} crossbars{sound if usable < chip.crossbars else ''}, the model needs {own} of target '{target.name}'. Give the map of a larger or better chip, prune the model (`rcompile train`, `rcompile prune`), or leave layers on the CPU (--keep-on-host, --only)."
        )
    bitlines = most_bitlines(layers, min(dense_crossbars, usable), target) if choose else len(encoding.digits)
    needed = sum(layer.crossbars(bitlines, target) for layer in layers)
    if choose:
        some = cleanest_crossbars(stuck, needed)[:: max(1, needed // TRIED_CROSSBARS)]
        encoding = choose_digits(layers, bitlines, chip.faults(some), target)
        needed = sum(layer.crossbars(len(encoding.digits), target) for layer in layers)
    crossbars = cleanest_crossbars(stuck, needed)
    return KnownDie(chip.sha256, crossbars, chip.faults(crossbars), encoding)


def on_chip(planned: Planned, die: KnownDie) -> Planned:
    """A layer that was placed on crossbars 0, 1 and so on, on those that the model takes, its lines in the order that
    suits them.
    """
    placement = replace(planned.placement, crossbar=die.crossbars[planned.placement.crossbar])
    faults, quantized = die.faults_of(placement.crossbar), planned.quantized
    # No matrix product: its order of summation, and so the order of lines, would depend on the machine.
    weight = ((quantized.codes * quantized.weight_scale) ** 2).sum(axis=1, dtype=np.float64)
    placement = heaviest_first(placement, faults, weight)
    return replace(planned, placement=cleanest_first(placement, faults))


def program_for_die(
    planned: Planned, die: KnownDie, target: Target, moments: F32 | None = None, threads: int | None = None
) -> Encoded:
    """The levels of a planned layer's cells on a die: every weight as near to its code as its cells let it be, or, with
    the second moments of its inputs, float32 [K, K], so that the errors of an output make up for each other.

    Each digit of an output is on one bitline: replicas, which hold the same levels, cannot suit a die. Outputs have
    nothing to do with each other, so that threads, by default one a core, each take some at a time.
    """
    layer = _Layer(planned, die, target)
    feeds = None
    if moments is not None:
        inputs = np.concatenate([block.inputs for block in layer.row_blocks])
        feeds = feeds_of(moments[np.ix_(inputs, inputs)])
    number = len(layer.row_blocks[0].outputs)
    parts = np.array_split(np.arange(number), 2 * -(-number // MOST_OUTPUTS))
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        for done in [pool.submit(layer.program, part, feeds) for part in parts]:
            done.result()
    tiles = Tiles(planned.placement, np.ascontiguousarray(layer.levels.transpose(0, 2, 1)), layer.inverted)
    return Encoded(planned, tiles, layer.held)


@dataclass(frozen=True, eq=False)
class RowBlock:
    """One row block. wordlines: i64 [k]; inputs: i32 [k], that drive them; outputs: i32 [n]. tile, col: i64 [digits,
    n], the bitline of each digit of each output.
    """

    wordlines: I64
    inputs: I32
    outputs: I32
    tile: I64
    col: I64


class _Layer:
    """The cells of a layer, bitline by bitline, so that what is moved lies together: stuck, what each cell is stuck at
    or FREE, and levels, u8 [T, cols, rows]. inverted: u8 [T, cols]. held: i16 [K, N].
    """

    def __init__(self, planned: Planned, die: KnownDie, target: Target) -> None:
        self.target, self.encoding, self.codes = target, planned.placement.encoding, planned.quantized.codes
        self.row_blocks = list(row_blocks_of(planned.placement))
        faults = die.faults_of(planned.placement.crossbar)
        self.stuck = stuck_cells(np.ascontiguousarray(faults.transpose(0, 2, 1)), target.top_level, FREE)
        self.levels = np.zeros_like(self.stuck)
        self.inverted = np.zeros(self.stuck.shape[:2], np.uint8)
        self.held = np.zeros(self.codes.shape, np.int16)

    def program(self, part: I64, feeds: Feeds | None) -> None:
        """Fill in what some outputs hold: places in the row blocks' lists."""
        reads = [
            _reads(block.wordlines, self.target) if self.target.weights.column_inversion else None
            for block in self.row_blocks
        ]
        descents = (self._descent(block, part) for block in self.row_blocks)
        if feeds is None:
            for block, descent, read in zip(self.row_blocks, descents, reads, strict=True):
                self._write(block, part, descent.held(descent.settle(read)))
            return
        kept = list(descents)
        settled = [descent.settle(read) for descent, read in zip(kept, reads, strict=True)]
        for block, descent, levels in zip(self.row_blocks, kept, compensate(kept, settled, reads, feeds), strict=True):
            self._write(block, part, descent.held(levels))

    def _descent(self, block: RowBlock, part: I64) -> Descent:
        wanted = self.codes[np.ix_(block.inputs, block.outputs[part])].astype(np.int16)
        stuck = self.stuck[block.tile[:, part], block.col[:, part]][:, :, block.wordlines]
        cells = Block(wanted + np.int16(self.encoding.offset), np.ascontiguousarray(stuck.transpose(0, 2, 1)))
        return Descent(cells, self.encoding.digits, _reachable(self.encoding, self.target.top_level))

    def _write(self, block: RowBlock, part: I64, found: Held) -> None:
        tile, col, lines = block.tile[:, part], block.col[:, part], np.ix_(block.inputs, block.outputs[part])
        self.levels[tile[..., None], col[..., None], block.wordlines] = found.levels.transpose(0, 2, 1)
        self.inverted[tile, col] = found.inverted
        self.held[lines] = self.codes[lines] - found.missed


def row_blocks_of(placement: Placement) -> Iterator[RowBlock]:
    """The row blocks of a placement in which each digit of an output is on one bitline."""
    for tiles in placement.row_blocks():
        wordlines = np.flatnonzero(placement.wordline_input[tiles.start] >= 0)
        tile, col = np.nonzero(placement.bitline_output[tiles] >= 0)
        digit = placement.bitline_digit[tiles][tile, col]
        outputs, column = np.unique(placement.bitline_output[tiles][tile, col], return_inverse=True)
        assert len(digit) == len(placement.encoding.digits) * len(outputs), "a digit is given up, or copied"
        at = np.empty((2, len(placement.encoding.digits), len(outputs)), np.int64)
        at[:, digit, column] = tiles.start + tile, col
        yield RowBlock(wordlines, placement.wordline_input[tiles.start, wordlines], outputs, *at)


def relative_error(encoded: Encoded) -> float:
    """How far the weights that the cells hold are from those that they should hold: the norm of the difference over the
    norm of the weights.
    """
    wanted, scale = encoded.planned.quantized.codes, encoded.planned.quantized.weight_scale.astype(np.float64) ** 2
    missed = (encoded.codes.astype(np.int32) - wanted).astype(np.float64)
    energy = float((wanted.astype(np.float64) ** 2).sum(axis=0) @ scale)
    error = float((missed**2).sum(axis=0) @ scale)
    return float(np.sqrt(error / energy)) if energy else float(error > 0)


@cache
def _reachable(encoding: Encoding, top_level: int) -> Reachable:
    return Reachable(encoding, top_level)


def _reads(wordlines: I64, target: Target) -> Reads:
    """What the cells of a bitline may add up to so that no read can clip. docs/hardware.md, "Collapse"."""
    unit, wordlines_of = np.unique(wordlines // target.crossbar.active_rows, return_inverse=True, return_counts=True)[
        1:
    ]
    if not target.adc.bits:
        return Reads(unit, np.full(len(wordlines_of), np.inf))
    leak = target.hrs_levels * target.top_pulse * wordlines_of
    largest = ((1 << target.adc.bits) - 0.5) * target.adc.step_levels
    return Reads(unit, np.floor((largest - leak) / target.top_pulse))
