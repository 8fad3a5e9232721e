"""Changed bundles, whose digests are mended so that what reads a file sees the change; and changed fault maps."""

from __future__ import annotations

import hashlib
import json
import random
import struct
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from messages import INTEGERS, TEXTS, change, flip
from onnx import TensorProto, helper
from small_models import changed_target, save_arrays, save_model

import runtime
from rcompile import CompileOptions, compile_model
from rcompile.bundle.check import check
from rcompile.bundle.host_check import graph_problems
from rcompile.bundle.manifest import MANIFEST, MODEL
from rcompile.bundle.reader import Bundle
from rcompile.errors import BadInputError
from runtime.die.measured import read_die
from runtime.ort.soft_errors import NumberErrors, flipped_numbers

Files = dict[str, bytes]
VALUES: tuple[Any, ...] = (*INTEGERS, *TEXTS, None, True, 0.5, 1e308, float("nan"), [], {}, [1, 2], "median", "tiles/up.safetensors")  # fmt: skip
WHOLE = 0.1  # share of the inputs that are read in every way, and loaded
NUMBERS = 0.3  # share of the graphs of the others whose numbers are read, and flipped
ERRORS = NumberErrors(1, 0.5, 0.5, None)


def _model(path: Path) -> Path:
    """As small as a model with everything can be: a table that lies outside of the graph, a weight that two nodes
    share, each with a bias of its own, and another layer.
    """
    rng = np.random.default_rng(0)
    shapes = {"table": (40, 8), "w": (8, 8), "b": (8,), "c": (8,), "head": (8, 2)}
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["x"]),
        helper.make_node("MatMul", ["x", "w"], ["p"], name="/first/MatMul"),
        helper.make_node("Add", ["p", "b"], ["q"], name="/first/Add"),
        helper.make_node("MatMul", ["q", "w"], ["r"], name="/second/MatMul"),
        helper.make_node("Add", ["r", "c"], ["s"], name="/second/Add"),
        helper.make_node("MatMul", ["s", "head"], ["y"], name="/head/MatMul"),
    ]
    constants = {name: rng.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()}
    inputs = {"ids": (TensorProto.INT64, ["b", "t"])}
    return save_model(path, nodes, constants, inputs, {"y": (TensorProto.FLOAT, ["b", "t", 2])})


def _bundle(folder: Path) -> Files:
    """A small bundle with replicas, packed cells and an embedding table: its files by name."""
    target = changed_target("reram128x128", crossbar={"rows": 8, "cols": 32, "active_rows": 8})
    model = _model(folder / "m.onnx")
    options = CompileOptions(protect="paper", combiner="mean", allow_extra_crossbars=True, pack_cells=True)
    compile_model(model, target, folder / "b", options)
    return {p.relative_to(folder / "b").as_posix(): p.read_bytes() for p in (folder / "b").rglob("*") if p.is_file()}


def _reader(
    folder: Path, changed: Callable[[Files, random.Random], None], *, mend: bool = True
) -> Callable[[random.Random], None]:
    """What writes a bundle with some files changed, and reads it in every way."""
    sound, place = _bundle(folder), folder / "b"

    def attempt(rng: random.Random) -> None:
        files = dict(sound)
        changed(files, rng)
        meant = _differing(files, sound)
        if mend:
            _mend(files)
        written = _differing(files, sound)
        for name in written:
            (place / name).write_bytes(files[name])
        try:
            _read(place, meant, rng)
        finally:
            for name in written:
                (place / name).write_bytes(sound[name])

    return attempt


def _differing(files: Files, sound: Files) -> list[str]:
    return [name for name, data in files.items() if data is not sound[name]]


def _mend(files: Files) -> None:
    """Write the digests and sizes of changed files into the manifest."""
    manifest = json.loads(files[MANIFEST])
    for name, entry in manifest["files"].items():
        entry.update(sha256=hashlib.sha256(files[name]).hexdigest(), bytes=len(files[name]))
    files[MANIFEST] = json.dumps(manifest).encode()


def _read(place: Path, changed: list[str], rng: random.Random) -> None:
    """Read what was changed; of some also all, and in ONNX Runtime: a checker that finds nothing wrong may still differ
    from a session.
    """
    opened = Bundle.open(place)
    if rng.random() > WHOLE:
        opened.verify([name for name in changed if name != MANIFEST])
        for entry in (e for e in opened.manifest.layers if e.file in changed or MANIFEST in changed):
            opened.layer(entry)
        if MODEL in changed and (problems := graph_problems(opened, opened.manifest.layers)):
            raise BadInputError(problems[0])
        if MODEL in changed and rng.random() < NUMBERS:
            flipped_numbers(opened, ERRORS)
        return
    wrong = [problem for _, problems in check(opened) for problem in problems]
    runtime.load(opened, threads=1).run(None, _feeds())
    if wrong:
        raise BadInputError(wrong[0])


