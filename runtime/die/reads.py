"""What is particular to a die's reads: its converters' errors, and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rcompile.hardware.physics import Physics
from rcompile.layout.normal_form import I32, I64
from runtime.die.cells import on_grid
from runtime.die.flips import bit_flips
from runtime.die.randomness import Purpose, crossbar_key, normal, row_keys, words

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Reading:
    """How a layer's reads differ from ideal ones. gain, offset: float64 [T, cols], of each bitline's converter; offset in levels."""

    physics: Physics
    seed: int
    crossbars: I32
    gain: F64
    offset: F64

    def noise_levels(
        self, digests: list[int], plane: int, planes: int, unit: int, tile: int, cols: I64, popcount: I64
    ) -> F64:
        """The noise of one plane's reads on some bitlines of an operation unit: float64 [M, bitlines]. digests: of the M rows. popcount: [M, 1]."""
        physics, index = self.physics, (unit * planes + plane) * self.gain.shape[1] + cols
        key = crossbar_key(self.seed, Purpose.READ_NOISE, int(self.crossbars[tile]))
        z = normal(words(row_keys(key, digests), index)).astype(np.float64)
        variance = physics.noise * physics.noise + popcount * (physics.cell_noise * physics.cell_noise)
        return on_grid(np.sqrt(variance) * z)

    def flipped(
        self, codes: F64, digests: list[int], plane: int, planes: int, unit: int, tile: int, cols: I64, adc_bits: int
    ) -> F64:
        """The codes [M, bitlines] of one plane's reads after soft errors."""
        index = (unit * planes + plane) * self.gain.shape[1] + cols
        key = crossbar_key(self.seed, Purpose.CODE_FLIP, int(self.crossbars[tile]))
        flips = bit_flips(row_keys(key, digests), index, self.physics.code_flip, self.physics.code_flip_bit, adc_bits)
        return (codes.astype(np.int64) ^ flips).astype(np.float64)


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
