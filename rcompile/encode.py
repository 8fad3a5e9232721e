"""Encode: turn placed weight codes into the levels of every cell."""

from __future__ import annotations

import numpy as np

from rcompile.form import Placement, Tiles, slice_digits
from rcompile.quantize import QuantizedLinear
from rcompile.target import Target


def encode(linear: QuantizedLinear, placement: Placement, target: Target) -> Tiles:
    """Levels of every cell of the layer's tiles; cells that nothing uses hold level 0.

    With column inversion a bitline whose level sum exceeds half of full scale stores `top - digit` (Shafiee et al., ISCA 2016), so that
    no read of a fault-free bitline exceeds half of `rows * top`.
    """
    tiles, rows, cols = placement.tiles, target.crossbar.rows, target.crossbar.cols
    levels = np.zeros((tiles, rows, cols), np.uint8)
    inverted = np.zeros((tiles, cols), np.uint8)
    for block in placement.row_blocks():
        wordline_input = placement.wordline_input[block.start]
        driven = np.flatnonzero(wordline_input >= 0)
        tile, bitline = np.nonzero(placement.bitline_output[block] >= 0)
        output = placement.bitline_output[block][tile, bitline]
        codes = linear.codes[wordline_input[driven]][:, output]
        digits = slice_digits(
            codes,
            placement.bitline_slice[block][tile, bitline],
            placement.bitline_polarity[block][tile, bitline],
            target,
        )
        if target.weights.column_inversion:
            flip = 2 * digits.sum(axis=0, dtype=np.int32) > len(driven) * target.top_level
            digits ^= flip * np.uint8(target.top_level)
            inverted[block][tile, bitline] = flip
        levels[block.start : block.stop][tile, driven[:, None], bitline] = digits
    return Tiles(placement, levels, inverted)
