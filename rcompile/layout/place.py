"""Tile: decide which input drives each wordline and what each bitline holds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rcompile.hardware.target import Target
from rcompile.layout.compact import Kept
from rcompile.layout.normal_form import I32, I64, U8, Placement


def plain(outputs: int, target: Target) -> U8:
    """The replicas of an unprotected layer: one bitline for each slice of each output. u8 [N, slices]."""
    return np.ones((outputs, target.slices), np.uint8)


def place(kept: Kept, replicas: U8, target: Target) -> Placement:
    """Wordlines and bitlines are filled in order; the last tile of a row or column may be short.

    replicas: u8 [N, slices], bitlines that hold each slice of each output; 0 for a slice that is given up. All bitlines of an output lie in
    one tile, so that its shift-add and its votes stay local; outputs with most bitlines come first. Within a tile they lie slice by
    slice: the outputs of slice 0 first, then those of slice 1, its replicas after it; with differential encoding the negative bitlines
    follow the positive.
    """
    rows, cols = target.crossbar.rows, target.crossbar.cols
    row_blocks = -(-len(kept.inputs) // rows)
    features = np.full(row_blocks * rows, -1, np.int32)
    features[: len(kept.inputs)] = kept.inputs

    shelves = list(_shelves(kept.outputs, bitlines_per_output(replicas, target), cols))
    maps = np.zeros((4, len(shelves), cols), np.int32)
    maps[0], maps[2] = -1, 1
    for held, shelf in zip(shelves, maps.transpose(1, 0, 2), strict=True):
        bitline = 0
        for sign in target.polarities:
            for s in range(target.slices):
                for replica in range(int(replicas[held, s].max())):
                    copied = held[replicas[held, s] > replica]
                    span = slice(bitline, bitline + len(copied))
                    shelf[0, span], shelf[1:, span] = copied, np.array([[s], [sign], [replica]])
                    bitline += len(copied)

    output, slices, polarity, replica_of = np.tile(maps, (1, row_blocks, 1))
    return Placement(
        wordline_input=np.repeat(features.reshape(row_blocks, rows), len(shelves), axis=0),
        bitline_output=output,
        bitline_slice=slices.astype(np.uint8),
        bitline_polarity=polarity.astype(np.int8),
        bitline_replica=replica_of.astype(np.uint8),
    )


def bitlines_per_output(replicas: U8, target: Target) -> I64:
    """Bitlines of each output over one row block: i64 [N]."""
    return replicas.sum(axis=1, dtype=np.int64) * len(target.polarities)


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
