"""Tile: decide which input drives each wordline and what each bitline holds."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from rcompile.compact import Kept
from rcompile.form import Placement
from rcompile.target import Target

T = TypeVar("T", bound=np.generic)


def place(kept: Kept, target: Target) -> Placement:
    """The plain placement: wordlines and bitlines are filled in order, the last tile of a row or column may be short.

    All bitlines of an output lie in one tile, so that its shift-add stays local. Within a tile they lie slice by slice: the outputs of
    slice 0 first, then the same outputs of slice 1; with differential encoding the negative bitlines follow the positive.
    """
    rows, cols = target.crossbar.rows, target.crossbar.cols
    row_blocks, per_tile = -(-len(kept.inputs) // rows), cols // target.bitlines_per_output
    col_blocks = -(-len(kept.outputs) // per_tile)

    features = np.full(row_blocks * rows, -1, np.int32)
    features[: len(kept.inputs)] = kept.inputs
    wordline_input = np.repeat(features.reshape(row_blocks, rows), col_blocks, axis=0)

    output = np.full((col_blocks, cols), -1, np.int32)
    slices = np.zeros((col_blocks, cols), np.uint8)
    polarity = np.ones((col_blocks, cols), np.int8)
    for block in range(col_blocks):
        held = kept.outputs[block * per_tile : (block + 1) * per_tile]
        bitline = 0
        for sign in target.polarities:
            for s in range(target.slices):
                span = slice(bitline, bitline + len(held))
                output[block, span], slices[block, span], polarity[block, span] = held, s, sign
                bitline += len(held)

    def each_row_block(bitlines: npt.NDArray[T]) -> npt.NDArray[T]:
        return np.tile(bitlines, (row_blocks, 1))

    replica = np.zeros((row_blocks * col_blocks, cols), np.uint8)
    return Placement(wordline_input, each_row_block(output), each_row_block(slices), each_row_block(polarity), replica)
