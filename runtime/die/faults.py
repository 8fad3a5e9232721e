"""Stuck cells: which cells of a crossbar are stuck, and at what. docs/hardware.md, "Virtual dies", is the prose."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rcompile.hardware.faults import Fault
from rcompile.hardware.physics import Physics
from rcompile.layout.normal_form import U8
from runtime.die.randomness import Purpose, crossbar_key, logarithm, threshold, words

F64 = npt.NDArray[np.float64]


def fault_map(physics: Physics, seed: int, crossbar: int, rows: int, cols: int, top_level: int) -> U8:
    """The fault of each cell of one crossbar of a virtual die: u8 [rows, cols] of `Fault`."""
    cell = np.arange(rows * cols).reshape(rows, cols)
    word = words(crossbar_key(seed, Purpose.STUCK, crossbar), cell).astype(np.uint64)
    density = block_density(physics, seed, crossbar, rows, cols)
    sa1 = _thresholds(physics.sa1, density)
    between = _thresholds(physics.sa1 + physics.between, density)
    sa0 = np.uint64(1 << 32) - _thresholds(physics.sa0, density)
    found = np.where(word < sa1, Fault.SA1, np.where(word >= sa0, Fault.SA0, Fault.GOOD))
    if physics.between:
        drawn = words(crossbar_key(seed, Purpose.BETWEEN, crossbar), cell).astype(np.uint64)
        level = 1 + (drawn * np.uint64(top_level - 1) >> np.uint64(32))
        found = np.where((word >= sa1) & (word < between), Fault.STUCK_AT + level, found)
    return _broken_lines(found.astype(np.uint8), physics, seed, crossbar)


def block_density(physics: Physics, seed: int, crossbar: int, rows: int, cols: int) -> F64:
    """What the rates of each cell are multiplied by: float64 [rows, cols], or [1, 1] where cells are independent."""
    if not physics.cluster_side:
        return np.ones((1, 1))
    side, alpha = physics.cluster_side, physics.cluster_alpha
    down, across = -(-rows // side), -(-cols // side)
    word = words(crossbar_key(seed, Purpose.CLUSTER, crossbar), np.arange(down * across * alpha))
    uniform = ((word >> np.uint32(8)).astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-24)
    drawn = -logarithm(uniform).astype(np.float64).reshape(down, across, alpha)
    total = np.cumsum(drawn, axis=2)[:, :, -1]  # one after the other, as a loop adds
    cap = 1 / (physics.sa0 + physics.sa1 + physics.between) if physics.sa0 + physics.sa1 + physics.between else 1.0
    density = np.minimum(total / alpha * physics.cluster_scale, cap)
    return np.repeat(np.repeat(density, side, axis=0), side, axis=1)[:rows, :cols]


def _thresholds(rate: float, density: F64) -> npt.NDArray[np.uint64]:
    return np.minimum(np.floor(rate * density * 2.0**32), 2.0**32).astype(np.uint64)


def _broken_lines(found: U8, physics: Physics, seed: int, crossbar: int) -> U8:
    rows, cols = found.shape
    lines = ((Purpose.WORDLINE, physics.wordline, (rows, 1)), (Purpose.BITLINE, physics.bitline, (1, cols)), (Purpose.CROSSBAR, physics.crossbar, (1, 1)))  # fmt: skip
    for purpose, rate, shape in lines:
        word = words(crossbar_key(seed, purpose, crossbar), np.arange(shape[0] * shape[1])).reshape(shape)
        found = np.where(word.astype(np.uint64) < threshold(rate), Fault.SA0, found).astype(np.uint8)
    return found
