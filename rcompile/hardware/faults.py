"""Stuck cells, and the map of a chip that says which: `faults` u8 [crossbars, rows, cols] in an .npz, safetensors or
HDF5 file. docs/hardware.md, "Maps of chips", is the prose.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rcompile.canonical import file_sha256
from rcompile.errors import BadInputError, UnsupportedError
from rcompile.hardware.stored_arrays import StoredArray, stored_arrays
from rcompile.hardware.target import Target

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
# The arrays of a chip's map; the second may be missing.
FAULTS, SIEMENS = "faults", "siemens"
# Cells that are looked at at a time: a small file may unpack to any size.
PART_CELLS = 1 << 22


class Fault(IntEnum):
    """The state of a cell. SA0: stuck at the high-resistance state, reads level 0. SA1: stuck at the low-resistance
    state, reads the top level.

    A cell stuck at a level between them is STUCK_AT + that level.
    """

    GOOD = 0
    SA0 = 1
    SA1 = 2
    STUCK_AT = 16


def apply_faults(levels: U8, faults: U8, top_level: int) -> U8:
    """The levels that the cells really have."""
    return np.where(faults == Fault.GOOD, levels, stuck_levels(top_level)[faults])


def stuck_levels(top_level: int) -> U8:
    """The level that a cell of each fault holds: u8 [256]; of a good one, 0."""
    held = np.maximum(np.arange(256) - Fault.STUCK_AT, 0)
    held[Fault.SA1] = top_level
    return held.astype(np.uint8)


def stuck_cells(faults: U8, top_level: int, good: int) -> U8:
    """The level that each cell is stuck at, or `good`: u8 of u8, same shape."""
    levels = stuck_levels(top_level)
    levels[Fault.GOOD] = good
    return levels[faults]


def as_measured(faults: U8, siemens: F32, target: Target) -> U8:
    """Every stuck cell at the level nearest to what it conducts, halves up, whatever level `faults` gives it. Good
    cells stay so: programming changes what they conduct.
    """
    hrs, lrs, top = target.cell.g_hrs_siemens, target.cell.g_lrs_siemens, target.top_level
    level = np.floor((siemens.astype(np.float64) - hrs) / (lrs - hrs) * top + 0.5).clip(0, top)
    stuck = np.array([Fault.SA0, *range(Fault.STUCK_AT + 1, Fault.STUCK_AT + top), Fault.SA1], np.uint8)
    return np.where(faults == Fault.GOOD, faults, stuck[level.astype(np.intp)])


def check_faults(what: str, faults: U8, top_level: int) -> None:
    """Raises BadInputError for a value that is no fault of a cell with these levels. what: holds them."""
    known = (faults <= Fault.SA1) | ((faults >= Fault.STUCK_AT) & (faults <= Fault.STUCK_AT + top_level))
    if not known.all():
        at = [int(i) for i in np.unravel_index(known.argmin(), known.shape)]
        raise BadInputError(
            f"{what} holds {faults[tuple(at)]} at {at}; 0 is good, 1 SA0, 2 SA1, "
            f"{Fault.STUCK_AT} .. {Fault.STUCK_AT + top_level} stuck at level 0 .. {top_level}."
        )


@dataclass(frozen=True, eq=False)
class ChipMap:
    """The map of a chip: a file whose header fits the target; cells are read when they are asked for. siemens: what
    each conducts, if that was measured.
    """

    path: Path
    array: StoredArray
    target: Target
    siemens: StoredArray | None = None

    @property
    def crossbars(self) -> int:
        """How many the chip has."""
        return self.array.shape[0]

    @property
    def sha256(self) -> str:
        """Digest of the file."""
        return file_sha256(self.path)

    def faults(self, crossbars: I32) -> U8:
        """The fault of each cell of these crossbars: u8 [len(crossbars), rows, cols] of `Fault`, in memory for them
        alone. Raises BadInputError for a crossbar that the chip does not have, and for values that are no faults.
        """
        outside = crossbars[(crossbars < 0) | (crossbars >= self.crossbars)]
        if len(outside):
            raise BadInputError(
                f"fault map '{self.path}' has crossbars 0 .. {self.crossbars - 1}, a tile is on crossbar {outside.max()}: give the map of a chip with more crossbars."
            )
        found = np.empty((len(crossbars), *self.array.shape[1:]), np.uint8)
        last = int(crossbars.max(initial=-1))
        for first, part in self._checked(last + 1):
            here = np.flatnonzero((crossbars >= first) & (crossbars < first + len(part)))
            found[here] = part[crossbars[here] - first]
        return found

    def stuck_cells(self) -> npt.NDArray[np.int64]:
        """How many cells of each crossbar are stuck: i64 [crossbars]. Raises BadInputError as `faults`."""
        parts = [np.count_nonzero(part != Fault.GOOD, axis=(1, 2)) for _, part in self._checked(self.crossbars)]
        return np.concatenate(parts).astype(np.int64)

    def _checked(self, count: int) -> Iterator[tuple[int, U8]]:
        """The faults of the first crossbars, some at a time, each time with the number of the first: held against what
        faults there are, and at the levels that were measured.
        """
        measured = self._parts(self.siemens, count) if self.siemens else repeat((0, None))
        for (first, part), (_, siemens) in zip(self._parts(self.array, count), measured, strict=False):
            check_faults(f"fault map '{self.path}', from crossbar {first} on,", part, self.target.top_level)
            if siemens is not None and not np.isfinite(siemens).all():
                at = [int(i) for i in np.unravel_index(np.isfinite(siemens).argmin(), siemens.shape)]
                raise BadInputError(
                    f"fault map '{self.path}', from crossbar {first} on, holds {siemens[tuple(at)]} siemens at {at}: give a number for every cell, or leave `{SIEMENS}` out."
                )
            yield first, part if siemens is None else as_measured(part, siemens, self.target)

    def _parts(self, array: StoredArray, count: int) -> Iterator[tuple[int, Any]]:
        """An array's part of the first crossbars, some at a time, each time with the number of the first."""
        step = max(1, PART_CELLS // (array.shape[1] * array.shape[2]))
        try:
            for number, part in enumerate(array.parts(count, step)):
                yield number * step, part
        except Exception as error:  # safetensors, zipfile, h5py and numpy each raise their own
            raise BadInputError(f"cannot read fault map '{self.path}': {error}. Make or copy it again.") from None


def unreadable(path: Path, error: Exception) -> BadInputError:
    """What is said of a fault map that cannot be read."""
    return BadInputError(f"cannot read fault map '{path}': {error}. Give a .npz, .safetensors or .hdf5 file.")


def read_map(path: Path) -> dict[str, StoredArray]:
    """The arrays of a fault map by name, their headers read alone. Raises BadInputError for a file that is neither
    .npz, safetensors nor HDF5, or holds no array, UnsupportedError for HDF5 without h5py.
    """
    try:
        arrays = {array.name: array for array in stored_arrays(path)}
    except UnsupportedError:
        raise
    except Exception as error:  # safetensors, zipfile, h5py and numpy each raise their own
        raise unreadable(path, error) from None
    if not arrays:
        raise BadInputError(f"fault map '{path}' holds no array: give `{FAULTS}`, uint8 [crossbars, rows, cols].")
    return arrays


def chip_map(path: Path, target: Target) -> ChipMap:
    """The map of a chip for a target. Raises BadInputError for one of other cells."""
    arrays = read_map(path)
    rows, cols = target.crossbar.rows, target.crossbar.cols
    if FAULTS not in arrays or not set(arrays) <= {FAULTS, SIEMENS}:
        raise BadInputError(
            f"fault map '{path}' holds {', '.join(sorted(arrays)[:3])}; the map of a chip is an array `{FAULTS}`, uint8 [crossbars, {rows}, {cols}], and `{SIEMENS}`, float32 of the same shape, if conductances were measured."
        )
    array, siemens = arrays[FAULTS], arrays.get(SIEMENS)
    if array.dtype != np.dtype(np.uint8) or array.shape[1:] != (rows, cols) or not array.shape[0]:
        raise BadInputError(
            f"fault map '{path}': `{FAULTS}` is {array.dtype} {list(array.shape)}, target '{target.name}' needs uint8 [crossbars, {rows}, {cols}] of one crossbar at least."
        )
    if siemens and (siemens.dtype, siemens.shape) != (np.dtype(np.float32), array.shape):
        raise BadInputError(
            f"fault map '{path}': `{SIEMENS}` is {siemens.dtype} {list(siemens.shape)}, it must be float32 {list(array.shape)} as `{FAULTS}`."
        )
    return ChipMap(path, array, target, siemens)
