"""The manifest of a bundle: its schema, and reading it without trust."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from rcompile.canonical import canonical_json
from rcompile.errors import BadInputError, UnsupportedError, UsageError
from rcompile.hardware.changes import contradictions
from rcompile.hardware.encoding import Encoding
from rcompile.hardware.target import Target
from rcompile.options import CompileOptions
from rcompile.vocabulary import Combiner, InputScale

FORMAT_VERSION: Literal[1] = 1
# Names of the files in a bundle.
MANIFEST = "manifest.json"
MODEL = "model.onnx"


def _inside(path: str) -> str:
    """The path must be relative and must not leave the bundle."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path or not pure.parts:
        raise ValueError("the path leaves the bundle")
    return path


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
BundlePath = Annotated[str, AfterValidator(_inside)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FileEntry(_Part):
    """One file of the bundle."""

    sha256: Sha256
    bytes: Count


class Tool(_Part):
    """What wrote the bundle."""

    name: Literal["rcompile"] = "rcompile"
    version: str


class Source(_Part):
    """The model that was compiled."""

    name: str
    sha256: Sha256
    opset: Positive
    model: BundlePath | None = Field(description="the unchanged source model inside the bundle, null if left out")
    tokenizer: BundlePath | None = Field(
        description="the tokenizer.json that lay beside the source model, null if none did"
    )


class NodeEntry(_Part):
    """One CrossbarMatMul node of the host graph."""

    name: str
    bias: str = Field(description="name of the bias tensor in the layer's file: float32 [outputs]")
    input_scale: float | None = Field(description="calibrated scale of the node's input, null if dynamic")


class TensorEntry(_Part):
    """One tensor of a layer's file."""

    dtype: Literal["U8", "I8", "I32", "F32"]
    shape: tuple[Count, ...]


class LayerEntry(_Part):
    """One linear on its crossbars."""

    name: str
    file: BundlePath
    inputs: Positive
    outputs: Positive
    encoding: Encoding = Field(description="the digits of its weights, to which bitline_digit points")
    first_tile: Count = Field(description="bundle-wide number of the layer's first tile")
    tiles: Positive
    nodes: Annotated[tuple[NodeEntry, ...], Field(min_length=1)]
    tensors: dict[str, TensorEntry]
    codes_sha256: Sha256 = Field(
        description="digest of the [inputs, outputs] weight codes in C order: int8, or int16 little-endian where the die is known"
    )


class UnmappedEntry(_Part):
    """A product that stays on the host."""

    node: str
    op: str
    reason: str


class LedgerRow(_Part):
    """What a layer takes: of the dense model, after pruning, and as it is compiled."""

    layer: str
    crossbars_dense: Count
    crossbars_pruned: Count = Field(description="without replicas")
    crossbars: Count = Field(description="as compiled, replicas included")
    cells_dense: Count = Field(description="inputs x outputs x bitlines of an output")
    cells_pruned: Count
    cells_used: Count = Field(description="as compiled: cells at the crossing of a driven wordline and a used bitline")
    cells: Positive = Field(description="all cells of the crossbars that the layer takes")


class AllocationEntry(_Part):
    """Outputs of a layer that hold their digits in so many copies each, in the encoding's order; 0: the digit is given
    up.
    """

    copies: tuple[Count, ...]
    outputs: Positive


class ProtectionEntry(_Part):
    """What protection decided."""

    sa0: float | None = Field(ge=0, le=1, description="the SA0 rate that replicas were allocated for")
    sa1: float | None = Field(ge=0, le=1, description="the SA1 rate that replicas were allocated for")
    predicted_error: float | None = Field(
        description="relative squared error of an output at the guarded rates, mean over layers"
    )
    allocations: dict[str, tuple[AllocationEntry, ...]]


class DieEntry(_Part):
    """The die that the images were made for."""

    map_sha256: Sha256 = Field(description="digest of the file with its map")
    stuck_share: float = Field(ge=0, le=1, description="share of the cells of the bundle's crossbars that are stuck")
    relative_error: float = Field(
        ge=0,
        allow_inf_nan=False,
        description="norm of what the weights that the cells hold lack, over that of the quantized weights, mean over layers",
    )
    compensation_sha256: Sha256 | None = Field(
        default=None,
        description="digest of the samples on which weights make up for each other's errors; null: each is the nearest that its cells hold",
    )


class Manifest(_Part):
    """The content of manifest.json."""

    format_version: Literal[1] = FORMAT_VERSION
    tool: Tool
    target: Target
    target_sha256: Sha256
    source: Source
    options: CompileOptions
    input_scale: InputScale = Field(
        description="whether inputs are scaled row by row at run time, or by calibrated constants"
    )
    calibration_sha256: Sha256 | None = Field(
        default=None, description="digest of the samples that calibrated the scales"
    )
    combiner: Combiner = Field(
        default="none", description="how replicas are combined; `rcompile evaluate --combiner` may choose another"
    )
    stored_bits: Positive = Field(default=8, description="bits that a cell takes in `levels`: 8, or packed 1, 2 or 4")
    protection: ProtectionEntry | None = None
    die: DieEntry | None = Field(default=None, description="null where the images are the same for every die")
    ledger: Annotated[tuple[LedgerRow, ...], Field(min_length=1)]
    layers: Annotated[tuple[LayerEntry, ...], Field(min_length=1)]
    unmapped: tuple[UnmappedEntry, ...]
    files: dict[BundlePath, FileEntry]

    @field_validator("target")
    @classmethod
    def _sound(cls, target: Target) -> Target:
        """A target in a manifest must keep what a target file must."""
        if wrong := contradictions(target):
            raise ValueError("; ".join(f"{p.key}: {p.message}" for p in wrong))
        return target

    @field_validator("options")
    @classmethod
    def _meaningful(cls, options: CompileOptions) -> CompileOptions:
        try:
            options.check()
        except UsageError as error:
            raise ValueError(str(error)) from None
        return options

    @model_validator(mode="after")
    def _stored_as_asked(self) -> Manifest:
        """The bits of a stored cell follow from the target and the options."""
        wanted = self.target.stored_bits(self.options.pack_cells)
        if self.stored_bits != wanted:
            raise ValueError(
                f"stored_bits is {self.stored_bits}, but cells of {self.target.cell.bits} bits with pack_cells {self.options.pack_cells} take {wanted}"
            )
        return self

    @field_validator("layers")
    @classmethod
    def _named_apart(cls, layers: tuple[LayerEntry, ...]) -> tuple[LayerEntry, ...]:
        """Fault maps and reports go by the names of layers."""
        names = [layer.name for layer in layers]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two layers are named '{twice[0]}'")
        return layers

    def total(self) -> LedgerRow:
        """The ledger's sum."""
        sums = {k: sum(getattr(row, k) for row in self.ledger) for k in LedgerRow.model_fields if k != "layer"}
        return LedgerRow(layer="total", **sums)

    def layer(self, name: str) -> LayerEntry:
        """The layer of that name. Raises BadInputError listing the names."""
        for entry in self.layers:
            if entry.name == name:
                return entry
        raise BadInputError(f"the bundle has no layer '{name}'. Layers: {', '.join(e.name for e in self.layers)}.")

    def stored_levels(self, entry: LayerEntry) -> tuple[int, int, int]:
        """Shape of a layer's `levels` as its file must hold them."""
        array = self.target.crossbar
        return entry.tiles, array.rows, -(-array.cols * self.stored_bits // 8)

    def text(self) -> str:
        """The bytes of manifest.json as text."""
        return canonical_json(self.model_dump(mode="json"))


def codes_dtype(die_known: bool) -> np.dtype[np.signedinteger]:
    """The type in which weight codes are hashed: what a die makes of them may be more than 8 bits hold."""
    return np.dtype("<i2") if die_known else np.dtype(np.int8)


def manifest_schema() -> str:
    """The JSON Schema of manifest.json."""
    return canonical_json(Manifest.model_json_schema())


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a bundle.

    Raises BadInputError with every error at once if it is missing or wrong, UnsupportedError if a newer format wrote
    it.
    """
    path = folder / MANIFEST
    if folder.suffix == ".onnx" and not folder.is_dir():
        raise BadInputError(
            f"'{folder}' is a model, not a bundle: compile it first, `rcompile {folder} --target NAME`, then give '{folder.stem}.bundle'."
        )
    if folder.is_file():
        raise BadInputError(f"'{folder}' is a file; a bundle is the directory that `rcompile MODEL.onnx` wrote.")
    if not folder.is_dir():
        raise BadInputError(
            f"no bundle at '{folder}': no such directory. `rcompile MODEL.onnx --target NAME -o {folder}` makes one."
        )
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInputError(
            f"'{folder}' is not a bundle: it has no {MANIFEST}. Give the directory that `rcompile MODEL.onnx -o DIR` wrote."
        ) from None
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise BadInputError(f"cannot read '{path}': {error}. Compile the model again.") from None
    version = data.get("format_version") if isinstance(data, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise UnsupportedError(
            f"'{path}' has format version {version}; this rcompile reads up to {FORMAT_VERSION}. Upgrade rcompile."
        )
    try:
        return Manifest.model_validate_json(json.dumps(data))
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc'])) or 'manifest'}: {e['msg']}" for e in error.errors()]
        raise BadInputError(
            f"'{path}' does not fit the manifest's schema:\n" + "\n".join(lines) + "\nCompile the model again."
        ) from None
