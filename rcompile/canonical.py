"""Canonical JSON and file digests: what makes two compiles give the same bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def canonical_json(value: object) -> str:
    """JSON with sorted keys, two-space indent, LF and a final newline; NaN and Infinity are refused."""
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def files_sha256(paths: Sequence[Path]) -> list[str]:
    """The digests of many files, in their order; hashing leaves Python's lock, so it runs on all cores."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(file_sha256, paths))


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file, read once in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
