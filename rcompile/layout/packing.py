"""Packing: several cells in one byte, the first in the low bits. Tile files of `--pack-cells` and fault maps hold them
so.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]


def pack(cells: U8, bits: int) -> U8:
    """u8 [..., ceil(cols * bits / 8)] of cells u8 [..., cols] that are below 2^bits; padded with 0. bits: 1, 2, 4, or
    8, which packs nothing.
    """
    if fill := -cells.shape[-1] % (8 // bits):
        cells = np.concatenate([cells, np.zeros((*cells.shape[:-1], fill), np.uint8)], axis=-1)
    while bits < 8:  # neighbours become one cell of twice the bits
        pairs = np.ascontiguousarray(cells).view("<u2")
        cells = (pairs | pairs >> (8 - bits)).astype(np.uint8)
        bits *= 2
    return cells


def unpack(packed: U8, cols: int, bits: int) -> U8:
    """The inverse of `pack`. Raises ValueError for another type or width than `cols` cells give, and for padding that
    is not 0.
    """
    width = -(-cols * bits // 8)
    if packed.dtype != np.uint8 or packed.shape[-1:] != (width,):
        wanted = [*packed.shape[:-1], width]
        raise ValueError(f"{packed.dtype} {list(packed.shape)}, expected uint8 {wanted}: {cols} cells of {bits} bits")
    if (used := cols * bits % 8) and (wrong := np.argwhere(packed[..., -1] >> used)).size:
        raise ValueError(f"padding is not 0 in byte {[*wrong[0].tolist(), width - 1]}")
    cells, held = packed, 8
    while held > bits:
        held //= 2
        pairs = cells.astype("<u2")
        cells = ((pairs | pairs << (8 - held)) & ((1 << held) - 1) * 0x0101).view(np.uint8)
    return cells[..., :cols]
