"""Dies: a chip's stuck cells and physics, virtual (a seed, rates and effects) or measured (a map read from a file)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rcompile.bundle.manifest import LayerEntry
from rcompile.bundle.reader import Bundle
from rcompile.errors import BadInputError, UsageError
from rcompile.hardware.effects import Effects
from rcompile.hardware.target import Target, check_rates
from rcompile.layout.normal_form import U8
from rcompile.layout.packing import pack
from runtime.die.faults import Fault, fault_map
from runtime.die.physics import Devices, devices

NO_EFFECTS = Effects()
# Of these a measured die knows better.
STUCK_BY_MAP = ("endurance", "clusters", "lines", "stuck_between")


@dataclass(frozen=True)
class Die:
    """A virtual die. sa0, sa1: share of cells stuck at level 0 and at the top level. effects: what else is not ideal.

    Raises UsageError for rates that are no shares.
    """

    seed: int = 0
    sa0: float = 0.0
    sa1: float = 0.0
    effects: Effects = NO_EFFECTS

    def __post_init__(self) -> None:
        # NumPy's scalars are welcome, and plain numbers from here on.
        for name, kind in (("seed", int), ("sa0", float), ("sa1", float)):
            object.__setattr__(self, name, kind(getattr(self, name)))
        _check_seed(self.seed)
        check_rates(self.sa0, self.sa1)

    def devices(self, target: Target) -> Devices:
        """The die's physics in numbers."""
        return devices(self.effects, target, self.sa0, self.sa1)

    def faults(self, entry: LayerEntry, target: Target) -> U8:
        """The fault of each cell of a layer: u8 [T, rows, cols] of `Fault`."""
        found, array = self.devices(target), target.crossbar
        maps = [
            fault_map(found, self.seed, entry.first_tile + t, array.rows, array.cols, target.top_level)
            for t in range(entry.tiles)
        ]
        return np.stack(maps)


@dataclass(frozen=True, eq=False)
class MeasuredDie:
    """A die whose stuck cells are known. maps: u8 [T, rows, cols] of `Fault` by layer; layers without a map have no faults.

    seed: of what its effects draw, 0 from the command line. Raises UsageError for effects that would make cells stick.
    """

    maps: dict[str, U8]
    seed: int = 0
    effects: Effects = NO_EFFECTS

    def __post_init__(self) -> None:
        _check_seed(self.seed)
        if sticking := [name for name in STUCK_BY_MAP if getattr(self.effects, name)]:
            raise UsageError(
                f"a measured die's stuck cells are those of its map: turn off {', '.join(sticking)} (`--effect none` turns off all effects)."
            )

    def devices(self, target: Target) -> Devices:
        """The die's physics in numbers."""
        return devices(self.effects, target)

    def faults(self, entry: LayerEntry, target: Target) -> U8:
        """The fault of each cell of a layer: u8 [T, rows, cols] of `Fault`."""
        shape = (entry.tiles, target.crossbar.rows, target.crossbar.cols)
        return self.maps.get(entry.name, np.zeros(shape, np.uint8))


def _check_seed(seed: int) -> None:
    if not 0 <= seed < 1 << 64:
        raise UsageError(f"die seed {seed} is not in 0 .. 2^64 - 1.")


def read_die(path: str | Path, bundle: Bundle, effects: Effects | None = None, seed: int = 0) -> MeasuredDie:
    """A die from a safetensors or .npz file: one u8 array [T, rows, cols] a layer, named as the layer, of `Fault`: 0 good, 1 SA0, 2 SA1, 16 + L stuck at
    level L. effects, seed: of the die.

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
    array, top = bundle.manifest.target.crossbar, bundle.manifest.target.top_level
    for name, faults in maps.items():
        entry = bundle.manifest.layer(name)
        shape = (entry.tiles, array.rows, array.cols)
        if faults.shape != shape or faults.dtype != np.uint8:
            raise BadInputError(
                f"fault map '{path}': layer '{name}' is {faults.dtype} {list(faults.shape)}, the bundle needs uint8 {list(shape)}."
            )
        known = (faults <= Fault.SA1) | ((faults >= Fault.STUCK_AT) & (faults <= Fault.STUCK_AT + top))
        if (wrong := np.argwhere(~known)).size:
            at = wrong[0].tolist()
            raise BadInputError(
                f"fault map '{path}': layer '{name}' holds {faults[tuple(at)]} at {at}; 0 is good, 1 SA0, 2 SA1, "
                f"{Fault.STUCK_AT} .. {Fault.STUCK_AT + top} stuck at level 0 .. {top}."
            )
    return MeasuredDie(maps, seed, effects or NO_EFFECTS)


def chosen_dies(
    bundle: Bundle,
    sa0: float | None,
    sa1: float | None,
    seeds: Sequence[int],
    maps: Sequence[Path],
    effects: Effects | None = None,
) -> list[Die | MeasuredDie]:
    """The dies that a command line asks for: rates and effects default to the target's, seeds to 0 where a rate or an effect is given.

    Effects that are asked for act alone: then rates default to 0.
    """
    target = bundle.manifest.target
    given = sa0 is not None or sa1 is not None
    chosen = target.effects if effects is None else effects
    asked = effects is not None and bool(effects.names)
    rates = (sa0 or 0.0, sa1 or 0.0) if asked else target.faults.chosen(sa0, sa1)
    virtual = [Die(seed, *rates, chosen) for seed in seeds or ([0] if given or (asked and not maps) else [])]
    dies: list[Die | MeasuredDie] = [*virtual, *(read_die(path, bundle, chosen) for path in maps)]
    for die in dies:
        die.devices(target)  # says now what does not fit
    return dies


def die_options(die: Die | MeasuredDie | None, target: Target) -> dict[str, str]:
    """The execution provider's live options for a die (docs/runtime.md)."""
    if die is None:
        return {"rcompile.die": "clean"}
    kind = "map," if isinstance(die, MeasuredDie) else ""
    physics = die.devices(target).text()
    options = {"rcompile.die": f"{kind}seed={die.seed}" + ("," + physics if physics else "")}
    if isinstance(die, MeasuredDie):
        options |= {f"rcompile.fault_map.{name}": _packed(faults, target) for name, faults in die.maps.items()}
    return options


def fault_bits(top_level: int) -> int:
    """Bits that a cell of a fault map takes in the provider's option: 2, 4 or 8, the least that hold 0 good, 1 + L stuck at level L."""
    return next(bits for bits in (2, 4, 8) if top_level + 1 < 1 << bits)


def _packed(faults: U8, target: Target) -> str:
    """Base64 of a fault map, `fault_bits` a cell, the first cell in the low bits."""
    top, bits = target.top_level, fault_bits(target.top_level)
    stuck = np.where(
        faults == Fault.SA0, 1, np.where(faults == Fault.SA1, 1 + top, faults - np.uint8(Fault.STUCK_AT - 1))
    )
    codes = np.where(faults == Fault.GOOD, 0, stuck).astype(np.uint8)
    return base64.b64encode(pack(codes.reshape(-1), bits).tobytes()).decode()
