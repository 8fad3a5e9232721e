"""A die's cells and converters as they are: conductances with every deviation, and what is particular to its reads.

docs/hardware.md, "Effects", is the prose; with `runtime/product/reference.py` this is the judge of the native kernels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rcompile.bundle.manifest import LayerEntry
from rcompile.hardware.target import Target
from rcompile.layout.normal_form import I64, U8
from runtime.die.dies import Die, MeasuredDie
from runtime.die.faults import Fault, apply_faults
from runtime.die.physics import Devices
from runtime.die.randomness import U64, Purpose, exponential, normal, row_digests, row_keys, threshold, tile_key, words

F64 = npt.NDArray[np.float64]
# Conductances that are no whole levels are held on a grid of 2^-10 level, in 16 bits.
GRID = 1024
IDEAL = Devices()


def on_grid(levels: F64) -> F64:
    """The nearest multiple of 2^-10, halves up."""
    return np.floor(levels * GRID + 0.5) / GRID


def actual_levels(
    devices: Devices, seed: int, first_tile: int, levels: U8, faults: U8, top_level: int, hrs_levels: float
) -> U8 | F64:
    """What the cells of a layer hold: the level, u8 [T, rows, cols], or its analog value float64, a multiple of 2^-10.

    levels: as programmed. faults: of `Fault`. hrs_levels: what a level-0 cell leaks.
    """
    if not devices.mean:
        return apply_faults(levels, faults, top_level)
    return np.stack(
        [
            with_wires(analog_levels(devices, seed, first_tile + t, levels[t], faults[t], top_level, hrs_levels), devices, hrs_levels)
            for t in range(len(levels))
        ]
    )  # fmt: skip


def analog_levels(
    devices: Devices, seed: int, tile: int, levels: U8, faults: U8, top_level: int, hrs_levels: float
) -> F64:
    """One tile's conductances above HRS, in levels, before wires: float64 [rows, cols]. Stuck cells hold their level exactly."""
    mean, sigma, reach, spread = (np.asarray(t, np.float32)[levels] for t in (devices.mean, devices.sigma, devices.reach, devices.spread))  # fmt: skip
    cell = np.arange(levels.size).reshape(levels.shape)
    conductance = mean + sigma * normal(words(tile_key(seed, Purpose.PROGRAMMING, tile), cell), reach)
    conductance = np.maximum(conductance, np.float32(0))
    if any(devices.spread):
        conductance = conductance * exponential(spread * normal(words(tile_key(seed, Purpose.SPREAD, tile), cell)))
    if devices.base:
        conductance = np.asarray(devices.base, np.float32)[levels] + conductance
    drawn = np.clip(on_grid(conductance.astype(np.float64) - hrs_levels), -32, 32 - 1 / GRID)
    return np.where(faults == Fault.GOOD, drawn, apply_faults(levels, faults, top_level).astype(np.float64))


def with_wires(levels: F64, devices: Devices, hrs_levels: float) -> F64:
    """One tile's levels as seen through its wires: float64 [rows, cols].

    An array whose undriven wordlines are held at 0 V is a linear network, so that wires change each cell's conductance by a factor that does
    not depend on the inputs. To first order in the wires it loses the shares of its wordline's and of its bitline's segments,
    resummed: 1 / (1 + loss), which stays positive. `runtime/die/wires.py` has the exact solution.
    """
    if not devices.wordline_drop and not devices.bitline_drop:
        return levels
    offset = np.floor(hrs_levels * GRID + 0.5).astype(np.int64)
    g = np.floor(levels * GRID + 0.5).astype(np.int64) + offset
    # sum over c' of g[r, c'] * (min(c, c') + 1), and over r' of g[r', c] * (rows - max(r, r')): segments that both currents share
    along_wordline = np.cumsum(np.cumsum(g[:, ::-1], axis=1)[:, ::-1], axis=1)
    along_bitline = np.cumsum(np.cumsum(g, axis=0)[::-1], axis=0)[::-1]
    loss = (devices.wordline_drop * along_wordline + devices.bitline_drop * along_bitline) / GRID
    seen = np.floor(g / (1 + loss) + 0.5) - offset
    return np.clip(seen, -32 * GRID, 32 * GRID - 1) / GRID


