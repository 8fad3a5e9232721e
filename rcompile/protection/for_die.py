"""For a known die: levels for the cells of one chip, of which some are stuck. docs/protection.md, "When the die is
known", is the prose.

A stuck cell's level in an image is the one that it is stuck at: what the image decodes to is what that die computes
with, and programming asks of no cell what it cannot do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from rcompile.errors import BadInputError
from rcompile.hardware.encoding import Encoding
from rcompile.hardware.faults import ChipMap, Fault, stuck_cells
from rcompile.hardware.target import Target
from rcompile.layout.normal_form import I32, I64, U8, Tiles
from rcompile.layout.steps import Encoded, Planned
from rcompile.protection.digits import Lines, choose_digits, most_bitlines
from rcompile.protection.nearest import FREE, Block, Reads, hold
from rcompile.protection.order import cleanest_crossbars, cleanest_first, heaviest_first
from rcompile.protection.reachable import Reachable

# Crossbars whose cells digits are tried on.
TRIED_CROSSBARS = 64
# A crossbar of which more is stuck is not used. Memory whose stuck cells are known when it is written stores at most
# the share of its cells that is free (Kuznetsov and Tsybakov 1974): such a crossbar, less than half of a sound one.
MOST_STUCK = 0.5


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


def program_for_die(planned: Planned, die: KnownDie, target: Target) -> Encoded:
    """The levels of a planned layer's cells on a die: every weight as near to its code as its cells let it be.

    Each digit of an output is on one bitline: replicas, which hold the same levels, cannot suit a die.
    """
    placement, codes = planned.placement, planned.quantized.codes
    faults = die.faults_of(placement.crossbar)
    levels = np.zeros((placement.tiles, target.crossbar.rows, target.crossbar.cols), np.uint8)
    inverted = np.zeros(placement.bitline_output.shape, np.uint8)
    held = np.zeros(codes.shape, np.int16)
    for tiles in placement.row_blocks():
        wordlines = np.flatnonzero(placement.wordline_input[tiles.start] >= 0)
        inputs = placement.wordline_input[tiles.start, wordlines]
        tile, col = np.nonzero(placement.bitline_output[tiles] >= 0)
        digit = placement.bitline_digit[tiles][tile, col]
        outputs, column = np.unique(placement.bitline_output[tiles][tile, col], return_inverse=True)
        assert len(digit) == len(placement.encoding.digits) * len(outputs), "a digit is given up, or copied"
        # Bitline by bitline, so that what is moved lies together.
        by_bitline = np.ascontiguousarray(faults[tiles][:, wordlines].transpose(0, 2, 1))
        stuck = np.empty((len(placement.encoding.digits), len(outputs), len(inputs)), np.uint8)
        stuck[digit, column] = stuck_cells(by_bitline[tile, col], target.top_level, FREE)
        wanted = codes[np.ix_(inputs, outputs)].astype(np.int16)
        block = Block(wanted + np.int16(placement.encoding.offset), np.ascontiguousarray(stuck.transpose(0, 2, 1)))
        reads = _reads(wordlines, target) if target.weights.column_inversion else None
        found = hold(block, placement.encoding.digits, _reachable(placement.encoding, target.top_level), reads)
        programmed = np.zeros_like(by_bitline)
        programmed[tile, col] = np.ascontiguousarray(found.levels.transpose(0, 2, 1))[digit, column]
        levels[tiles, wordlines] = programmed.transpose(0, 2, 1)
        inverted[tiles.start + tile, col] = found.inverted[digit, column]
        held[np.ix_(inputs, outputs)] = wanted - found.missed
    return Encoded(planned, Tiles(placement, levels, inverted), held)


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
