"""Dies: which cells of a chip are stuck.

A virtual die is a seed and two rates; a cell's fate is a hash of (seed, tile, row, col), the same here and in the native kernels
(docs/hardware.md). A measured die is a map read from a file.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rcompile.bundle import Bundle
from rcompile.errors import BadInputError, UsageError
from rcompile.form import U8
from rcompile.manifest import LayerEntry
from rcompile.packing import pack
from rcompile.target import check_rates

U32 = npt.NDArray[np.uint32]


class Fault(IntEnum):
    """The state of a cell. SA0: stuck at the high-resistance state, reads level 0. SA1: stuck at the low-resistance state, reads the top level."""

    GOOD = 0
    SA0 = 1
    SA1 = 2


@dataclass(frozen=True)
class Die:
    """A virtual die. sa0, sa1: share of cells stuck at level 0 and at the top level. Raises UsageError for rates that are no shares."""

    seed: int = 0
    sa0: float = 0.0
    sa1: float = 0.0

    def __post_init__(self) -> None:
        # NumPy's scalars are welcome, and plain numbers from here on.
        for name, kind in (("seed", int), ("sa0", float), ("sa1", float)):
            object.__setattr__(self, name, kind(getattr(self, name)))
        if not 0 <= self.seed < 1 << 64:
            raise UsageError(f"die seed {self.seed} is not in 0 .. 2^64 - 1.")
        check_rates(self.sa0, self.sa1)

    def faults(self, entry: LayerEntry, rows: int, cols: int) -> U8:
        """The fault of each cell of a layer: u8 [T, rows, cols] of `Fault`."""
        return np.stack([fault_map(self, entry.first_tile + t, rows, cols) for t in range(entry.tiles)])


@dataclass(frozen=True, eq=False)
class MeasuredDie:
    """A die whose stuck cells are known. maps: u8 [T, rows, cols] of `Fault` by layer; layers without a map have no faults."""

    maps: dict[str, U8]

    def faults(self, entry: LayerEntry, rows: int, cols: int) -> U8:
        """The fault of each cell of a layer: u8 [T, rows, cols] of `Fault`."""
        return self.maps.get(entry.name, np.zeros((entry.tiles, rows, cols), np.uint8))


def _mix64(z: int) -> int:
    """The finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    mask = (1 << 64) - 1
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


def _mix32(x: U32) -> U32:
    """lowbias32, a bijection of 32-bit words with low bias (Wellons, 2018)."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def fault_map(die: Die, tile: int, rows: int, cols: int) -> U8:
    """The fault of each cell of one tile, by its bundle-wide number: u8 [rows, cols] of `Fault`."""
    mask = (1 << 64) - 1
    key = _mix64(die.seed ^ _mix64((tile + 0x9E3779B97F4A7C15) & mask))
    cell = np.arange(rows * cols, dtype=np.uint32).reshape(rows, cols)
    word = _mix32(_mix32(cell ^ np.uint32(key & 0xFFFFFFFF)) ^ np.uint32(key >> 32)).astype(np.uint64)
    below, above = int(die.sa1 * 2**32), (1 << 32) - int(die.sa0 * 2**32)
    return np.where(word < below, Fault.SA1, np.where(word >= above, Fault.SA0, Fault.GOOD)).astype(np.uint8)


def apply_faults(levels: U8, faults: U8, top_level: int) -> U8:
    """The levels that the cells really have."""
    return np.where(faults == Fault.SA1, top_level, np.where(faults == Fault.SA0, 0, levels)).astype(np.uint8)


def read_die(path: str | Path, bundle: Bundle) -> MeasuredDie:
    """A die from a safetensors or .npz file: one u8 array [T, rows, cols] a layer, named as the layer; 0 good, 1 SA0, 2 SA1.

    Raises BadInputError for an unknown layer, a wrong shape or another value.
    """
    path = Path(path)
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as stored:
                maps = {k: stored[k] for k in stored.files}
        else:
            from safetensors.numpy import load_file

            maps = load_file(path)
    except Exception as error:  # safetensors, zipfile and numpy each raise their own
        raise BadInputError(f"cannot read fault map '{path}': {error}. Give a .safetensors or .npz file.") from None
    array = bundle.manifest.target.crossbar
    for name, faults in maps.items():
        entry = bundle.manifest.layer(name)
        shape = (entry.tiles, array.rows, array.cols)
        if faults.shape != shape or faults.dtype != np.uint8:
            raise BadInputError(
                f"fault map '{path}': layer '{name}' is {faults.dtype} {list(faults.shape)}, the bundle needs uint8 {list(shape)}."
            )
        if (wrong := np.argwhere(faults > Fault.SA1)).size:
            at = wrong[0].tolist()
            raise BadInputError(
                f"fault map '{path}': layer '{name}' holds {faults[tuple(at)]} at {at}; 0 is good, 1 SA0, 2 SA1."
            )
    return MeasuredDie(maps)


def chosen_dies(
    bundle: Bundle, sa0: float | None, sa1: float | None, seeds: Sequence[int], maps: Sequence[Path]
) -> list[Die | MeasuredDie]:
    """The dies that a command line asks for: rates default to the target's, seeds to 0 where a rate is given."""
    given = sa0 is not None or sa1 is not None
    rates = bundle.manifest.target.faults.chosen(sa0, sa1)
    virtual = [Die(seed, *rates) for seed in seeds or ([0] if given else [])]
    return [*virtual, *(read_die(path, bundle) for path in maps)]


def die_options(die: Die | MeasuredDie | None) -> dict[str, str]:
    """The execution provider's live options for a die (docs/runtime.md)."""
    if die is None:
        return {"rcompile.die": "clean"}
    if isinstance(die, Die):
        return {"rcompile.die": f"seed={die.seed},sa0={die.sa0!r},sa1={die.sa1!r}"}
    return {
        "rcompile.die": "map",
        **{f"rcompile.fault_map.{name}": _packed(faults) for name, faults in die.maps.items()},
    }


def _packed(faults: U8) -> str:
    """Base64 of two bits a cell, four cells a byte, the first in the low bits."""
    return base64.b64encode(pack(faults.reshape(-1), 2).tobytes()).decode()
