"""A die's cells as they are: levels that are stuck, and conductances with every deviation.

docs/hardware.md, "Effects", is the prose; with `runtime/product/reference.py` this is the judge of the native kernels.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import numpy.typing as npt

from rcompile.hardware.faults import Fault, apply_faults
from rcompile.hardware.physics import CellTables, Physics
from rcompile.hardware.target import Target
from rcompile.layout.normal_form import I32, U8
from runtime.die.randomness import Purpose, crossbar_key, exponential, normal, words

F64 = npt.NDArray[np.float64]
# Conductances that are no whole levels are held on a grid of 2^-10 level, in 16 bits.
GRID = 1024


def on_grid(levels: F64) -> F64:
    """The nearest multiple of 2^-10, halves up."""
    return np.floor(levels * GRID + 0.5) / GRID


def actual_levels(physics: Physics, seed: int, crossbars: I32, levels: U8, faults: U8, target: Target) -> U8 | F64:
    """What the cells of a layer hold: the level, u8 [T, rows, cols], or its analog value float64, a multiple of 2^-10.

    crossbars: of its tiles. levels: as programmed. faults: of `Fault`.
    """
    top, hrs = target.top_level, target.hrs_levels
    if physics.cells is None:
        return apply_faults(levels, faults, top)
    drawn = [
        np.where(
            f == Fault.GOOD,
            analog_levels(physics.cells, seed, int(x), programmed, hrs),
            apply_faults(programmed, f, top),
        )
        for x, programmed, f in zip(crossbars, levels, faults, strict=True)
    ]
    return np.stack([with_wires(held.astype(np.float64), physics, hrs) for held in drawn])


def analog_levels(cells: CellTables, seed: int, crossbar: int, levels: U8, hrs_levels: float) -> F64:
    """One crossbar's conductances above HRS, in levels, before wires and if no cell were stuck: float64 [rows,
    cols].
    """
    base, mean, sigma, reach, spread = (getattr(cells, f.name).astype(np.float32)[levels] for f in fields(cells))
    cell = np.arange(levels.size).reshape(levels.shape)
    conductance = mean + sigma * normal(words(crossbar_key(seed, Purpose.PROGRAMMING, crossbar), cell), reach)
    conductance = np.maximum(conductance, np.float32(0))
    if cells.spread.astype(np.float32).any():
        drawn = normal(words(crossbar_key(seed, Purpose.SPREAD, crossbar), cell))
        conductance = conductance * exponential(spread * drawn)
    if cells.base.astype(np.float32).any():
        conductance = base + conductance
    return np.clip(on_grid(conductance.astype(np.float64) - hrs_levels), -32, 32 - 1 / GRID)


def with_wires(levels: F64, physics: Physics, hrs_levels: float) -> F64:
    """One tile's levels as seen through its wires: float64 [rows, cols].

    An array whose undriven wordlines are held at 0 V is a linear network, so that wires change each cell's conductance
    by a factor that does not depend on the inputs. To first order in the wires it loses the shares of its wordline's
    and of its bitline's segments, resummed: 1 / (1 + loss), which stays positive. `runtime/die/wires.py` has the exact
    solution.
    """
    if not physics.wordline_drop and not physics.bitline_drop:
        return levels
    offset = np.floor(hrs_levels * GRID + 0.5).astype(np.int64)
    g = np.floor(levels * GRID + 0.5).astype(np.int64) + offset
    # sum over c' of g[r, c'] * (min(c, c') + 1), and over r' of g[r', c] * (rows - max(r, r')): segments that both
    # currents share
    along_wordline = np.cumsum(np.cumsum(g[:, ::-1], axis=1)[:, ::-1], axis=1)
    along_bitline = np.cumsum(np.cumsum(g, axis=0)[::-1], axis=0)[::-1]
    loss = (physics.wordline_drop * along_wordline + physics.bitline_drop * along_bitline) / GRID
    seen = np.floor(g / (1 + loss) + 0.5) - offset
    return np.clip(seen, -32 * GRID, 32 * GRID - 1) / GRID


def read_back(levels: U8 | F64, top_level: int) -> U8:
    """The level that a read in memory mode finds in each cell: the nearest one, halves up."""
    return np.clip(np.floor(levels + 0.5), 0, top_level).astype(np.uint8)
