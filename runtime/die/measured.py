"""Measured dies: a map of stuck cells, read from a file."""

from __future__ import annotations

import base64
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import safetensors

from rcompile.bundle.reader import Bundle
from rcompile.errors import BadInputError, RcompileError, UsageError
from rcompile.hardware.effects.table import Effects
from rcompile.hardware.physics import Physics
from rcompile.hardware.target import Target
from rcompile.layout.normal_form import I32, U8
from rcompile.layout.packing import pack
from runtime.die.any_die import NO_EFFECTS, check_seed, checked_physics, die_option
from runtime.die.faults import Fault

# Of these a measured die knows better.
STUCK_BY_MAP = ("endurance", "clusters", "lines", "stuck_between")

Header = tuple[object, tuple[int, ...]]  # dtype and shape


@dataclass(frozen=True, eq=False)
class MeasuredDie:
    """A die whose stuck cells are known. maps: u8 [T, rows, cols] of `Fault` by layer; layers without a map have no
    faults.

    seed: of what its effects draw, 0 from the command line. Raises UsageError for effects that would make cells stick.
    """

    maps: dict[str, U8]
    seed: int = 0
    effects: Effects = NO_EFFECTS

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if sticking := [name for name in STUCK_BY_MAP if getattr(self.effects, name)]:
            raise UsageError(
                f"a measured die's stuck cells are those of its map: turn off {', '.join(sticking)} (`--effect none` turns off all effects)."
            )

    @property
    def name(self) -> str:
        """`measured`."""
        return "measured"

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
    """A die from a safetensors or .npz file: one u8 array [T, rows, cols] a layer, named as the layer, of `Fault`: 0
    good, 1 SA0, 2 SA1, 16 + L stuck at level L. effects, seed: of the die.

    Raises BadInputError for an unknown layer, a wrong shape or another value.
    """
    path = Path(path)
    maps: dict[str, U8] = {}
    top = bundle.manifest.target.top_level
    try:
        arrays = _npz(path) if path.suffix == ".npz" else _safetensors(path)
        for name, header, read in arrays:
            _check_header(path, name, header, bundle)
            maps[name] = read()
    except RcompileError:
        raise
    except Exception as error:  # safetensors, zipfile and numpy each raise their own
        raise BadInputError(f"cannot read fault map '{path}': {error}. Give a .safetensors or .npz file.") from None
    for name, faults in maps.items():
        known = (faults <= Fault.SA1) | ((faults >= Fault.STUCK_AT) & (faults <= Fault.STUCK_AT + top))
        if not known.all():
            at = [int(i) for i in np.unravel_index(known.argmin(), known.shape)]
            raise BadInputError(
                f"fault map '{path}': layer '{name}' holds {faults[tuple(at)]} at {at}; 0 is good, 1 SA0, 2 SA1, "
                f"{Fault.STUCK_AT} .. {Fault.STUCK_AT + top} stuck at level 0 .. {top}."
            )
    return MeasuredDie(maps, seed, effects or NO_EFFECTS)


def _check_header(path: Path, name: str, header: Header, bundle: Bundle) -> None:
    """Before the array is read: a small file may unpack to any size."""
    wanted = (np.dtype(np.uint8), bundle.cell_shape(bundle.manifest.layer(name)))
    if header != wanted:
        raise BadInputError(
            f"fault map '{path}': layer '{name}' is {header[0]} {list(header[1])}, the bundle needs uint8 {list(wanted[1])}."
        )


def _npz(path: Path) -> Iterator[tuple[str, Header, Callable[[], U8]]]:
    """The arrays of an .npz file: name, header, and what reads it."""
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}

    def read(member: str) -> U8:
        with archive.open(member) as file:
            return np.lib.format.read_array(file, allow_pickle=False)

    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            with archive.open(member) as file:
                shape, _, dtype = headers[np.lib.format.read_magic(file)](file)
            yield member.removesuffix(".npy"), (dtype, shape), partial(read, member)


def _safetensors(path: Path) -> Iterator[tuple[str, Header, Callable[[], U8]]]:
    """The arrays of a safetensors file: name, header, and what reads it."""
    with safetensors.safe_open(path, framework="np") as stored:
        for name in stored.keys():  # noqa: SIM118 -- it is no dict
            held = stored.get_slice(name)
            dtype = np.dtype(np.uint8) if held.get_dtype() == "U8" else held.get_dtype()
            yield name, (dtype, tuple(held.get_shape())), partial(stored.get_tensor, name)


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
