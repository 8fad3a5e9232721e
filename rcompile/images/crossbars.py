"""What a format writes: one crossbar after the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rcompile.hardware.target import Target
from rcompile.layout.normal_form import U8


@dataclass(frozen=True, eq=False)
class CrossbarImage:
    """One crossbar and the tile that is on it. levels: u8 [rows, cols], as to program."""

    crossbar: int
    layer: str
    tile: int
    levels: U8
    target: Target

    @property
    def level_siemens(self) -> npt.NDArray[np.float64]:
        """The conductance of each level: float64 [levels]."""
        return np.array([self.target.conductance_siemens(level) for level in range(self.target.top_level + 1)])
