"""Read a bundle without trusting it: files, digests, the normal form, and what the host graph points at."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
from safetensors.numpy import load_file

from rcompile.bundle.host_graph import NODE_TENSORS, CrossbarNode, TensorSpan, node_attributes, read_host, tensor_spans
from rcompile.bundle.manifest import MODEL, LayerEntry, Manifest, NodeEntry, read_manifest
from rcompile.canonical import file_sha256
from rcompile.errors import BadInputError, UsageError
from rcompile.layout.normal_form import F32, Tiles, decode, problems
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
        for problem in self._file_problems(list(names)):
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
        tiles = Tiles.from_tensors(tensors)
        too_sparse = entry.inputs * entry.outputs > max(tiles.levels.size, 1) * MAX_SPARSITY
        if tiles.placement.tiles != entry.tiles or too_sparse:
            raise DamagedError(self, f"the size of layer '{entry.name}' is not that of '{entry.file}'")
        if wrong := problems(tiles, self.manifest.target, entry.inputs, entry.outputs):
            raise DamagedError(self, f"'{entry.file}' breaks the normal form: {'; '.join(wrong)}")
        return Layer(entry, tiles, tensors["weight_scale"], {n.bias: tensors[n.bias] for n in entry.nodes})

    def tile(self, address: str) -> tuple[Layer, int]:
        """The layer and tile number of an address LAYER:T. Raises BadInputError, or UsageError for another form."""
        name, _, number = address.rpartition(":")
        if not name or not number.isdecimal():
            raise UsageError(f"'{address}' is no tile: write LAYER:T, as in {self.manifest.layers[0].name}:0.")
        entry = self.manifest.layer(name)
        if int(number) >= entry.tiles:
            raise BadInputError(f"layer '{name}' has tiles 0 .. {entry.tiles - 1}, no tile {number}.")
        self.verify([entry.file])
        return self.layer(entry), int(number)

    def _file_problems(self, names: list[str]) -> Iterator[str | None]:
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

    def check(self) -> Iterator[tuple[str, list[str]]]:
        """Every check of `rcompile check`, one at a time: what was checked, and every problem found there."""
        unlisted = (
            {p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*") if p.is_file()}
            - set(self.manifest.files)
            - {"manifest.json"}
        )
        yield "manifest", self._manifest_problems() + [f"'{name}' is not in the manifest" for name in sorted(unlisted)]
        damaged = set()
        names = list(self.manifest.files)
        for name, problem in zip(names, self._file_problems(names), strict=True):
            damaged |= {name} if problem else set()
            yield name, [problem] if problem else []
        sound = []
        for entry in (e for e in self.manifest.layers if e.file not in damaged):
            problems = self._layer_problems(entry)
            sound += [] if problems else [entry]
            yield f"layer {entry.name}", problems
        if MODEL not in damaged:
            yield "host graph", self._graph_problems(sound)

    def _manifest_problems(self) -> list[str]:
        manifest, wrong, expected = self.manifest, [], 0
        if manifest.target.sha256 != manifest.target_sha256:
            wrong.append("the target is not the one that target_sha256 names")
        for entry, row in zip(manifest.layers, manifest.ledger, strict=False):
            if entry.first_tile != expected or (row.layer, row.crossbars) != (entry.name, entry.tiles):
                wrong.append(f"layer '{entry.name}': tile numbers or ledger do not add up")
            expected += entry.tiles
        if len(manifest.layers) != len(manifest.ledger):
            wrong.append("ledger and layers differ in number")
        for name in (manifest.source.model, manifest.source.tokenizer, MODEL, *(e.file for e in manifest.layers)):
            if name is not None and name not in manifest.files:
                wrong.append(f"'{name}' is not among the files")
        return wrong

    def _layer_problems(self, entry: LayerEntry) -> list[str]:
        try:
            layer = self.layer(entry)
        except DamagedError as damage:
            return [damage.text]
        codes = decode(layer.tiles, self.manifest.target, entry.inputs, entry.outputs)
        limit = self.manifest.target.weight_code_max
        if (
            np.abs(codes).max() > limit
            or hashlib.sha256(codes.astype(np.int8).tobytes()).hexdigest() != entry.codes_sha256
        ):
            return ["the images do not decode to the quantized weights"]
        return []

    def _graph_problems(self, sound: list[LayerEntry]) -> list[str]:
        """Do the nodes of model.onnx compute the very layers that the manifest lists? Only layers with sound files are compared."""
        try:
            host = read_host(self.path(MODEL))
        except BadInputError as error:
            return [str(error)]
        nodes = {(str(n.attributes.get("layer")), n.name): n for n in host.crossbars}
        wrong = [f"two nodes are named '{name}'" for name in host.repeated_names]
        wrong += [
            f"tensors lie in '{name}', which is not among the files"
            for name in host.files
            if name not in self.manifest.files
        ]
        listed = {(e.name, n.name) for e in self.manifest.layers for n in e.nodes}
        for layer, name in sorted(listed ^ set(nodes)):
            where = "manifest" if (layer, name) in nodes else "graph"
            wrong.append(f"node '{name}' of layer '{layer}' is not in the {where}")
        for entry in sound:
            spans = tensor_spans(self.path(entry.file))
            for listed_node in (n for n in entry.nodes if (entry.name, n.name) in nodes):
                wrong += self._node_problems(entry, spans, listed_node, nodes[entry.name, listed_node.name])
        return wrong

    def _node_problems(
        self, entry: LayerEntry, spans: dict[str, TensorSpan], listed: NodeEntry, node: CrossbarNode
    ) -> list[str]:
        tensors = tuple((entry.file, spans[t].offset, spans[t].length) for t in (*NODE_TENSORS, listed.bias))
        reads = (
            [] if node.tensors == tensors else [f"node '{node.name}' does not read the images of layer '{entry.name}'"]
        )
        target = self.manifest.target
        attributes = node_attributes(
            entry.name,
            entry.inputs,
            entry.outputs,
            entry.first_tile,
            target,
            self.manifest.options,
            listed.input_scale,
        )
        differing = [
            f"node '{node.name}' has {key} = {node.attributes.get(key)}, not {attributes.get(key)}"
            for key in sorted(attributes.keys() | node.attributes.keys())
            if not _same(node.attributes.get(key), attributes.get(key))
        ]
        return reads + differing


def _same(found: object, expected: object) -> bool:
    """Equal as an ONNX attribute holds them: its floats are 32-bit."""
    if isinstance(found, float) and isinstance(expected, float):
        return np.float32(found) == np.float32(expected)
    return found == expected


@dataclass(frozen=True)
class TileDifference:
    """Cells of one tile that a re-programming from bundle A to bundle B would change."""

    layer: str
    tile: int
    cells: int
    levels_up: int
    levels_down: int


@dataclass(frozen=True)
class Difference:
    """What differs between two bundles: layers that only one has or whose tiles differ in number or maps, and tiles whose cells change."""

    only_in_a: tuple[str, ...]
    only_in_b: tuple[str, ...]
    reshaped: tuple[str, ...]
    remapped: tuple[str, ...]
    tiles: tuple[TileDifference, ...]

    @property
    def same(self) -> bool:
        """True if programming A or B gives the same cells, read in the same way."""
        return not (self.only_in_a or self.only_in_b or self.reshaped or self.remapped or self.tiles)


def diff(a: Bundle, b: Bundle) -> Difference:
    """Compare two bundles cell by cell."""
    in_a, in_b = ({e.name: e for e in bundle.manifest.layers} for bundle in (a, b))
    reshaped, remapped, tiles = [], [], []
    for name in (n for n in in_a if n in in_b):
        for bundle, entry in ((a, in_a[name]), (b, in_b[name])):
            bundle.verify([entry.file])
        old, new = a.layer(in_a[name]).tiles, b.layer(in_b[name]).tiles
        if old.levels.shape != new.levels.shape:
            reshaped.append(name)
            continue
        if any(not np.array_equal(x, new.tensors()[k]) for k, x in old.tensors().items() if k != "levels"):
            remapped.append(name)
        change = new.levels.astype(np.int16) - old.levels
        for t in np.flatnonzero(change.any(axis=(1, 2))):
            up, down = int(change[t].clip(0).sum()), int((-change[t]).clip(0).sum())
            tiles.append(TileDifference(name, int(t), int(np.count_nonzero(change[t])), up, down))
    only_a, only_b = (tuple(n for n in x if n not in y) for x, y in ((in_a, in_b), (in_b, in_a)))
    return Difference(only_a, only_b, tuple(reshaped), tuple(remapped), tuple(tiles))
