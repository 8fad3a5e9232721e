"""Canonical JSON and file digests: what makes two compiles give the same bytes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path


def canonical_json(value: object) -> str:
    """JSON with sorted keys, two-space indent, LF and a final newline; NaN and Infinity are refused."""
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file, read once in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