def _feeds() -> dict[str, np.ndarray]:
    return {"ids": np.ones((1, 3), np.int64)}


def manifests(folder: Path) -> Callable[[random.Random], None]:
    """What reads a bundle with a changed manifest."""

    def changed(files: Files, rng: random.Random) -> None:
        if rng.random() < 0.2:
            files[MANIFEST] = flip(files[MANIFEST], rng, rng.randrange(1, 4))
            return
        manifest = json.loads(files[MANIFEST])
        for _ in range(rng.randrange(1, 4)):
            _change_json(manifest, rng)
        files[MANIFEST] = json.dumps(manifest).encode()

    return _reader(folder, changed, mend=False)


def _change_json(document: Any, rng: random.Random) -> None:
    holder: Any = document
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        if not keys:
            return
        key = rng.choice(keys)
        inner = holder[key]
        if not isinstance(inner, dict | list) or rng.random() < 0.2:
            break
        holder = inner
    match rng.randrange(5):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, list):
            holder.append(inner)
        case 2 if isinstance(inner, int):
            holder[key] = inner + rng.choice((-1, 1))
        case 3 if isinstance(holder, dict):
            holder[rng.choice(TEXTS)] = inner
        case _:
            holder[key] = rng.choice(VALUES)


def tile_files(folder: Path) -> Callable[[random.Random], None]:
    """What reads a bundle with a changed header, or changed tensors, in a file of tiles."""

    def changed(files: Files, rng: random.Random) -> None:
        name = rng.choice([n for n in files if n.startswith("tiles/")])
        data = files[name]
        (length,) = struct.unpack("<Q", data[:8])
        header, body = data[8 : 8 + length], data[8 + length :]
        match rng.randrange(4):
            case 0:
                header = flip(header, rng, 1)
            case 1:
                document = json.loads(header)
                _change_json(document, rng)
                header = json.dumps(document).encode()
            case 2:
                body = flip(body, rng, rng.randrange(1, 4))
            case _:
                at = rng.randrange(len(body) - 4)
                body = (
                    body[:at] + struct.pack("<i", max(min(rng.choice(INTEGERS), 2**31 - 1), -(2**31))) + body[at + 4 :]
                )
        claimed = rng.choice(INTEGERS) % (1 << 64) if rng.random() < 0.05 else len(header)
        files[name] = struct.pack("<Q", claimed) + header + body

    return _reader(folder, changed)


def bundles(folder: Path) -> Callable[[random.Random], None]:
    """What reads a bundle with any of its files changed, its host graph most of all."""

    def changed(files: Files, rng: random.Random) -> None:
        if rng.random() < 0.7:
            model = onnx.ModelProto.FromString(files[MODEL])
            change(model, rng, rng.randrange(1, 3))
            files[MODEL] = model.SerializeToString()
        else:
            name = rng.choice([n for n in files if n != MANIFEST])
            files[name] = flip(files[name], rng, rng.randrange(1, 4))

    return _reader(folder, changed)


def fault_maps(folder: Path) -> Callable[[random.Random], None]:
    """What reads a changed fault map, by layer or of a chip."""
    _bundle(folder)
    opened = Bundle.open(folder / "b")
    maps = {e.name: np.zeros(opened.cell_shape(e), np.uint8) for e in opened.manifest.layers}
    crossbars = sum(map(len, maps.values())) + 1
    chip = {"faults": np.zeros((crossbars, *next(iter(maps.values())).shape[1:]), np.uint8)}
    seeds: dict[str, list[bytes]] = {}
    for ending, form in product(("npz", "safetensors", "h5"), (maps, chip)):
        sound = save_arrays(folder / f"sound.{ending}", form)
        seeds.setdefault(ending, []).append(sound.read_bytes())

    def attempt(rng: random.Random) -> None:
        ending = rng.choice(list(seeds))
        path = folder / f"map.{ending}"
        if rng.random() < 0.5:
            path.write_bytes(flip(rng.choice(seeds[ending]), rng, rng.randrange(1, 4)))
        else:
            arrays: dict[str, np.ndarray] = {**rng.choice((maps, chip))}
            name = rng.choice(list(arrays))
            shape = rng.choice(((), (0,), (1, 16), (2, 8, 32), arrays[name].shape))
            dtype = rng.choice((np.uint8, np.int8, np.float64, np.bool_, np.int64))
            odd = () if ending == "h5" else TEXTS[:3]  # names that HDF5 cannot write
            arrays[rng.choice((name, name, *odd, "other"))] = np.full(
                shape, rng.choice((0, 1, 2, 3, 16, 19, 20, 255)) % 127, dtype
            )
            if rng.random() < 0.2:
                del arrays[name]
            save_arrays(path, arrays)
        read_die(path, opened)

    return attempt