def read_back(levels: U8 | F64, top_level: int) -> U8:
    """The level that a read in memory mode finds in each cell: the nearest one, halves up."""
    return np.clip(np.floor(levels + 0.5), 0, top_level).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Reading:
    """How a layer's reads differ from ideal ones. gain, offset: float64 [T, cols], of each bitline's converter; offset in levels."""

    devices: Devices
    seed: int
    first_tile: int
    gain: F64
    offset: F64

    def noise_levels(
        self, digests: list[int], plane: int, planes: int, unit: int, tile: int, cols: I64, popcount: I64
    ) -> F64:
        """The noise of one plane's reads on some bitlines of an operation unit: float64 [M, bitlines]. digests: of the M rows. popcount: [M, 1]."""
        devices, index = self.devices, (unit * planes + plane) * self.gain.shape[1] + cols
        key = tile_key(self.seed, Purpose.READ_NOISE, self.first_tile + tile)
        z = normal(words(row_keys(key, digests), index)).astype(np.float64)
        variance = devices.noise * devices.noise + popcount * (devices.cell_noise * devices.cell_noise)
        return on_grid(np.sqrt(variance) * z)

    def flipped(
        self, codes: F64, digests: list[int], plane: int, planes: int, unit: int, tile: int, cols: I64, adc_bits: int
    ) -> F64:
        """The codes [M, bitlines] of one plane's reads after soft errors."""
        index = (unit * planes + plane) * self.gain.shape[1] + cols
        key = tile_key(self.seed, Purpose.CODE_FLIP, self.first_tile + tile)
        flips = bit_flips(row_keys(key, digests), index, self.devices.code_flip, self.devices.code_flip_bit, adc_bits)
        return (codes.astype(np.int64) ^ flips).astype(np.float64)


def bit_flips(key: int | U64, index: I64, rate: float, bit: int, bits: int) -> I64:
    """What to XOR with the word at each index (below 2^31): one bit where an error strikes, 0 elsewhere: int64, as key and index broadcast. bit: -1 for any."""
    struck = words(key, index).astype(np.int64) < threshold(rate)
    which = words(key, index ^ (1 << 31)).astype(np.int64) * bits >> 32 if bit < 0 else bit
    return np.where(struck, np.int64(1) << which, 0)


def reading_of(devices: Devices, seed: int, first_tile: int, tiles: int, cols: int) -> Reading | None:
    """The reads of a layer's `tiles` tiles; None where they are ideal."""
    if not devices.reads_differ:
        return None
    column = np.arange(cols)

    def drawn(purpose: Purpose) -> F64:
        keys = [tile_key(seed, purpose, first_tile + t) for t in range(tiles)]
        return np.stack([normal(words(key, column)) for key in keys]).astype(np.float64)

    gain = 1 + (devices.gain + devices.gain_sigma * drawn(Purpose.ADC_GAIN))
    offset = devices.offset + devices.offset_sigma * drawn(Purpose.ADC_OFFSET)
    return Reading(devices, seed, first_tile, gain, offset)


def flipped_activations(codes: I64, devices: Devices, seed: int, first_tile: int, input_bits: int) -> I64:
    """Input codes int64 [M, K] after soft errors; a code cannot be below -(2^(B-1) - 1)."""
    if not devices.activation_flip:
        return codes
    key, index = tile_key(seed, Purpose.ACTIVATION, first_tile), np.arange(codes.shape[1])
    mask = (1 << input_bits) - 1
    keys = row_keys(key, row_digests(codes))
    flips = bit_flips(keys, index, devices.activation_flip, devices.activation_flip_bit, input_bits)
    flipped = (codes & mask) ^ flips
    signed = (flipped ^ (1 << (input_bits - 1))) - (1 << (input_bits - 1))
    return np.maximum(signed, 1 - (1 << (input_bits - 1)))


@dataclass(frozen=True, eq=False)
class LayerOnDie:
    """What one layer is on one die. levels: [T, rows, cols], u8 or analog in levels. reading: None for ideal reads."""

    levels: U8 | F64
    reading: Reading | None = None
    devices: Devices = IDEAL
    seed: int = 0
    first_tile: int = 0

    def struck(self, codes: I64, input_bits: int) -> I64:
        """Input codes after soft errors."""
        return flipped_activations(codes, self.devices, self.seed, self.first_tile, input_bits)


def on_die(die: Die | MeasuredDie | None, entry: LayerEntry, levels: U8, target: Target) -> LayerOnDie:
    """A layer of a bundle, programmed with `levels` [T, rows, cols], on a die; None is a clean one."""
    if die is None:
        return LayerOnDie(levels)
    devices, first = die.devices(target), entry.first_tile
    held = actual_levels(
        devices, die.seed, first, levels, die.faults(entry, target), target.top_level, target.hrs_levels
    )
    reading = reading_of(devices, die.seed, first, entry.tiles, target.crossbar.cols)
    return LayerOnDie(held, reading, devices, die.seed, first)
