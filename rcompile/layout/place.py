"""Tile: decide which input drives each wordline and what each bitline holds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rcompile.hardware.encoding import Encoding
from rcompile.hardware.target import Target
from rcompile.layout.compact import UsedLines
from rcompile.layout.normal_form import I32, I64, U8, Placement


def plain(outputs: int, encoding: Encoding) -> U8:
    """The replicas of an unprotected layer: one bitline for each digit of each output. u8 [N, digits]."""
    return np.ones((outputs, len(encoding.digits)), np.uint8)


def place(lines: UsedLines, replicas: U8, encoding: Encoding, target: Target, first_crossbar: int = 0) -> Placement:
    """Wordlines and bitlines are filled in order; the last tile of a row or column may be short.

    replicas: u8 [N, digits], bitlines that hold each digit of each output; 0 for a digit that is given up. All bitlines
    of an output lie in one tile, so that its shift-add and its votes stay local; outputs with most bitlines come first.
    Within a tile they lie digit by digit: the outputs of the first digit, its replicas after it, then those of the
    next. The tiles take one crossbar after the other.
    """
    rows, cols = target.crossbar.rows, target.crossbar.cols
    row_blocks = -(-len(lines.inputs) // rows)
    features = np.full(row_blocks * rows, -1, np.int32)
    features[: len(lines.inputs)] = lines.inputs

    shelves = list(_shelves(lines.outputs, bitlines_per_output(replicas), cols))
    maps = np.zeros((3, len(shelves), cols), np.int32)
    maps[0] = -1
    for held, shelf in zip(shelves, maps.transpose(1, 0, 2), strict=True):
        bitline = 0
        for digit in range(len(encoding.digits)):
            for replica in range(int(replicas[held, digit].max())):
                copied = held[replicas[held, digit] > replica]
                span = slice(bitline, bitline + len(copied))
                shelf[0, span], shelf[1:, span] = copied, np.array([[digit], [replica]])
                bitline += len(copied)

    output, digits, replica_of = np.tile(maps, (1, row_blocks, 1))
    return Placement(
        encoding,
        crossbar=np.arange(first_crossbar, first_crossbar + len(output), dtype=np.int32),
        wordline_input=np.repeat(features.reshape(row_blocks, rows), len(shelves), axis=0),
        bitline_output=output,
        bitline_digit=digits.astype(np.uint8),
        bitline_replica=replica_of.astype(np.uint8),
    )


def bitlines_per_output(replicas: U8) -> I64:
    """Bitlines of each output over one row block: i64 [N] of u8 [N, digits]."""
    return replicas.sum(axis=1, dtype=np.int64)


def crossbars(inputs: int, bitlines: I64, target: Target) -> int:
    """Crossbars of a layer of so many kept inputs, whose kept outputs take so many bitlines each: i64 [N]."""
    row_blocks = -(-inputs // target.crossbar.rows)
    tiles, free = 0, 0
    # As `_shelves`, a whole run of outputs with equally many bitlines at a time.
    widths, counts = np.unique(bitlines, return_counts=True)
    for width, count in zip(widths[::-1].tolist(), counts[::-1].tolist(), strict=True):
        fitting = min(count, free // width)
        per_tile = target.crossbar.cols // width
        opened = -(-(count - fitting) // per_tile)
        in_last = count - fitting - (opened - 1) * per_tile
        free = target.crossbar.cols - width * in_last if opened else free - width * fitting
        tiles += opened
    return row_blocks * tiles


def plain_crossbars(inputs: int, outputs: int, target: Target) -> int:
    """Crossbars of a layer of so many kept inputs and outputs with nothing copied."""
    return crossbars(inputs, np.full(outputs, target.bitlines_per_output), target)


def _shelves(outputs: I32, bitlines: I64, cols: int) -> Iterator[I32]:
    """The outputs of each tile in a row of tiles, widest first."""
    order = outputs[np.argsort(-bitlines[outputs], kind="stable")]
    start, used = 0, 0
    for i, width in enumerate(bitlines[order].tolist()):
        if used + width > cols:
            yield order[start:i]
            start, used = i, 0
        used += width
    yield order[start:]
