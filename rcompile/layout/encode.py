"""Encode: turn placed weight codes into the levels of every cell."""

from __future__ import annotations

import numpy as np

from rcompile.hardware.target import Target
from rcompile.layout.normal_form import Placement, Tiles, digit_levels
from rcompile.layout.quantize import QuantizedLinear


def encode(linear: QuantizedLinear, placement: Placement, target: Target) -> Tiles:
    """Levels of every cell of the layer's tiles; cells that nothing uses hold level 0.

    With column inversion a bitline whose level sum exceeds half of full scale stores `top - level` (Shafiee et al., ISCA 2016), so that
    no read of a fault-free bitline exceeds half of `rows * top`, times the largest pulse that a DAC drives.
    """
    tiles, rows, cols = placement.tiles, target.crossbar.rows, target.crossbar.cols
    levels = np.empty((tiles, rows, cols), np.uint8)
    inverted = np.zeros((tiles, cols), np.uint8)
    levels_of_code = placement.encoding.levels(target.top_level)
    for block in placement.row_blocks():
        # All tiles of a row block are one wide array.
        driven = placement.wordline_input[block.start] >= 0
        codes = linear.codes[placement.wordline_input[block.start, driven]]
        output, digit = placement.bitline_output[block].reshape(-1), placement.bitline_digit[block].reshape(-1)
        wide = np.zeros((rows, len(output)), np.uint8)
        for i in range(len(placement.encoding.digits)):
            used = np.flatnonzero((output >= 0) & (digit == i))
            held = digit_levels(codes.take(output[used], axis=1), levels_of_code[:, i])
            if target.weights.column_inversion:
                flip = 2 * held.sum(axis=0, dtype=np.int32) > len(held) * target.top_level
                held = held ^ flip * np.uint8(target.top_level)
                inverted[block].reshape(-1)[used] = flip
            wide[np.ix_(driven, used)] = held
        levels[block] = wide.reshape(rows, -1, cols).transpose(1, 0, 2)
    return Tiles(placement, levels, inverted)
