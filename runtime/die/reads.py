"""What is particular to a die's reads: its converters' errors, and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rcompile.hardware.physics import Physics
from rcompile.layout.normal_form import I32, I64
from runtime.die.cells import on_grid
from runtime.die.flips import bit_flips
from runtime.die.randomness import U64, Purpose, crossbar_key, normal, row_keys, words

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Where:
    """Which reads: of one plane, on some bitlines of one operation unit of one tile, for M rows of inputs with these
    digests.
    """

    digests: list[int]
    plane: int
    planes: int
    unit: int
    tile: int
    cols: I64

    def numbers(self, crossbar_cols: int) -> I64:
        """The number of each bitline's read among those of its crossbar."""
        return (self.unit * self.planes + self.plane) * crossbar_cols + self.cols


@dataclass(frozen=True, eq=False)
class Reading:
    """How a layer's reads differ from ideal ones. gain, offset: float64 [T, cols], of each bitline's converter; offset
    in levels.
    """

    physics: Physics
    seed: int
    crossbars: I32
    gain: F64
    offset: F64

    def noise_levels(self, where: Where, population: I64) -> F64:
        """The noise of reads: float64 [M, bitlines]. population: [M, 1]."""
        physics = self.physics
        z = normal(words(self._keys(Purpose.READ_NOISE, where), where.numbers(self.gain.shape[1]))).astype(np.float64)
        variance = physics.noise * physics.noise + population * (physics.cell_noise * physics.cell_noise)
        return on_grid(np.sqrt(variance) * z)

    def flipped(self, codes: F64, where: Where, adc_bits: int) -> F64:
        """The codes [M, bitlines] of reads after soft errors."""
        keys, numbers = self._keys(Purpose.CODE_FLIP, where), where.numbers(self.gain.shape[1])
        flips = bit_flips(keys, numbers, self.physics.code_flip, self.physics.code_flip_bit, adc_bits)
        return (codes.astype(np.int64) ^ flips).astype(np.float64)

    def _keys(self, purpose: Purpose, where: Where) -> U64:
        return row_keys(crossbar_key(self.seed, purpose, int(self.crossbars[where.tile])), where.digests)


def reading_of(physics: Physics, seed: int, crossbars: I32, cols: int) -> Reading | None:
    """The reads of a layer's tiles, which are on these crossbars; None where they are ideal."""
    if not physics.reads_differ:
        return None
    column = np.arange(cols)

    def drawn(purpose: Purpose) -> F64:
        keys = [crossbar_key(seed, purpose, int(x)) for x in crossbars]
        return np.stack([normal(words(key, column)) for key in keys]).astype(np.float64)

    gain = 1 + (physics.gain + physics.gain_sigma * drawn(Purpose.ADC_GAIN))
    offset = physics.offset + physics.offset_sigma * drawn(Purpose.ADC_OFFSET)
    return Reading(physics, seed, crossbars, gain, offset)
