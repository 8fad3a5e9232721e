"""rcompile: the deployment compiler for transformer language models on ReRAM crossbars."""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = [
    "Bundle",
    "CompileOptions",
    "Compiled",
    "RcompileError",
    "Target",
    "__version__",
    "campaign",
    "compile_model",
    "load_target",
]

if TYPE_CHECKING:
    from rcompile.bundle.reader import Bundle
    from rcompile.campaigns.frame import campaign
    from rcompile.errors import RcompileError
    from rcompile.hardware.target import Target
    from rcompile.hardware.target_file import load_target
    from rcompile.options import CompileOptions
    from rcompile.pipeline import Compiled, compile_model
    from rcompile.version import __version__

_HOME = {
    "Bundle": "bundle.reader",
    "campaign": "campaigns.frame",
    "CompileOptions": "options",
    "Compiled": "pipeline",
    "compile_model": "pipeline",
    "RcompileError": "errors",
    "__version__": "version",
    "Target": "hardware.target",
    "load_target": "hardware.target_file",
}


def __getattr__(name: str) -> object:
    """Import on first use: `rcompile --help` must not wait for ONNX."""
    if name not in _HOME:
        raise AttributeError(f"module 'rcompile' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"rcompile.{_HOME[name]}"), name)
