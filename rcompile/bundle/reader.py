"""Read a bundle without trusting it: files, digests, the normal form, and what the host graph points at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import safetensors
from safetensors.numpy import load_file

from rcompile.bundle.host_graph import NODE_TENSORS, tensor_spans
from rcompile.bundle.manifest import LayerEntry, Manifest, read_manifest
from rcompile.canonical import file_sha256
from rcompile.errors import BadInputError, UsageError, no_such
from rcompile.layout.normal_form import F32, Tiles, problems
from rcompile.layout.packing import unpack

# A pruned layer has more weights than cells, but a manifest that claims a million times as many lies.
MAX_SPARSITY = 1 << 20


class DamagedError(BadInputError):
    """A bundle is not what its manifest says. problem: what is wrong, without the bundle's name and the way out."""

    def __init__(self, bundle: Bundle, problem: str, way_out: str = "Compile the model again.") -> None:
        self.problem, self.text = problem, f"{problem}. {way_out}".rstrip()
        super().__init__(f"bundle '{bundle.folder}': {self.text}")


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer as the bundle holds it. weight_scale: float32 [N]. biases: float32 [N] by tensor name."""

    entry: LayerEntry
    tiles: Tiles
    weight_scale: F32
    biases: dict[str, F32]


@dataclass(frozen=True)
class Bundle:
    """A bundle directory and its manifest."""

    folder: Path
    manifest: Manifest

    @staticmethod
    def open(folder: str | Path) -> Bundle:
        """Read the manifest. Raises BadInputError, or UnsupportedError for a newer format."""
        return Bundle(Path(folder), read_manifest(Path(folder)))

    def path(self, name: str) -> Path:
        """A file of the bundle. Raises BadInputError if it is missing, unlisted, or leads outside through a link."""
        path = self.folder / name
        if name not in self.manifest.files:
            raise DamagedError(self, f"the manifest does not list '{name}'")
        if not path.is_file():
            raise DamagedError(self, f"file '{name}' is missing", "Copy the bundle again, or compile again.")
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise DamagedError(self, f"'{name}' leads outside the bundle")
        return path

    def verify(self, names: Iterable[str]) -> None:
        """Compare the named files with their digests. Raises BadInputError at the first that differs."""
        for problem in self.file_problems(list(names)):
            if problem:
                way_out = "Copy the bundle again, or compile again; `rcompile check` lists all damage."
                raise DamagedError(self, problem, way_out)

    def runtime_files(self) -> list[str]:
        """The files that a session reads."""
        return [n for n in self.manifest.files if n == self.manifest.source.tokenizer or not n.startswith("source/")]

    def layer(self, entry: LayerEntry) -> Layer:
        """One layer, validated: shapes, dtypes, ranges. Raises BadInputError."""
        path = self.path(entry.file)
        try:
            tensors = load_file(path)
        except (safetensors.SafetensorError, OSError, ValueError) as error:
            raise DamagedError(self, f"'{entry.file}' is not a safetensors file: {error}", "") from None
        found = {name: (span.dtype, span.shape) for name, span in tensor_spans(path).items()}
        required = {*NODE_TENSORS, *(n.bias for n in entry.nodes)}
        if found != {n: (t.dtype, t.shape) for n, t in entry.tensors.items()} or not required <= set(found):
            raise DamagedError(self, f"the tensors of '{entry.file}' are not those that the manifest lists")
        cols, stored_bits = self.manifest.target.crossbar.cols, self.manifest.stored_bits
        try:
            tensors["levels"] = unpack(tensors["levels"], cols, stored_bits)
        except ValueError as error:
            raise DamagedError(self, f"levels of '{entry.file}': {error}") from None
        tiles = Tiles.from_tensors(tensors, entry.encoding)
        too_sparse = entry.inputs * entry.outputs > max(tiles.levels.size, 1) * MAX_SPARSITY
        if tiles.placement.tiles != entry.tiles or too_sparse:
            raise DamagedError(self, f"the size of layer '{entry.name}' is not that of '{entry.file}'")
        if wrong := problems(tiles, self.manifest.target, entry.inputs, entry.outputs):
            raise DamagedError(self, f"'{entry.file}' breaks the normal form: {'; '.join(wrong)}")
        return Layer(entry, tiles, tensors["weight_scale"], {n.bias: tensors[n.bias] for n in entry.nodes})

    def tile(self, address: str) -> tuple[Layer, int]:
        """The layer and tile number of an address LAYER:T. Raises UsageError for one that the bundle does not have,
        BadInputError for damage.
        """
        name, _, number = address.rpartition(":")
        if not name or not number.isdecimal():
            raise UsageError(f"'{address}' is no tile: write LAYER:T, as in {self.manifest.layers[0].name}:0.")
        layers = {entry.name: entry for entry in self.manifest.layers}
        if name not in layers:
            raise no_such("layer", name, layers, f"; `rcompile inspect {self.folder}` lists them")
        entry = layers[name]
        if int(number) >= entry.tiles:
            raise UsageError(f"layer '{name}' has tiles 0 .. {entry.tiles - 1}, no tile {number}.")
        self.verify([entry.file])
        return self.layer(entry), int(number)

    def file_problems(self, names: list[str]) -> Iterator[str | None]:
        """What is wrong with each file, in order; hashing leaves Python's lock, so it runs on all cores."""
        with ThreadPoolExecutor() as pool:
            yield from pool.map(self._file_problem, names)

    def _file_problem(self, name: str) -> str | None:
        try:
            path = self.path(name)
        except DamagedError as damage:
            return damage.problem
        entry = self.manifest.files[name]
        if path.stat().st_size != entry.bytes:
            return f"'{name}' has {path.stat().st_size} bytes, the manifest says {entry.bytes}"
        if file_sha256(path) != entry.sha256:
            return f"'{name}' does not have the manifest's SHA-256: its content changed"
        return None
