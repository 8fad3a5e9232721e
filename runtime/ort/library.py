"""Find and register the native execution provider."""

from __future__ import annotations

import ctypes
import importlib.metadata
from functools import cache
from pathlib import Path

import onnxruntime as ort

from rcompile.errors import UnsupportedError

PROVIDER = "CrossbarExecutionProvider"
LIBRARY = "libcrossbar_ep.so"


@cache
def library_path() -> Path:
    """The provider's shared object: beside this package, or where the distribution was installed. Raises
    UnsupportedError if it was not built.
    """
    beside = Path(__file__).resolve().parent.parent / LIBRARY
    if beside.is_file():
        return beside
    try:
        for file in importlib.metadata.files("rcompile") or []:
            if file.name == LIBRARY:
                return Path(str(file.locate()))
    except importlib.metadata.PackageNotFoundError:
        pass
    raise UnsupportedError(
        "the native execution provider is not built. Install the package: `pip install .` in the checkout."
    )


@cache
def native() -> ctypes.CDLL:
    """The provider's shared object as ctypes sees it, for its C functions."""
    library = ctypes.CDLL(str(library_path()))
    library.RcompileReport.restype = ctypes.c_char_p
    library.RcompileReport.argtypes = [ctypes.c_char_p]
    return library


@cache
def device() -> ort.OrtEpDevice:
    """The one device of the provider, its library registered on first use and never unregistered: a live session would
    crash.

    Raises UnsupportedError for an ONNX Runtime that cannot load it.
    """
    try:
        ort.register_execution_provider_library(PROVIDER, str(library_path()))
    except Exception as error:  # onnxruntime raises one class a status code
        raise UnsupportedError(
            f"onnxruntime {ort.__version__} cannot load {PROVIDER}: {error}. Version 1.26 or newer is needed."
        ) from None
    for candidate in ort.get_ep_devices():
        if candidate.ep_name == PROVIDER:
            return candidate
    raise UnsupportedError(f"onnxruntime {ort.__version__} lists no device for {PROVIDER}.")
