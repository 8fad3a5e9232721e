"""Encode: turn placed weight codes into the levels of every cell."""

from __future__ import annotations

import numpy as np

from rcompile.hardware.target import Target
from rcompile.layout.normal_form import Placement, Tiles, slice_digits
from rcompile.layout.quantize import QuantizedLinear


def encode(linear: QuantizedLinear, placement: Placement, target: Target) -> Tiles:
    """Levels of every cell of the layer's tiles; cells that nothing uses hold level 0.

    With column inversion a bitline whose level sum exceeds half of full scale stores `top - digit` (Shafiee et al., ISCA 2016), so that
    no read of a fault-free bitline exceeds half of `rows * top`, times the largest digit that a DAC drives.
    """
    tiles, rows, cols = placement.tiles, target.crossbar.rows, target.crossbar.cols
    levels = np.empty((tiles, rows, cols), np.uint8)
    inverted = np.zeros((tiles, cols), np.uint8)
    for block in placement.row_blocks():
        # All tiles of a row block are one wide array; lines that carry nothing get a code and lose it again.
        wordline_input, output = placement.wordline_input[block.start], placement.bitline_output[block].reshape(-1)
        codes = linear.codes[np.maximum(wordline_input, 0)].take(np.maximum(output, 0), axis=1)
        slices, polarity = placement.bitline_slice[block].reshape(-1), placement.bitline_polarity[block].reshape(-1)
        digits = slice_digits(codes, slices, polarity, target)
        digits[wordline_input < 0] = 0
        digits[:, output < 0] = 0
        if target.weights.column_inversion:
            driven = wordline_input >= 0
            flip = (2 * digits.sum(axis=0, dtype=np.int32) > driven.sum() * target.top_level) & (output >= 0)
            digits ^= driven[:, None] * (flip * np.uint8(target.top_level))
            inverted[block] = flip.reshape(-1, cols)
        levels[block] = digits.reshape(rows, -1, cols).transpose(1, 0, 2)
    return Tiles(placement, levels, inverted)
