"""Nearest: the levels that let the cells of one row block, some of them stuck, come as near to its weights as they can,
and which of its bitlines to invert for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    u8 [digits, k, n], the level that the cell of each digit is stuck at, or FREE. unit: i64 [k], the operation unit of
    each wordline. capacity: f64 [units], levels that one read may add up to.
    """

    codes: I16
    stuck: U8
    unit: I64
    capacity: F64


@dataclass(frozen=True, eq=False)
class Held:
    """What a row block holds. levels: u8 [digits, k, n], as stored; a stuck cell's is what it is stuck at. inverted: u8
    [digits, n]. missed: i16 [k, n], how far below its code each weight is.
    """

    levels: U8
    inverted: U8
    missed: I16


class _Descent:
    """A row block on the way to its levels: what its stuck cells add up to under the inversions chosen so far."""

    def __init__(self, block: Block, digits: Sequence[int], reachable: Reachable) -> None:
        self.block, self.digits, self.reachable, self.top = block, digits, reachable, reachable.top
        self.free = block.stuck == FREE
        keys = np.zeros(block.codes.shape, np.int64)
        for digit, free in zip(self.digits, self.free, strict=True):
            keys += reachable.place(digit) * free.astype(np.int64)
        self.row = reachable.rows(keys) * reachable.sums - reachable.lowest
        self.inverted = np.zeros((len(block.stuck), block.codes.shape[1]), np.bool_)
        self.rest = block.codes.astype(np.int32)
        self.where = [np.flatnonzero(~of_digit) for of_digit in self.free]
        for digit, where, of_digit in zip(digits, self.where, block.stuck, strict=True):
            self.rest.reshape(-1)[where] -= digit * of_digit.reshape(-1)[where].astype(np.int32)
        self.missed = self.miss(self.rest, self.row)

    def miss(self, rest: I32, row: I64) -> I32:
        """How far the nearest sum of the free cells stays below what is left for them, i32 of i32, same shape."""
        asked = np.clip(rest, self.reachable.lowest, -self.reachable.lowest)
        return rest - self.reachable.nearest.reshape(-1)[row + asked]

    def flipped(self, i: int) -> tuple[I32, I32]:
        """rest and missed where digit i is stuck, if all its bitlines were inverted the other way."""
        where = self.where[i]
        held = self.block.stuck[i].reshape(-1)[where].astype(np.int32)
        held = np.where(self.inverted[i][where % self.inverted.shape[1]], self.top - held, held)
        rest = self.rest.reshape(-1)[where] + self.digits[i] * (2 * held - self.top)
        return rest, self.miss(rest, self.row.reshape(-1)[where])

    def flip(self, i: int, outputs: npt.NDArray[np.bool_], rest: I32, missed: I32) -> None:
        """Invert the bitlines of digit i of some outputs the other way; rest, missed: as `flipped` gives them."""
        changed = outputs[self.where[i] % len(outputs)]
        at = self.where[i][changed]
        self.rest.reshape(-1)[at], self.missed.reshape(-1)[at] = rest[changed], missed[changed]
        self.inverted[i] ^= outputs

    def descend(self) -> None:
        """Coordinate descent on the squared error of each output: invert a bitline wherever that lowers it, the largest
        digits first. A cell that is free holds what it is asked to either way, so that only stuck ones are looked at.
        """
        order = sorted(range(len(self.where)), key=lambda i: -abs(self.digits[i]))
        for _ in range(ROUNDS):
            settled = True
            for i in order:
                rest, missed = self.flipped(i)
                now = self.missed.reshape(-1)[self.where[i]]
                gain = missed.astype(np.int64) ** 2 - now.astype(np.int64) ** 2
                columns = self.inverted.shape[1]
                better = np.bincount(self.where[i] % columns, weights=gain, minlength=columns) < 0
                if better.any():
                    self.flip(i, better, rest, missed)
                    settled = False
            if settled:
                return

    def levels(self) -> U8:
        """As stored: u8 [digits, k, n], of all that hold these values those that add up to least. An inverted bitline
        subtracts what it stores, so that it stands with those of the other sign.
        """
        adds = (np.array(self.digits)[:, None] > 0) ^ self.inverted
        keys, asked = np.zeros(self.rest.shape, np.int64), self.rest - self.missed
        for i, (digit, free) in enumerate(zip(self.digits, self.free, strict=True)):
            places = [self.reachable.place(sign * abs(digit)) for sign in (-1, 1)]
            keys += np.where(adds[i], places[1], places[0]) * free
            asked = asked - np.where(self.inverted[i], digit * self.top, 0) * free
        row = self.reachable.rows(keys) * self.reachable.sums - self.reachable.lowest
        totals = self.reachable.totals.reshape(-1, len(self.reachable.kinds))[row + asked]
        return self._shared_out(totals, adds)

    def _shared_out(self, totals: I16, adds: npt.NDArray[np.bool_]) -> U8:
        """Levels of the cells of each kind of totals i16 [k, n, kinds], evenly, so that no bitline carries more than it
        must. adds: bool [digits, n], which bitlines add what they store.
        """
        levels = self.block.stuck.copy()
        odd = (np.arange(len(totals)) % 2)[:, None]
        for kind, left in zip(self.reachable.kinds, np.moveaxis(totals, -1, 0).astype(np.int16), strict=True):
            of_kind = [i for i, d in enumerate(self.digits) if abs(d) == abs(kind)]
            members = [self.free[i] & (adds[i] == (kind > 0)) for i in of_kind]
            count = np.sum(members, axis=0, dtype=np.int16)
            for i, member in zip(of_kind, members, strict=True):
                share = (left + odd * (count - 1)) // np.maximum(count, 1)
                levels[i][member] = share[member]
                left, count = left - share * member, count - member
        return levels

    def lighten(self) -> None:
        """Invert, whatever the error, a bitline that a read could drive beyond the converter, if it then could not; and
        one without stuck cells where that is the lighter way, as on a die that nobody knows.
        """
        levels, unit = self.levels().astype(np.int32), self.block.unit
        starts = np.flatnonzero(np.diff(unit, prepend=-1))
        total = np.add.reduceat(levels, starts, axis=1)
        fixed = np.add.reduceat(np.where(self.free, 0, levels), starts, axis=1)
        free = np.add.reduceat(self.free, starts, axis=1, dtype=np.int64)
        other = fixed + self.top * free - (total - fixed)
        capacity = self.block.capacity[:, None]
        clips, would = (total > capacity).any(axis=1), (other > capacity).any(axis=1)
        untouched = self.free.all(axis=1) & (2 * total.sum(axis=1) > self.top * len(unit))
        for i, outputs in enumerate((clips & ~would) | untouched):
            if outputs.any():
                self.flip(i, outputs, *self.flipped(i))


def hold(block: Block, digits: Sequence[int], reachable: Reachable, column_inversion: bool) -> Held:
    """For every weight the value nearest to its code that its cells can still hold, and the levels that make it."""
    descent = _Descent(block, digits, reachable)
    if column_inversion:
        descent.descend()
        descent.lighten()
    return Held(descent.levels(), descent.inverted.astype(np.uint8), descent.missed.astype(np.int16))
