"""Measured dies: a map of stuck cells, read from a file."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rcompile.bundle.reader import Bundle
from rcompile.errors import BadInputError, UsageError
from rcompile.hardware.effects.table import Effects
from rcompile.hardware.faults import FAULTS, Fault, check_faults, chip_map, read_map, unreadable
from rcompile.hardware.physics import Physics
from rcompile.hardware.stored_arrays import StoredArray
from rcompile.hardware.target import Target
from rcompile.layout.normal_form import I32, U8
from rcompile.layout.packing import pack
from runtime.die.any_die import NO_EFFECTS, check_seed, checked_physics, die_option

# The effects that make cells stick: of these a measured die knows better, and only these does a map show.
STICKING = ("endurance", "clusters", "lines", "stuck_between")


@dataclass(frozen=True, eq=False)
class MeasuredDie:
    """A die whose stuck cells are known. maps: u8 [T, rows, cols] of `Fault` by layer; layers without a map have no
    faults.

    seed: of what its effects draw, 0 from the command line. name: what a report calls it. Raises UsageError for effects
    that would make cells stick.
    """

    maps: dict[str, U8]
    seed: int = 0
    effects: Effects = NO_EFFECTS
    name: str = "measured"

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if sticking := [name for name in STICKING if getattr(self.effects, name)]:
            raise UsageError(
                f"a measured die's stuck cells are those of its map: turn off {', '.join(sticking)} (`--effect none` turns off all effects)."
            )

    def physics(self, target: Target) -> Physics:
        """The die's physics in numbers. Raises UsageError for effects that contradict the target."""
        return checked_physics(self.effects, target)

    def faults(self, layer: str, crossbars: I32, target: Target) -> U8:
        """The fault of each cell of a layer: u8 [T, rows, cols] of `Fault`."""
        return self.maps.get(layer, np.zeros((len(crossbars), target.crossbar.rows, target.crossbar.cols), np.uint8))

    def options(self, target: Target) -> dict[str, str]:
        """The execution provider's live options for it (docs/runtime.md)."""
        maps = {f"rcompile.fault_map.{name}": _packed(faults, target) for name, faults in self.maps.items()}
        return {"rcompile.die": die_option(self.seed, self.physics(target), mapped=True), **maps}


def read_die(path: str | Path, bundle: Bundle, effects: Effects | None = None, seed: int = 0) -> MeasuredDie:
    """A die from an .npz, safetensors or HDF5 file: the map of a chip, `faults` u8 [crossbars, rows, cols], in which
    each tile is looked up by its crossbar; or one u8 array [T, rows, cols] a layer, named as the layer. Values are of
    `Fault`: 0 good, 1 SA0, 2 SA1, 16 + L stuck at level L. effects, seed: of the die.

    Raises BadInputError for an unknown layer, a wrong shape, another value, or a chip with too few crossbars;
    UnsupportedError for HDF5 without h5py.
    """
    path = Path(path)
    arrays = read_map(path)
    maps = _by_crossbar(path, bundle) if FAULTS in arrays else _by_layer(path, arrays, bundle)
    return MeasuredDie(maps, seed, effects or NO_EFFECTS, path.name)


def _by_crossbar(path: Path, bundle: Bundle) -> dict[str, U8]:
    """The faults of every layer of a chip's map."""
    chip = chip_map(path, bundle.manifest.target)
    on = {entry.name: bundle.crossbars.get(entry.name, np.empty(0, np.int32)) for entry in bundle.manifest.layers}
    found = chip.faults(np.concatenate(list(on.values())))
    ends = np.cumsum([len(crossbars) for crossbars in on.values()])
    return dict(zip(on, np.split(found, ends[:-1]), strict=True))


def _by_layer(path: Path, arrays: Mapping[str, StoredArray], bundle: Bundle) -> dict[str, U8]:
    """The faults of the layers that have a map of their own."""
    maps = {}
    for name, array in arrays.items():
        # Before the array is read: a small file may unpack to any size.
        wanted = (np.dtype(np.uint8), bundle.cell_shape(bundle.manifest.layer(name)))
        if (array.dtype, array.shape) != wanted:
            raise BadInputError(
                f"fault map '{path}': layer '{name}' is {array.dtype} {list(array.shape)}, the bundle needs uint8 {list(wanted[1])}."
            )
        try:
            maps[name] = array.read()
        except Exception as error:  # safetensors, zipfile, h5py and numpy each raise their own
            raise unreadable(path, error) from None
        check_faults(f"fault map '{path}': layer '{name}'", maps[name], bundle.manifest.target.top_level)
    return maps


def fault_bits(top_level: int) -> int:
    """Bits that a cell of a fault map takes in the provider's option: 2, 4 or 8, the least that hold 0 good, 1 + L
    stuck at level L.
    """
    return next(bits for bits in (2, 4, 8) if top_level + 1 < 1 << bits)


def _packed(faults: U8, target: Target) -> str:
    """Base64 of a fault map, `fault_bits` a cell, the first cell in the low bits."""
    top, bits = target.top_level, fault_bits(target.top_level)
    stuck = np.where(
        faults == Fault.SA0, 1, np.where(faults == Fault.SA1, 1 + top, faults - np.uint8(Fault.STUCK_AT - 1))
    )
    codes = np.where(faults == Fault.GOOD, 0, stuck).astype(np.uint8)
    return base64.b64encode(pack(codes.reshape(-1), bits).tobytes()).decode()
