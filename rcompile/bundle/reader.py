"""Read a bundle without trusting it: files, digests, the normal form, and what the host graph points at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from rcompile.bundle.host_graph import NODE_TENSORS
from rcompile.bundle.manifest import LayerEntry, Manifest, read_manifest
from rcompile.bundle.tile_file import TensorSpan, tensor_spans
from rcompile.canonical import file_sha256
from rcompile.errors import BadInputError, UsageError, no_such
from rcompile.hardware.target import Target
from rcompile.layout.form import Form
from rcompile.layout.normal_form import F32, I32, Tiles
from rcompile.layout.packing import unpack
from rcompile.layout.rules import broken_rules


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

    def form(self, target: Target, elsewhere: I32) -> Form:
        """As the rules look at it. elsewhere: the crossbars of the other layers."""
        inputs, outputs = self.entry.inputs, self.entry.outputs
        return Form(self.tiles, self.weight_scale, self.biases, inputs, outputs, target, elsewhere)


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
        """One layer, held against every rule of the normal form. Raises BadInputError."""
        self.spans(entry)
        tensors = load_file(self.path(entry.file))
        if self.manifest.stored_bits < 8:
            try:
                tensors["levels"] = unpack(
                    tensors["levels"], self.manifest.target.crossbar.cols, self.manifest.stored_bits
                )
            except ValueError as error:
                raise DamagedError(self, f"levels of '{entry.file}': {error}") from None
        layer = Layer(
            entry,
            Tiles.from_tensors(tensors, entry.encoding),
            tensors["weight_scale"],
            {n.bias: tensors[n.bias] for n in entry.nodes},
        )
        elsewhere = [on for name, on in self.crossbars.items() if name != entry.name]
        form = layer.form(self.manifest.target, np.concatenate([np.empty(0, np.int32), *elsewhere]))
        if wrong := broken_rules(form):
            raise DamagedError(self, f"'{entry.file}' breaks the normal form: {'; '.join(map(str, wrong))}")
        if len(layer.tiles.levels) != entry.tiles:
            raise DamagedError(
                self, f"layer '{entry.name}' has {entry.tiles} tiles, its file {len(layer.tiles.levels)}"
            )
        return layer

    def spans(self, entry: LayerEntry) -> dict[str, TensorSpan]:
        """Where the tensors of a layer's file lie: those that the manifest lists, of the sizes that it says. Reads no
        numbers. Raises BadInputError.
        """
        try:
            spans = tensor_spans(self.path(entry.file))
        except DamagedError:
            raise
        except BadInputError as error:
            raise DamagedError(self, str(error), "") from None
        for name in sorted({*spans, *entry.tensors, *NODE_TENSORS, *(n.bias for n in entry.nodes)}):
            held, listed = spans.get(name), entry.tensors.get(name)
            if held is None or listed is None or (held.dtype, held.shape) != (listed.dtype, listed.shape):
                wanted = f"{listed.dtype} {list(listed.shape)}" if listed else "not there"
                raise DamagedError(
                    self, f"tensor '{name}' of '{entry.file}' is {held or 'missing'}, in the manifest {wanted}"
                )
        return spans

    def cell_shape(self, entry: LayerEntry) -> tuple[int, int, int]:
        """Tiles, rows and cols of a layer, as many cells as its file does hold. Raises BadInputError."""
        held, wanted = self.spans(entry)["levels"].shape, self.manifest.stored_levels(entry)
        if held != wanted:
            raise DamagedError(self, f"levels of '{entry.file}' are {list(held)}, the manifest's sizes {list(wanted)}")
        return entry.tiles, self.manifest.target.crossbar.rows, self.manifest.target.crossbar.cols

    @cached_property
    def crossbars(self) -> dict[str, I32]:
        """The crossbars of every layer's tiles, by its name, as far as its file can be read: what is wrong with it is
        said when it is read.
        """
        found = {}
        for entry in self.manifest.layers:
            with suppress(DamagedError):
                span = self.spans(entry)["crossbar"]
                with self.path(entry.file).open("rb") as file:
                    file.seek(span.offset)
                    found[entry.name] = np.frombuffer(file.read(span.length // 4 * 4), np.int32)
        return found

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
