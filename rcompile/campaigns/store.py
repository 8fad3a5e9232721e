"""Store: the results of a campaign, a line a run, in one file that is whole after any stop."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rcompile.bundle.scratch import held
from rcompile.errors import BadInputError

RESULTS = "results.jsonl"
BUNDLES = "bundles"
Line = dict[str, Any]


class Store:
    """The lines of a campaign's folder by the key of their run. One process writes; use `store`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / RESULTS
        self.lines = {line["key"]: line for line in read_lines(folder)}
        self._file = self.path.open("ab")
        self._file.truncate(sum(len(line) for line in _whole(self.path)))

    def add(self, line: Line) -> None:
        """Write a line, to stay."""
        self.lines[line["key"]] = line
        self._file.write(_text(line))
        self._file.flush()
        os.fsync(self._file.fileno())

    def sort(self) -> None:
        """Put the lines in the order of their keys: whoever computed them, and whenever, the bytes are the same."""
        partial = self.path.with_suffix(".partial")
        partial.write_bytes(b"".join(_text(self.lines[key]) for key in sorted(self.lines)))
        partial.replace(self.path)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


@contextmanager
def store(folder: Path) -> Iterator[Store]:
    """The store of a folder, which is made if there is none, kept from other runs while the block runs. Raises
    UsageError where another run has it, BadInputError for a file that is none of ours.
    """
    with held(folder):
        folder.mkdir(exist_ok=True)
        opened = Store(folder)
        try:
            yield opened
        finally:
            opened.close()


def read_lines(folder: Path) -> list[Line]:
    """The whole lines of a campaign's results, none if there is no file yet; a last line that was cut is left out."""
    found = []
    for number, text in enumerate(_whole(folder / RESULTS), 1):
        try:
            line = json.loads(text)
            line["key"]
        except (ValueError, KeyError, TypeError):
            raise BadInputError(
                f"'{folder / RESULTS}', line {number} is no result of a campaign. Give another -o, or remove the line."
            ) from None
        found.append(line)
    return found


def _whole(path: Path) -> list[bytes]:
    text = path.read_bytes() if path.exists() else b""
    return [line for line in text.splitlines(keepends=True) if line.endswith(b"\n")]


def _text(line: Line) -> bytes:
    return json.dumps(line, sort_keys=True, allow_nan=False).encode() + b"\n"
