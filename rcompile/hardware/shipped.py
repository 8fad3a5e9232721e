"""The targets that ship, by name. Apart from target_file.py, because shell completion cannot wait for pydantic."""

from __future__ import annotations

from pathlib import Path


def targets_folder() -> Path:
    """The folder of the targets that ship: in the package once installed, beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "targets"
    return installed if installed.is_dir() else package.parent / "targets"


def target_names() -> list[str]:
    """Names of the targets that ship."""
    return sorted(p.stem for p in targets_folder().glob("*.toml"))
