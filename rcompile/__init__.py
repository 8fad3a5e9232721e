"""rcompile: the deployment compiler for transformer language models on ReRAM crossbars."""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["Compiled", "RcompileError", "Target", "compile_model", "load_target"]

if TYPE_CHECKING:
    from rcompile.errors import RcompileError
    from rcompile.pipeline import Compiled, compile_model
    from rcompile.target import Target
    from rcompile.target_file import load_target

_HOME = {
    "Compiled": "pipeline",
    "compile_model": "pipeline",
    "RcompileError": "errors",
    "Target": "target",
    "load_target": "target_file",
}


def __getattr__(name: str) -> object:
    """Import on first use: `rcompile --help` must not wait for ONNX."""
    if name not in _HOME:
        raise AttributeError(f"module 'rcompile' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"rcompile.{_HOME[name]}"), name)
