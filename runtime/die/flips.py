"""Bits that flip: in codes, in activations, in numbers."""

from __future__ import annotations

import numpy as np

from rcompile.hardware.physics import Physics
from rcompile.layout.normal_form import I64
from runtime.die.randomness import U64, Purpose, crossbar_key, row_digests, row_keys, threshold, words


def bit_flips(key: int | U64, index: I64, rate: float, bit: int, bits: int) -> I64:
    """What to XOR with the word at each index (below 2^31): one bit where an error strikes, 0 elsewhere: int64, as key
    and index broadcast. bit: -1 for any.
    """
    struck = words(key, index).astype(np.int64) < threshold(rate)
    which = words(key, index ^ (1 << 31)).astype(np.int64) * bits >> 32 if bit < 0 else bit
    return np.where(struck, np.int64(1) << which, 0)


def flipped_activations(codes: I64, physics: Physics, seed: int, crossbar: int, input_bits: int) -> I64:
    """Input codes int64 [M, K] of a layer, whose first tile is on `crossbar`, after soft errors; a code cannot be below
    -(2^(B-1) - 1).
    """
    if not physics.activation_flip:
        return codes
    key, index = crossbar_key(seed, Purpose.ACTIVATION, crossbar), np.arange(codes.shape[1])
    mask = (1 << input_bits) - 1
    keys = row_keys(key, row_digests(codes))
    flips = bit_flips(keys, index, physics.activation_flip, physics.activation_flip_bit, input_bits)
    flipped = (codes & mask) ^ flips
    signed = (flipped ^ (1 << (input_bits - 1))) - (1 << (input_bits - 1))
    return np.maximum(signed, 1 - (1 << (input_bits - 1)))
