"""The tile normal form: the one description of a layer on crossbars that every stage and the runtime share.

`docs/hardware.md` defines it. Every feature of the compiler is a choice of these arrays and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from rcompile.hardware.encoding import Encoding
from rcompile.hardware.target import Target

U8 = npt.NDArray[np.uint8]
I8 = npt.NDArray[np.int8]
I16 = npt.NDArray[np.int16]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
MAX_REPLICAS = 15
# What the provider's sums hold; and of a layer that is pruned almost whole, so that memory has the file's proportions.
MAX_WEIGHTS, FREE_WEIGHTS, WEIGHTS_A_CELL = 1 << 31, 1 << 26, 64


def most_weights(cells: int) -> int:
    """The weights that a layer of so many cells may have."""
    return min(MAX_WEIGHTS, max(FREE_WEIGHTS, WEIGHTS_A_CELL * cells))


F32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Placement:
    """Which input drives each wordline and what each bitline holds, for the T tiles of one layer.

    encoding: the digits of its weights. crossbar: i32 [T], the physical crossbar of each tile. wordline_input: i32 [T,
    rows], -1 undriven. bitline_output: i32 [T, cols], -1 unused. bitline_digit: u8 [T, cols], which of the encoding's
    digits. bitline_replica: u8 [T, cols], 0 the original.
    """

    encoding: Encoding
    crossbar: I32
    wordline_input: I32
    bitline_output: I32
    bitline_digit: U8
    bitline_replica: U8

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """The maps by name."""
        return {name: getattr(self, name) for name in MAPS}

    @property
    def tiles(self) -> int:
        """Crossbars that the layer takes."""
        return int(self.wordline_input.shape[0])

    @property
    def cells_used(self) -> int:
        """Cells at the crossing of a driven wordline and a used bitline."""
        return int(((self.wordline_input >= 0).sum(1) * (self.bitline_output >= 0).sum(1)).sum())

    def vote_groups(self, tile: int) -> list[I64]:
        """The bitlines of a tile that hold the same digit of the same output: one array [groups, R] for each number R
        of replicas, replica 0 first.
        """
        used = np.flatnonzero(self.bitline_output[tile] >= 0)
        of = np.stack([m[tile, used].astype(np.int64) for m in (self.bitline_output, self.bitline_digit)])
        order = used[np.lexsort((self.bitline_replica[tile, used], *of[::-1]))]
        group = np.unique(of, axis=1, return_inverse=True)[1].reshape(-1)
        sizes = np.bincount(group)
        ends = np.cumsum(sizes)
        return [order[(ends[sizes == r] - r)[:, None] + np.arange(r)] for r in np.unique(sizes)]

    def row_blocks(self) -> Iterator[slice]:
        """Runs of consecutive tiles that share their wordlines."""
        same = (self.wordline_input[1:] == self.wordline_input[:-1]).all(1)
        bounds = [0, *(np.flatnonzero(~same) + 1).tolist(), self.tiles]
        return (slice(a, b) for a, b in pairwise(bounds))


@dataclass(frozen=True, eq=False)
class Tiles:
    """The programmed content of one layer: a placement, the levels, and which bitlines hold `top - digit`.

    levels: u8 [T, rows, cols], 0 .. top. bitline_inverted: u8 [T, cols], 0 or 1.
    """

    placement: Placement
    levels: U8
    bitline_inverted: U8

    def tensors(self) -> dict[str, npt.NDArray[np.generic]]:
        """The arrays by their names in a bundle."""
        return {"levels": self.levels, **self.placement.arrays(), "bitline_inverted": self.bitline_inverted}

    @staticmethod
    def from_tensors(tensors: dict[str, npt.NDArray[np.generic]], encoding: Encoding) -> Tiles:
        """The inverse of `tensors`; extra names are ignored. Does not validate: see rules.py."""
        maps: dict[str, Any] = {name: tensors[name] for name in MAPS}
        return Tiles(Placement(encoding, **maps), tensors["levels"], tensors["bitline_inverted"])  # type: ignore[arg-type]


# The arrays of a placement, by name.
MAPS = tuple(f.name for f in fields(Placement) if f.name != "encoding")


def digit_levels(codes: I8, levels_of_code: U8) -> U8:
    """The level of each cell of one digit before inversion: u8 of int8 codes, same shape. levels_of_code: a column of
    `Encoding.levels`.
    """
    stored = codes.tobytes().translate(levels_of_code.tobytes())  # a look-up a byte, several times as fast as NumPy's
    return np.frombuffer(stored, np.uint8).reshape(codes.shape)


@dataclass(frozen=True, eq=False)
class BlockCodes:
    """The weight codes that one row block holds: i32 [inputs, outputs], of the inputs that drive it and the outputs
    that have bitlines in it.
    """

    inputs: I32
    outputs: I32
    codes: I32


def decode_blocks(tiles: Tiles, target: Target) -> Iterator[BlockCodes]:
    """The weight codes that programmed levels encode, row block by row block: never more numbers than cells.

    Reads originals only (replica 0), as a fault-free die would compute them.
    """
    place = tiles.placement
    last = len(place.encoding.digits) - 1
    blocks: dict[bytes, list[int]] = {}
    for t, row in enumerate(place.wordline_input):
        blocks.setdefault(row.tobytes(), []).append(t)
    for members in blocks.values():
        driven = np.flatnonzero(place.wordline_input[members[0]] >= 0)
        outputs = np.unique(place.bitline_output[members])
        outputs = outputs[outputs >= 0]
        codes = np.zeros((len(driven), len(outputs)), np.int32)
        for t in members:
            for i, digit in enumerate(place.encoding.digits):
                held = (place.bitline_digit[t] == i) & (place.bitline_output[t] >= 0) & (place.bitline_replica[t] == 0)
                used = np.flatnonzero(held)
                stored = tiles.levels[t][np.ix_(driven, used)].astype(np.int32)
                weights = digit * np.where(tiles.bitline_inverted[t, used] == 1, target.top_level - stored, stored)
                if i == last:
                    weights -= place.encoding.offset
                codes[:, np.searchsorted(outputs, place.bitline_output[t, used])] += weights
        yield BlockCodes(place.wordline_input[members[0], driven], outputs, codes)


def decode(tiles: Tiles, target: Target, inputs: int, outputs: int) -> I32:
    """The weight codes that programmed levels encode: i32 [inputs, outputs]; 0 where nothing is placed."""
    codes = np.zeros((inputs, outputs), np.int32)
    for block in decode_blocks(tiles, target):
        codes[np.ix_(block.inputs, block.outputs)] = block.codes
    return codes
