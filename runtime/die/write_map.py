"""The map of a virtual chip, as a file."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rcompile.bundle.scratch import new_file
from rcompile.errors import UsageError
from rcompile.hardware.faults import FAULTS, Fault
from rcompile.hardware.target import Target
from runtime.die.measured import STICKING
from runtime.die.virtual import Die

# A thousand times what a BERT-base takes.
MOST_CROSSBARS = 1 << 20


@dataclass(frozen=True)
class WrittenMap:
    """What was written. sa0, sa1: share of cells that read as stuck there. between: stuck at a level between."""

    out: Path
    crossbars: int
    sa0: float
    sa1: float
    between: float


def write_chip_map(die: Die, target: Target, crossbars: int, out: str | Path, *, force: bool = False) -> WrittenMap:
    """The stuck cells of a virtual die's crossbars 0 .. crossbars - 1, to an .npz file with `faults` u8 [crossbars,
    rows, cols]. Equal input gives equal bytes; a crossbar at a time is in memory.

    Raises UsageError for an effect that is no stuck cell, another ending, and a file that exists.
    """
    out = Path(out)
    if out.suffix != ".npz":
        raise UsageError(f"'{out}' is no .npz: the map of a chip is written as NumPy's archive. Choose another -o.")
    if not 1 <= crossbars <= MOST_CROSSBARS:
        raise UsageError(f"a chip has 1 .. {MOST_CROSSBARS} crossbars, not {crossbars}.")
    if others := [name for name in die.effects.names if name not in STICKING]:
        raise UsageError(
            f"a map says which cells are stuck, and {', '.join(others)} makes none stick: leave it to `rcompile evaluate` (`--effect none` turns off the target's effects)."
        )
    die.physics(target)  # says now what does not fit
    shape = (crossbars, target.crossbar.rows, target.crossbar.cols)
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    counts = np.zeros(256, np.int64)
    with (
        new_file(out, force) as partial,
        zipfile.ZipFile(partial, "w") as archive,
        archive.open(f"{FAULTS}.npy", "w", force_zip64=True) as file,
    ):
        np.lib.format.write_array_header_1_0(file, header)
        for crossbar in range(crossbars):
            (faults,) = die.faults("", np.array([crossbar], np.int32), target)
            counts += np.bincount(faults.reshape(-1), minlength=256)
            file.write(faults.tobytes())
    share = counts / counts.sum()
    return WrittenMap(out, crossbars, share[Fault.SA0], share[Fault.SA1], share[Fault.STUCK_AT :].sum())
