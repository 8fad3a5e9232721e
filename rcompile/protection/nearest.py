"""Nearest: the levels that let the cells of one row block, some of them stuck, come as near to its weights as they can,
and which of its bitlines to invert for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from rcompile.layout.normal_form import I16, I32, I64, U8
from rcompile.protection.reachable import Reachable

F64 = npt.NDArray[np.float64]
# A cell that is not stuck, where levels say what cells are stuck at.
FREE = 255
ROUNDS = 3


@dataclass(frozen=True, eq=False)
class Block:
    """One row block. codes: i16 [k, n], weight codes plus the encoding's offset, of its wordlines and outputs. stuck:
    u8 [digits, k, n], the level that the cell of each digit is stuck at, or FREE.
    """

    codes: I16
    stuck: U8


@dataclass(frozen=True, eq=False)
class Reads:
    """How a row block is read. unit: i64 [k], the operation unit of each wordline, in rising order. capacity: f64
    [units], levels that one read may add up to.
    """

    unit: I64
    capacity: F64

    def clips(self, levels: U8) -> npt.NDArray[np.bool_]:
        """Which bitlines a read could drive beyond the converter: bool [digits, n] of levels u8 [digits, k, n]."""
        return np.logical_or.reduce(self.sums(levels) > self.capacity[:, None], axis=1)

    def sums(self, cells: U8 | npt.NDArray[np.bool_]) -> I32:
        """What the cells of each bitline add up to in each operation unit: i32 [digits, units, n]."""
        starts = np.flatnonzero(np.diff(self.unit, prepend=-1))
        return np.add.reduceat(cells, starts, axis=1, dtype=np.int32)


@dataclass(frozen=True, eq=False)
class Held:
    """What a row block holds. levels: u8 [digits, k, n], as stored; a stuck cell's is what it is stuck at. inverted: u8
    [digits, n]. missed: i16 [k, n], how far below its code each weight is.
    """

    levels: U8
    inverted: U8
    missed: I16


@dataclass(frozen=True, eq=False)
class _Stuck:
    """The stuck cells of one digit, flat. where: i64, places in [k, n]. output: i64, which of the n. zero: i64, as
    `Reachable.zeros`. change: i32, what inverting an upright bitline adds to what is asked of the free cells.
    """

    where: I64
    output: I64
    zero: I64
    change: I32


class Descent:
    """A row block on the way to its levels: what its stuck cells add up to under the inversions chosen so far."""

    def __init__(self, block: Block, digits: Sequence[int], reachable: Reachable) -> None:
        self.block, self.digits, self.reachable, self.top = block, digits, reachable, reachable.top
        self.free = block.stuck == FREE
        keys = np.zeros(block.codes.shape, np.int64)
        for digit, free in zip(self.digits, self.free, strict=True):
            keys += reachable.place(digit) * free.astype(np.int64)
        self.zero = reachable.zeros(keys)
        self.inverted = np.zeros((len(block.stuck), block.codes.shape[1]), np.bool_)
        self.rest = block.codes.astype(np.int32)
        self.stuck = [self._take_down(i) for i in range(len(digits))]
        self.missed = reachable.lack(self.rest, self.zero)

    def _take_down(self, i: int) -> _Stuck:
        """The stuck cells of a digit; what they hold is taken off what is asked of the free ones."""
        where = np.flatnonzero(~self.free[i])
        held = self.block.stuck[i].reshape(-1)[where].astype(np.int32)
        self.rest.reshape(-1)[where] -= self.digits[i] * held
        change = self.digits[i] * (2 * held - self.top)
        return _Stuck(where, where % self.rest.shape[1], self.zero.reshape(-1)[where], change)

    def flipped(self, i: int) -> tuple[I32, I32]:
        """rest and missed where digit i is stuck, if all its bitlines were inverted the other way."""
        stuck = self.stuck[i]
        sign = np.where(self.inverted[i], np.int32(-1), np.int32(1))
        rest = self.rest.reshape(-1)[stuck.where] + stuck.change * sign[stuck.output]
        return rest, self.reachable.lack(rest, stuck.zero)

    def flip(self, i: int, outputs: npt.NDArray[np.bool_], rest: I32, missed: I32) -> None:
        """Invert the bitlines of digit i of some outputs the other way; rest, missed: as `flipped` gives them."""
        changed = np.flatnonzero(outputs[self.stuck[i].output])
        at = self.stuck[i].where[changed]
        self.rest.reshape(-1)[at], self.missed.reshape(-1)[at] = rest[changed], missed[changed]
        self.inverted[i] ^= outputs

    def descend(self) -> None:
        """Coordinate descent on the squared error of each output: invert a bitline wherever that lowers it, the largest
        digits first. A cell that is free holds what it is asked to either way, so that only stuck ones are looked at.
        """
        order = sorted(range(len(self.digits)), key=lambda i: -abs(self.digits[i]))
        for _ in range(ROUNDS):
            settled = True
            for i in order:
                rest, missed = self.flipped(i)
                now = self.missed.reshape(-1)[self.stuck[i].where]
                gain = (missed - now) * (missed + now)
                better = np.bincount(self.stuck[i].output, weights=gain, minlength=self.rest.shape[1]) < 0
                if better.any():
                    self.flip(i, better, rest, missed)
                    settled = False
            if settled:
                return

    def settle(self, reads: Reads | None) -> U8:
        """Choose the inversions; none where `reads` is None. Gives the levels."""
        if reads is None:
            return self.levels(slice(None))
        self.descend()
        return self.lighten(reads)

    def held(self, levels: U8) -> Held:
        """What the row block holds with these levels."""
        return Held(levels, self.inverted.astype(np.uint8), self.missed.astype(np.int16))

    def levels(self, outputs: I64 | slice) -> U8:
        """As stored, of some outputs: u8 [digits, k, n], of all that hold these values those that add up to least. An
        inverted bitline subtracts what it stores, so that it stands with those of the other sign.
        """
        inverted, free = self.inverted[:, outputs], self.free[:, :, outputs]
        adds = (np.array(self.digits)[:, None] > 0) ^ inverted
        asked = self.rest[:, outputs] - self.missed[:, outputs]
        keys = np.zeros(asked.shape, np.int64)
        for i, digit in enumerate(self.digits):
            subtracting, adding = (self.reachable.place(sign * abs(digit)) for sign in (-1, 1))
            keys += np.where(adds[i], adding, subtracting) * free[i]
            asked -= np.where(inverted[i], np.int32(digit * self.top), np.int32(0)) * free[i]
        zero = self.reachable.zeros(keys)
        totals = self.reachable.totals.reshape(-1, len(self.reachable.kinds))[zero + asked]
        levels = self.block.stuck[:, :, outputs].copy()
        for m in range(0, len(self.reachable.kinds), 2):
            of_magnitude = [i for i, d in enumerate(self.digits) if abs(d) == self.reachable.kinds[m]]
            share_out(totals[:, :, m : m + 2], levels, of_magnitude, adds)
        return levels

    def lighten(self, reads: Reads) -> U8:
        """Invert, whatever the error, a bitline that a read could drive beyond the converter, if it then could not; and
        one without stuck cells where that is the lighter way, as on a die that nobody knows. Gives the levels.
        """
        levels = self.levels(slice(None))
        total, free, fixed = (reads.sums(cells) for cells in (levels, self.free, levels * ~self.free))
        other = 2 * fixed + self.top * free - total
        capacity = reads.capacity[:, None]
        clips, would = (total > capacity).any(axis=1), (other > capacity).any(axis=1)
        untouched = self.free.all(axis=1) & (2 * total.sum(axis=1) > self.top * len(reads.unit))
        flips = (clips & ~would) | untouched
        for i, outputs in enumerate(flips):
            if outputs.any():
                self.flip(i, outputs, *self.flipped(i))
        if len(changed := np.flatnonzero(flips.any(axis=0))):
            levels[:, :, changed] = self.levels(changed)
        return levels


def share_out(totals: I16, levels: U8, of_magnitude: Sequence[int], adds: npt.NDArray[np.bool_]) -> None:
    """Share what the free cells of one magnitude hold among them, as evenly as can be, what is left over first to one
    end, then in the next wordline to the other: so no bitline carries more than it must.

    totals: i16 [k, n, 2], of those that add and of those that subtract. levels: u8 [digits, k, n], FREE where it is to
    be filled in. of_magnitude: the digits. adds: bool [digits, n], which bitlines add.
    """
    size = len(of_magnitude) + 1
    free = {i: levels[i] == FREE for i in of_magnitude}
    first, number = [], []
    for total, sign in zip(np.moveaxis(totals, -1, 0), (True, False), strict=True):
        count = np.zeros(total.shape, np.int32)
        for i in of_magnitude:
            count += free[i] & (adds[i] == sign)
        first.append(((total * size + count) * 2 + np.arange(len(total))[:, None] % 2) * size)
        number.append(np.zeros(total.shape, np.int32))
    shares = _shares(int(totals.max(initial=0)), size)
    for i in of_magnitude:
        np.copyto(levels[i], shares[np.where(adds[i], *first) + np.where(adds[i], *number)], where=free[i])
        number[0] += free[i] & adds[i]
        number[1] += free[i] & ~adds[i]


@cache
def _shares(most: int, size: int) -> U8:
    """What cell j of c holds of a total t: u8 at ((t * size + c) * 2 + end) * size + j; j, c < size, t <= most. end: 0
    if the last cells take what is left over, 1 if the first do.
    """
    t, c, end, j = np.ogrid[: most + 1, :size, :2, :size]
    place = np.where(end == 1, c - 1 - j, j)
    return np.clip((t + place) // np.maximum(c, 1), 0, FREE).astype(np.uint8).reshape(-1)


def squared_errors(block: Block, digits: Sequence[int], reachable: Reachable, column_inversion: bool) -> I64:
    """What `hold` leaves of error, before it looks at reads: i64 [n], a sum over each output's wordlines."""
    descent = Descent(block, digits, reachable)
    if column_inversion:
        descent.descend()
    return (descent.missed.astype(np.int64) ** 2).sum(axis=0)


def hold(block: Block, digits: Sequence[int], reachable: Reachable, reads: Reads | None) -> Held:
    """For every weight the value nearest to its code that its cells can still hold, and the levels that make it. reads:
    None where bitlines cannot be inverted.
    """
    descent = Descent(block, digits, reachable)
    return descent.held(descent.settle(reads))
