"""Encode: turn placed weight codes into the levels of every cell."""

from __future__ import annotations

import numpy as np

from rcompile.hardware.target import Target
from rcompile.layout.normal_form import Placement, Tiles, digit_levels
from rcompile.layout.quantize import QuantizedLinear


def encode(linear: QuantizedLinear, placement: Placement, target: Target) -> Tiles:
    """Levels of every cell of the layer's tiles; cells that nothing uses hold level 0.

    With column inversion a bitline whose level sum exceeds half of full scale stores `top - level` (Shafiee et al.,
    ISCA 2016), so that no read of a fault-free bitline exceeds half of `rows * top`, times the largest pulse that a DAC
    drives.
    """
    tiles, rows, cols = placement.tiles, target.crossbar.rows, target.crossbar.cols
    digits, outputs = len(placement.encoding.digits), linear.codes.shape[1]
    levels = np.zeros((tiles, rows, cols), np.uint8)
    inverted = np.zeros((tiles, cols), np.uint8)
    levels_of_code = placement.encoding.levels(target.top_level)
    # What each digit of each output would hold over a row block, and a last line of nothing: all tiles of the block
    # take their bitlines from it.
    lines = np.zeros((rows, digits * outputs + 1), np.uint8)
    for block in placement.row_blocks():
        wordlines = np.flatnonzero(placement.wordline_input[block.start] >= 0)
        codes, held = linear.codes[placement.wordline_input[block.start, wordlines]], lines[: len(wordlines)]
        for i in range(digits):
            held[:, i * outputs : (i + 1) * outputs] = digit_levels(codes, levels_of_code[:, i])
        flips = np.zeros(held.shape[1], np.uint8)
        if target.weights.column_inversion:
            flips[:] = 2 * held.sum(axis=0, dtype=np.int32) > len(held) * target.top_level
            held ^= flips * np.uint8(target.top_level)
        output, digit = placement.bitline_output[block].reshape(-1), placement.bitline_digit[block].reshape(-1)
        source = np.where(output >= 0, digit.astype(np.int64) * outputs + output, -1)
        inverted[block] = flips[source].reshape(-1, cols)
        levels[block, wordlines] = held.take(source, axis=1).reshape(len(held), -1, cols).transpose(1, 0, 2)
    return Tiles(placement, levels, inverted)
