"""What is asked of every sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rcompile.errors import UsageError

F64 = npt.NDArray[np.float64]
Values = Sequence[float] | npt.NDArray[np.generic]
CONFIDENCE = 0.95


def one_a_die(values: Values) -> F64:
    """F64 [dies]. Raises UsageError if there is no die, or a value that is not finite."""
    found = np.asarray(values, np.float64)
    if found.ndim != 1 or not found.size:
        raise UsageError(f"values have shape {list(found.shape)}; give one number a die, of one die or more.")
    return finite(found)


def passes(passed: Sequence[bool] | npt.NDArray[np.bool_]) -> F64:
    """1 for each die that passes, 0 for each that fails, F64 [dies]. Raises UsageError for anything else."""
    found = one_a_die(passed)
    if not np.isin(found, (0, 1)).all():
        raise UsageError("a die passes (1, true) or fails (0, false); give the scores' comparison with their limit.")
    return found


def finite(values: F64) -> F64:
    """The same. Raises UsageError for a value that is not finite."""
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        raise UsageError(f"value {wrong[0].tolist()} is {values[tuple(wrong[0])]}; give finite numbers.")
    return values


def inside(name: str, share: float) -> float:
    """The same. Raises UsageError unless it lies between 0 and 1, neither included."""
    if not 0 < share < 1:
        raise UsageError(f"{name} is {share:g}; give a share between 0 and 1, as 0.95.")
    return share
