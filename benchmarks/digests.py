"""Pages and figures say which data they show, so that a test can see when they are stale."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rcompile.canonical import files_sha256


def data_shown(paths: Sequence[Path]) -> str:
    """What to say of the files that a page or figure is made of; a digest is the start of what `sha256sum` prints."""
    digests = zip(paths, files_sha256(paths), strict=True)
    return "sha256 of the data: " + ", ".join(f"{path.name} {digest[:12]}" for path, digest in digests)
