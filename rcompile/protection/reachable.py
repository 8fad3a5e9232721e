"""What the free cells of a weight can add up to: the nearest sum to any that is asked for, and the fewest levels that
make it.

Cells that shift-add multiplies alike are alike, so that a weight's free cells are told by their counts: how many add
each magnitude, how many subtract it. A combination of counts is worked out when it first occurs; of many, few do.
"""

from __future__ import annotations

from threading import Lock
from typing import TypeVar

import numpy as np

from rcompile.hardware.encoding import Encoding
from rcompile.layout.normal_form import I16, I32, I64

Sums = TypeVar("Sums", I32, I64)
NEVER = 1 << 14  # more than any levels add up to
# Up to so many combinations have each their place in an index; of more, those that occur are sorted.
INDEXED = 1 << 23
AT_A_TIME = 256


class Reachable:
    """The sums `digit * level` of the free cells of a weight, for one list of digits.

    kinds: the signed digits that a cell may be multiplied by, each magnitude added and subtracted. Row r of the tables
    is one combination of counts of free cells, a count a kind; column `sum - lowest` is a sum that is asked for.
    nearest: i16 [rows, sums], the nearest sum that they reach, of two equally near the one of fewer levels. totals: i16
    [rows, sums, kinds], levels that the cells of each kind hold together: of all that make the sum, those of least sum.
    """

    def __init__(self, encoding: Encoding, top_level: int) -> None:
        self.top = top_level
        self.kinds = [sign * m for m in encoding.magnitudes for sign in (1, -1)]
        self.most = [sum(abs(d) == abs(kind) for d in encoding.digits) for kind in self.kinds]
        self.lowest = -top_level * sum(map(abs, encoding.digits))
        self.sums = 1 - 2 * self.lowest
        self.nearest: I16 = np.empty((0, self.sums), np.int16)
        self.totals: I16 = np.empty((0, self.sums, len(self.kinds)), np.int16)
        self._places = np.cumprod([1, *(most + 1 for most in self.most)]).tolist()
        self._row_of: dict[int, int] = {}
        self._learning = Lock()
        self._index = np.full(self._places[-1] if self._places[-1] <= INDEXED else 0, -1, np.int32)

    def place(self, kind: int) -> int:
        """What one free cell of a signed digit adds to the key of a weight."""
        return int(self._places[self.kinds.index(kind)])

    def zeros(self, keys: I64) -> I64:
        """Where the sum 0 of each weight's free cells is in the flat tables: i64 of i64, same shape. keys: the places
        of its free cells, added up.
        """
        return self._rows(keys) * self.sums - self.lowest

    def lack(self, asked: Sums, zeros: I64) -> Sums:
        """How far the nearest sum of free cells stays below what is asked of them. zeros: as `zeros` gives them."""
        # Not np.clip, which costs twice as much on a few numbers.
        within = np.minimum(np.maximum(asked, self.lowest), -self.lowest)
        return asked - self.nearest.reshape(-1)[zeros + within]

    def _rows(self, keys: I64) -> I64:
        """The row of each key."""
        if not len(self._index):
            distinct, which = np.unique(keys, return_inverse=True)
            self._learn(distinct)
            return np.array([self._row_of[k] for k in distinct.tolist()], np.int64)[which].reshape(keys.shape)
        rows = self._index[keys]
        if (unknown := rows < 0).any():
            self._learn(np.unique(keys[unknown]))
            rows = self._index[keys]
        return rows.astype(np.int64)

    def _learn(self, keys: I64) -> None:
        """Append the rows of combinations that have not occurred before. Threads learn one after the other, and a row
        is in the tables before any other thread is told of it.
        """
        with self._learning:
            self._append(keys)

    def _append(self, keys: I64) -> None:
        new = np.array([k for k in keys.tolist() if k not in self._row_of], np.int64)
        for first in range(0, len(new), AT_A_TIME):
            part = new[first : first + AT_A_TIME]
            known = len(self.nearest)
            nearest, totals = self._of(part)
            self.totals = np.concatenate([self.totals, totals])
            self.nearest = np.concatenate([self.nearest, nearest])
            self._row_of |= {k: known + i for i, k in enumerate(part.tolist())}
            if len(self._index):
                self._index[part] = known + np.arange(len(part))

    def _of(self, keys: I64) -> tuple[I16, I16]:
        """nearest and totals of some combinations: kind by kind, the fewest levels that reach each sum, then back."""
        fewest = np.full((len(keys), self.sums), NEVER, np.int16)
        fewest[:, -self.lowest] = 0
        chosen = np.zeros((len(self.kinds), *fewest.shape), np.int16)
        for i, (kind, most) in enumerate(zip(self.kinds, self.most, strict=True)):
            count = keys // self._places[i] % (most + 1)
            found = fewest.copy()
            for level in range(1, self.top * most + 1):
                moved = _shifted(fewest, kind * level) + np.int16(level)
                better = (moved < found) & (self.top * count >= level)[:, None]
                found[better], chosen[i][better] = moved[better], level
            fewest = found
        at = _nearest(fewest)
        nearest = (at + self.lowest).astype(np.int16)
        totals = np.zeros((*fewest.shape, len(self.kinds)), np.int16)
        for i in reversed(range(len(self.kinds))):
            totals[..., i] = np.take_along_axis(chosen[i], at, axis=1)
            at = at - self.kinds[i] * totals[..., i].astype(np.int64)
        return nearest, totals


def _shifted(fewest: I16, by: int) -> I16:
    """The columns moved, NEVER where none comes from."""
    moved = np.full_like(fewest, NEVER)
    if abs(by) < fewest.shape[1]:
        moved[:, max(by, 0) : fewest.shape[1] + min(by, 0)] = fewest[:, max(-by, 0) : fewest.shape[1] - max(by, 0)]
    return moved


def _nearest(fewest: I16) -> I64:
    """The nearest column that is reached, for every column: i64 [rows, sums]."""
    columns = np.arange(fewest.shape[1], dtype=np.int32)
    reached = fewest < NEVER
    below = np.maximum.accumulate(np.where(reached, columns, -1), axis=1)
    above = np.minimum.accumulate(np.where(reached, columns, NEVER)[:, ::-1], axis=1)[:, ::-1]
    down, up = np.where(below < 0, NEVER, columns - below), above - columns
    levels_below = np.take_along_axis(fewest, np.maximum(below, 0), axis=1)
    levels_above = np.take_along_axis(fewest, np.minimum(above, fewest.shape[1] - 1), axis=1)
    upwards = (up < down) | ((up == down) & (levels_above < levels_below))
    return np.where(upwards, above, below).astype(np.int64)
