"""A layer as the rules of the normal form look at it: its arrays, and what they must fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from rcompile.hardware.target import Target
from rcompile.layout.normal_form import F32, I32, I64, MAX_REPLICAS, Tiles


@dataclass(frozen=True, eq=False)
class Form:
    """The arrays of one layer, and what they must fit. elsewhere: i32, the crossbars that the other layers are on."""

    tiles: Tiles
    weight_scale: F32
    biases: Mapping[str, F32]
    inputs: int
    outputs: int
    target: Target
    elsewhere: I32

    @cached_property
    def block_of(self) -> I64:
        """The number of each tile's row block: i64 [T]."""
        known: dict[bytes, int] = {}
        rows = self.tiles.placement.wordline_input
        return np.array([known.setdefault(row.tobytes(), len(known)) for row in rows], np.int64)

    @cached_property
    def votes(self) -> Votes:
        """The used bitlines of all tiles, vote group by vote group."""
        place = self.tiles.placement
        used = np.flatnonzero(place.bitline_output >= 0)
        tile, cols = used // place.bitline_output.shape[1], place.bitline_output.shape[1]
        output, digit, replica = (
            a.reshape(-1)[used].astype(np.int64)
            for a in (place.bitline_output, place.bitline_digit, place.bitline_replica)
        )
        group = (tile * self.outputs + output) * len(place.encoding.digits) + digit
        order = np.argsort(group * MAX_REPLICAS + replica, kind="stable")
        group = group[order]
        starts = np.flatnonzero(np.diff(group, prepend=-1))
        first = np.repeat(starts, np.diff(starts, append=len(group)))
        bitline = used[order]
        return Votes(bitline // cols, bitline % cols, bitline[first] % cols, np.arange(len(group)) - first)


@dataclass(frozen=True, eq=False)
class Votes:
    """Used bitlines, sorted by tile, output, digit and replica: i64 [used] each. first: the bitline that leads the
    group. number: place in the group.
    """

    tile: I64
    col: I64
    first: I64
    number: I64

    def place(self, wrong: npt.NDArray[np.bool_]) -> str:
        """The first bitline that is wrong."""
        at = np.flatnonzero(wrong)
        return f"bitline {self.col[at[0]]} of tile {self.tile[at[0]]}" if len(at) else ""
