"""The version of this rcompile, with the commit that it was built from, so that caches can key on the compiler."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

__version__ = "0.1.0"
PACKAGE = Path(__file__).resolve().parent
COMMIT = PACKAGE / "commit.txt"  # the build leaves it in a wheel


@cache
def full_version() -> str:
    """`0.1.0+g1a2b3c4d5e6f`, `.dirty` after it if the checkout had changes; the bare version where no commit is
    known.
    """
    commit = COMMIT.read_text(encoding="ascii").strip() if COMMIT.is_file() else _of_checkout()
    return f"{__version__}+{commit}" if commit else __version__


def _of_checkout() -> str:
    """What git says of the checkout that this package lies in; empty outside one."""
    if not (PACKAGE.parent / ".git").exists():
        return ""
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        changes = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return ""
    return f"g{commit}.dirty" if changes else f"g{commit}"


def _git(*arguments: str) -> str:
    """What git says, without locks: one that is stopped with us would leave its own in the checkout, as `describe`
    does.
    """
    command = ["git", "--no-optional-locks", "-C", str(PACKAGE.parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
