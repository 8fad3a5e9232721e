"""Tile files: where the tensors of a safetensors file lie. docs/bundle.md links to the format."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path

import safetensors

from rcompile.errors import BadInputError


@dataclass(frozen=True)
class TensorSpan:
    """Where a tensor lies in its file: dtype as safetensors names it, byte offset from the start of the file, byte
    length.
    """

    dtype: str
    shape: tuple[int, ...]
    offset: int
    length: int

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"


def tensor_spans(path: Path) -> dict[str, TensorSpan]:
    """The tensors of a safetensors file, by name, without their numbers. Raises BadInputError for another file."""
    try:
        with safetensors.safe_open(path, framework="np"):
            pass  # the library holds the header against the file before anything believes it
        with path.open("rb") as file:
            (header_bytes,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(header_bytes))
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise BadInputError(f"'{path.name}' is not a safetensors file: {error}") from None
    spans = {name: (e, e["data_offsets"]) for name, e in sorted(header.items()) if name != "__metadata__"}
    return {
        name: TensorSpan(e["dtype"], tuple(e["shape"]), 8 + header_bytes + start, end - start)
        for name, (e, (start, end)) in spans.items()
    }
