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

from rcompile.hardware.target import Target

U8 = npt.NDArray[np.uint8]
I8 = npt.NDArray[np.int8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
MAX_REPLICAS = 15
F32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Placement:
    """Which input drives each wordline and what each bitline holds, for the T tiles of one layer.

    wordline_input: i32 [T, rows], -1 undriven. bitline_output: i32 [T, cols], -1 unused. bitline_slice: u8 [T, cols].
    bitline_polarity: i8 [T, cols], +1 or -1. bitline_replica: u8 [T, cols], 0 the original.
    """

    wordline_input: I32
    bitline_output: I32
    bitline_slice: U8
    bitline_polarity: I8
    bitline_replica: U8

    @property
    def tiles(self) -> int:
        """Crossbars that the layer takes."""
        return int(self.wordline_input.shape[0])

    @property
    def cells_used(self) -> int:
        """Cells at the crossing of a driven wordline and a used bitline."""
        return int(((self.wordline_input >= 0).sum(1) * (self.bitline_output >= 0).sum(1)).sum())

    def vote_groups(self, tile: int) -> list[I64]:
        """The bitlines of a tile that hold the same slice of the same output, with one polarity: one array [groups, R] for each number
        R of replicas, replica 0 first.
        """
        used = np.flatnonzero(self.bitline_output[tile] >= 0)
        of = np.stack(
            [m[tile, used].astype(np.int64) for m in (self.bitline_output, self.bitline_slice, self.bitline_polarity)]
        )
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
        maps = {f.name: getattr(self.placement, f.name) for f in fields(Placement)}
        return {"levels": self.levels, **maps, "bitline_inverted": self.bitline_inverted}

    @staticmethod
    def from_tensors(tensors: dict[str, npt.NDArray[np.generic]]) -> Tiles:
        """The inverse of `tensors`; extra names are ignored. Does not validate: see `problems`."""
        maps = {f.name: tensors[f.name] for f in fields(Placement)}
        return Tiles(Placement(**maps), tensors["levels"], tensors["bitline_inverted"])  # type: ignore[arg-type]


def slice_digits(codes: I8, slices: U8, polarity: I8, target: Target) -> U8:
    """The level of each cell before inversion.

    codes: int8 [..., J] weight codes, one column a bitline. slices, polarity: [J]. Returns u8 [..., J].
    """
    if target.weights.encoding == "offset":
        stored = codes.astype(np.uint8) + np.uint8(1 << (target.weights.bits - 1))  # modulo 256: codes are int8
    else:
        stored = np.maximum(codes * polarity, 0).astype(np.uint8)
    return (stored >> (slices * target.cell.bits).astype(np.uint8)) & np.uint8(target.top_level)


def decode(tiles: Tiles, target: Target, inputs: int, outputs: int) -> I32:
    """The weight codes that programmed levels encode: i32 [inputs, outputs]; 0 where nothing is placed.

    Reads originals only (replica 0), as a fault-free die would compute them.
    """
    codes = np.zeros((inputs, outputs), np.int32)
    place = tiles.placement
    for t in range(place.tiles):
        driven = np.flatnonzero(place.wordline_input[t] >= 0)
        features = place.wordline_input[t, driven]
        for polarity in target.polarities:
            for s in range(target.slices):
                held = (place.bitline_slice[t] == s) & (place.bitline_polarity[t] == polarity)
                used = np.flatnonzero(held & (place.bitline_output[t] >= 0) & (place.bitline_replica[t] == 0))
                stored = tiles.levels[t][np.ix_(driven, used)].astype(np.int32)
                digits = np.where(tiles.bitline_inverted[t, used] == 1, target.top_level - stored, stored)
                weights = polarity * (digits << (s * target.cell.bits))
                if target.weights.encoding == "offset" and s == target.slices - 1:
                    weights -= 1 << (target.weights.bits - 1)
                codes[np.ix_(features, place.bitline_output[t, used])] += weights
    return codes


def problems(tiles: Tiles, target: Target, inputs: int, outputs: int) -> list[str]:
    """Every way in which arrays read from a file break the form; empty if none. Shapes are checked first."""
    place, rows, cols = tiles.placement, target.crossbar.rows, target.crossbar.cols
    expected = {
        "levels": (np.uint8, (place.tiles, rows, cols)),
        "wordline_input": (np.int32, (place.tiles, rows)),
        "bitline_output": (np.int32, (place.tiles, cols)),
        "bitline_slice": (np.uint8, (place.tiles, cols)),
        "bitline_polarity": (np.int8, (place.tiles, cols)),
        "bitline_replica": (np.uint8, (place.tiles, cols)),
        "bitline_inverted": (np.uint8, (place.tiles, cols)),
    }
    found = [
        f"{name} is {array.dtype} {list(array.shape)}, expected {np.dtype(expected[name][0])} {list(expected[name][1])}"
        for name, array in tiles.tensors().items()
        if (array.dtype, array.shape) != (np.dtype(expected[name][0]), expected[name][1])
    ]
    if found:
        return found
    bounds: list[tuple[str, npt.NDArray[Any], int, int]] = [
        ("levels", tiles.levels, 0, target.top_level),
        ("wordline_input", place.wordline_input, -1, inputs - 1),
        ("bitline_output", place.bitline_output, -1, outputs - 1),
        ("bitline_slice", place.bitline_slice, 0, target.slices - 1),
        ("bitline_polarity", place.bitline_polarity, min(target.polarities), 1),
        ("bitline_inverted", tiles.bitline_inverted, 0, 1),
    ]
    for name, array, low, high in bounds:
        wrong = np.argwhere((array < low) | (array > high))
        if len(wrong):
            found.append(f"{name}{wrong[0].tolist()} is {array[tuple(wrong[0])]}, outside {low} .. {high}")
    if (place.bitline_polarity == 0).any():
        found.append(f"bitline_polarity{np.argwhere(place.bitline_polarity == 0)[0].tolist()} is 0, neither +1 nor -1")
    return found or _broken_vote_groups(tiles)


def _broken_vote_groups(tiles: Tiles) -> list[str]:
    """The first vote group of which the replicas are not numbered 0 .. R-1 or not all stored alike."""
    place = tiles.placement
    for t in range(place.tiles):
        for members in place.vote_groups(t):
            numbered = (place.bitline_replica[t, members] == np.arange(members.shape[1])).all(axis=1)
            inverted = np.ptp(tiles.bitline_inverted[t, members], axis=1) == 0
            alike = (np.ptp(tiles.levels[t][place.wordline_input[t] >= 0][:, members], axis=2) == 0).all(axis=0)
            few = np.full(len(members), members.shape[1] <= MAX_REPLICAS)
            for problem, sound in (
                (f"are more than {MAX_REPLICAS}", few),
                ("are not numbered 0, 1, ...", numbered),
                ("are not all inverted or all not", inverted),
                ("do not hold the same levels", alike),
            ):
                if not sound.all():
                    bitlines = sorted(members[np.argmin(sound)].tolist())
                    return [f"the replicas in tile {t}, bitlines {', '.join(map(str, bitlines))}, {problem}"]
    return []
