"""Bundles whose manifest says what is not so, under digests that were made to fit."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostile_bundles import LAYER

from rcompile.canonical import file_sha256
from rcompile.hardware.target import Target


def change(bundle: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Edit the manifest, and make its digests agree with target and files."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    edit(manifest)
    manifest["target_sha256"] = Target.model_validate_json(json.dumps(manifest["target"])).sha256
    for name, entry in manifest["files"].items():
        entry |= {"sha256": file_sha256(bundle / name), "bytes": (bundle / name).stat().st_size}
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def first(manifest: dict[str, Any]) -> dict[str, Any]:
    return next(entry for entry in manifest["layers"] if entry["name"] == LAYER)
