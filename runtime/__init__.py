"""runtime: run compiled bundles in ONNX Runtime, on clean and on faulty dies.

import runtime
session = runtime.load("bert.bundle", die=runtime.Die(seed=1, sa0=0.00175, sa1=0.00904))
session.run(None, feeds)            # an ordinary onnxruntime.InferenceSession
session.set_die(None)               # the same session on a clean die
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["CrossbarSession", "Die", "MeasuredDie", "evaluate", "load", "read_die"]

if TYPE_CHECKING:
    from runtime.die.measured import MeasuredDie, read_die
    from runtime.die.virtual import Die
    from runtime.ort.session import CrossbarSession, load
    from runtime.scoring.evaluation import evaluate

_HOME = {
    "CrossbarSession": "ort.session",
    "Die": "die.virtual",
    "MeasuredDie": "die.measured",
    "evaluate": "scoring.evaluation",
    "load": "ort.session",
    "read_die": "die.measured",
}


def __getattr__(name: str) -> object:
    """Import on first use."""
    if name not in _HOME:
        raise AttributeError(f"module 'runtime' has no attribute '{name}'")
    from importlib import import_module

    value = getattr(import_module(f"runtime.{_HOME[name]}"), name)
    globals()[name] = value
    return value
