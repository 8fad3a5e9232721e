"""NumPy's .npz: `levels` u8 [crossbars, rows, cols], `crossbar` i32, `layer` and `tile` of each, `level_siemens` f64
[levels].
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from rcompile.images.crossbars import CrossbarImage


def write_npz(out: Path, images: Iterable[CrossbarImage]) -> None:
    """Write the crossbars into one file, without compression: a bench maps it."""
    held = sorted(images, key=lambda image: image.crossbar)
    with out.open("wb") as file:
        np.savez(
            file,
            levels=np.stack([image.levels for image in held]),
            crossbar=np.array([image.crossbar for image in held], np.int32),
            layer=np.array([image.layer for image in held]),
            tile=np.array([image.tile for image in held], np.int32),
            level_siemens=held[0].level_siemens,
        )
