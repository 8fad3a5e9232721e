"""Wire resistance, exactly: what each cell of an array contributes to its bitline's current, by nodal analysis.

The judge of the first-order model in `runtime/die/cells.py`, for small arrays.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import splu

F64 = npt.NDArray[np.float64]
# A segment without resistance is one that conducts this many times more than all cells together.
SHORT = 1e12


def effective_conductance(conductance_siemens: F64, wordline_segment_ohm: float, bitline_segment_ohm: float) -> F64:
    """siemens [rows, cols]: the current in each bitline when a wordline alone has 1 V and the others are held at 0 V,
    so that `current_ampere [cols] = voltage_volt [rows] @ effective`.

    Wordlines are driven at the left, through one segment before each cell; bitlines are read at 0 V at the foot, one
    segment after each cell.
    """
    rows, cols = conductance_siemens.shape
    short = SHORT * max(float(conductance_siemens.sum()), 1e-30)
    g_wordline, g_bitline = (1 / ohm if ohm else short for ohm in (wordline_segment_ohm, bitline_segment_ohm))
    wordline = np.arange(rows * cols).reshape(rows, cols)
    bitline = wordline + rows * cols
    pairs = [
        (wordline, bitline, conductance_siemens),
        (wordline[:, :-1], wordline[:, 1:], np.full((rows, cols - 1), g_wordline)),
        (bitline[:-1], bitline[1:], np.full((rows - 1, cols), g_bitline)),
    ]
    a, b, g = (np.concatenate([np.ravel(part) for part in parts]) for parts in zip(*pairs, strict=True))
    grounded = np.concatenate([wordline[:, 0], bitline[-1]])
    to_ground = np.concatenate([np.full(rows, g_wordline), np.full(cols, g_bitline)])
    at = np.concatenate([a, b, grounded]), np.concatenate([a, b, grounded])
    diagonal = coo_matrix((np.concatenate([g, g, to_ground]), at))
    matrix = (diagonal - coo_matrix((np.concatenate([g, g]), (np.concatenate([a, b]), np.concatenate([b, a]))), shape=diagonal.shape)).tocsc()  # fmt: skip
    # By reciprocity: a unit current into the foot of a bitline, seen at the heads of the wordlines.
    injected = np.zeros((2 * rows * cols, cols))
    injected[bitline[-1], np.arange(cols)] = g_bitline
    found: F64 = splu(matrix).solve(injected)[wordline[:, 0]] * g_wordline
    return found
