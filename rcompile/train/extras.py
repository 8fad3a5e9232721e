"""Optional packages, and what to say when one is missing."""

from __future__ import annotations

import importlib.util

from rcompile.errors import UnsupportedError


def require(*packages: str) -> None:
    """Raises UnsupportedError naming the first package of the extra `train` that is not installed."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise UnsupportedError(
                f"this needs {package}: pip install torch==2.13.0, then pip install 'rcompile[train]'."
            )
