"""What a die's physics is in numbers: all that the reference and the native kernels know of effects. docs/hardware.md,
"Effects", is the prose.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from rcompile.hardware.target import Target

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CellTables:
    """Conductance of the cells programmed to each level, in levels and with leakage: a level-0 cell's mean is
    `target.hrs_levels`.

    base + max(mean + sigma * z, 0) * exp(spread * z'), all float64 [levels]. reach: erf(k / sqrt(2)), z being cut off
    at k; 1 if it is not.
    """

    base: F64
    mean: F64
    sigma: F64
    reach: F64
    spread: F64

    def scaled(self, factor: float | F64) -> CellTables:
        """All conductances times a factor."""
        return replace(self, base=self.base * factor, mean=self.mean * factor, sigma=self.sigma * factor)


def ideal_cells(target: Target) -> CellTables:
    """Cells that hold their level exactly."""
    levels = np.arange(target.top_level + 1, dtype=np.float64)
    zero = np.zeros_like(levels)
    return CellTables(zero, levels + target.hrs_levels, zero, np.ones_like(levels), zero)


@dataclass(frozen=True, eq=False)
class Physics:
    """A die's physics in numbers, everything in levels. The names are those of the provider's die option
    (docs/runtime.md).

    cells: None if they hold their levels exactly. wordline_drop, bitline_drop: share of the read voltage that a current
    of one level loses over one segment. Bits that flip: -1 for any.
    """

    sa0: float = 0.0
    sa1: float = 0.0
    between: float = 0.0
    cluster_side: int = 0
    cluster_alpha: int = 1
    cluster_scale: float = 1.0
    wordline: float = 0.0
    bitline: float = 0.0
    crossbar: float = 0.0
    cells: CellTables | None = None
    wordline_drop: float = 0.0
    bitline_drop: float = 0.0
    gain: float = 0.0
    gain_sigma: float = 0.0
    offset: float = 0.0
    offset_sigma: float = 0.0
    cell_noise: float = 0.0
    noise: float = 0.0
    code_flip: float = 0.0
    code_flip_bit: int = -1
    activation_flip: float = 0.0
    activation_flip_bit: int = -1

    @property
    def stuck(self) -> float:
        """Share of cells that are stuck, broken lines aside."""
        return self.sa0 + self.sa1 + self.between

    @property
    def has_noise(self) -> bool:
        """Every read is another draw."""
        return self.noise > 0 or self.cell_noise > 0

    @property
    def reads_differ(self) -> bool:
        """A read is not what the sum of the cells' levels and the target's converter make it."""
        converters = (self.gain, self.gain_sigma, self.offset, self.offset_sigma, self.code_flip)
        return self.has_noise or any(converters)

    def with_cells(self, target: Target) -> CellTables:
        """The tables of the cells, ideal ones if nothing has changed them yet."""
        return self.cells or ideal_cells(target)

    def text(self) -> str:
        """The part of the provider's die option that differs from an ideal die: `key=value`, lists joined by colons."""
        parts = []
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, CellTables):
                parts += [f"{name}={shown}" for name, shown in _tables(value).items()]
            elif value != field.default:
                parts.append(f"{field.name}={value!r}")
        return ",".join(parts)


def _tables(cells: CellTables) -> dict[str, str]:
    """Each table in float32, joined by colons; `base` only where it is not 0."""
    rounded = {f.name: getattr(cells, f.name).astype(np.float32).tolist() for f in fields(cells)}
    return {n: ":".join(map(repr, v)) for n, v in rounded.items() if n != "base" or any(v)}


def physics_of(target: Target, sa0: float = 0.0, sa1: float = 0.0) -> Physics:
    """The numbers of a die with these fault rates and the target's effects, which each act in turn. Raises UsageError
    for what means nothing.
    """
    found = Physics(sa0, sa1)
    for effect in target.effects.on:
        found = effect.act(found, target)
    return found
