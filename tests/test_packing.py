"""Packed cells: nothing is lost, nothing but the files changes, and what is damaged is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save
from small_models import changed_target, linear_model

from rcompile import CompileOptions, compile_model
from rcompile.bundle.check import check
from rcompile.bundle.diff import diff
from rcompile.bundle.reader import Bundle
from rcompile.canonical import file_sha256
from rcompile.errors import BadInputError
from rcompile.layout.packing import pack, unpack

# Bits of a cell, and of a packed one.
BITS = {1: 1, 2: 2, 3: 4, 4: 4}
COLS = 33  # leaves padding whatever the bits


@given(st.sampled_from([1, 2, 4, 8]), st.lists(st.integers(0, 5), max_size=2), st.integers(1, 70), st.integers(0, 99))
def test_unpack_inverts_pack(bits: int, leading: list[int], cols: int, seed: int) -> None:
    """Against the definition: cell i of a wordline is the bits from i * bits, counted from the lowest of the first
    byte.
    """
    cells = np.random.default_rng(seed).integers(0, 1 << bits, (*leading, cols)).astype(np.uint8)
    packed = pack(cells, bits)
    assert packed.dtype == np.uint8
    assert packed.shape == (*leading, -(-cols * bits // 8))
    if cells.size:
        number = int.from_bytes(packed.reshape(-1, packed.shape[-1])[-1].tobytes(), "little")
        assert number == sum(int(cell) << i * bits for i, cell in enumerate(cells.reshape(-1, cols)[-1]))
    np.testing.assert_array_equal(unpack(packed, cols, bits), cells)


def compiled(folder: Path, cell_bits: int, pack_cells: bool, name: str = "bundle") -> Bundle:
    target = changed_target("ideal128x128", crossbar={"cols": COLS}, cell={"bits": cell_bits})
    model = linear_model(folder / "linear.onnx")
    compile_model(model, target, folder / name, CompileOptions(pack_cells=pack_cells))
    return Bundle.open(folder / name)


@pytest.mark.parametrize("cell_bits", BITS)
def test_a_packed_bundle_holds_the_same_cells_in_fewer_bytes(cell_bits: int, tmp_path: Path) -> None:
    plain, packed = (compiled(tmp_path, cell_bits, pack_cells, str(pack_cells)) for pack_cells in (False, True))
    assert diff(plain, packed).same
    assert diff(packed, plain).same
    for bundle, bits in ((plain, 8), (packed, BITS[cell_bits])):
        assert not [problem for _, found in check(bundle) for problem in found]
        assert bundle.manifest.stored_bits == bits
        (entry,) = bundle.manifest.layers
        shape = (entry.tiles, 128, -(-COLS * bits // 8))
        assert entry.tensors["levels"].shape == shape
        assert load_file(bundle.path(entry.file))["levels"].shape == shape
        assert bundle.layer(entry).tiles.levels.shape == (entry.tiles, 128, COLS)
    again = compiled(tmp_path, cell_bits, True, "again")
    for name in ("manifest.json", *packed.manifest.files):
        assert (again.folder / name).read_bytes() == (packed.folder / name).read_bytes()


def rewrite(bundle: Bundle, edit: Callable[[np.ndarray], np.ndarray]) -> Bundle:
    """The bundle with other levels, under a type, a shape and a digest that were made to fit."""
    (entry,) = bundle.manifest.layers
    path = bundle.folder / entry.file
    tensors = load_file(path)
    tensors["levels"] = edit(tensors["levels"].copy())
    path.write_bytes(save(tensors))
    manifest = json.loads((bundle.folder / "manifest.json").read_text())
    manifest["files"][entry.file] |= {"sha256": file_sha256(path), "bytes": path.stat().st_size}
    dtype = {"uint8": "U8", "int32": "I32"}[tensors["levels"].dtype.name]
    manifest["layers"][0]["tensors"]["levels"] = {"dtype": dtype, "shape": list(tensors["levels"].shape)}
    (bundle.folder / "manifest.json").write_text(json.dumps(manifest))
    return Bundle.open(bundle.folder)


def padding(levels: np.ndarray) -> np.ndarray:
    levels[0, 5, -1] |= 128
    return levels


def level_nine(levels: np.ndarray) -> np.ndarray:
    levels[0, 5, 2] = 0x90
    return levels


@pytest.mark.parametrize(
    ("cell_bits", "edit", "message"),
    [
        (2, padding, r"levels of 'tiles/proj.safetensors': padding is not 0 in byte \[0, 5, 8\]"),
        (3, padding, r"padding is not 0 in byte \[0, 5, 16\]"),
        (2, lambda levels: levels[:, :, 1:], r"uint8 \[\d+, 128, 8\], expected uint8 \[\d+, 128, 9\]: 33 cells of 2 bits"),
        (2, lambda levels: unpack(levels, COLS, 2), r"uint8 \[\d+, 128, 33\], expected uint8"),
        (2, lambda levels: levels.astype(np.int32), r"int32 \[\d+, 128, 9\], expected uint8"),
        (2, lambda levels: levels[:, 1:], r"levels is \[\d+, 127, 33\], expected .* \[array-shape\]"),
        (3, level_nine, r"levels\[0, 5, 5\] is 9, outside 0 .. 7"),
    ],
)  # fmt: skip
def test_damaged_levels_are_refused(cell_bits: int, edit, message: str, tmp_path: Path) -> None:
    bundle = rewrite(compiled(tmp_path, cell_bits, True), edit)
    with pytest.raises(BadInputError, match=message):
        bundle.layer(bundle.manifest.layers[0])


@pytest.mark.parametrize("edit", [{"stored_bits": 8}, {"stored_bits": 4}, {"stored_bits": 3}, {"options": "plain"}])
def test_a_manifest_that_contradicts_itself_is_refused(edit: dict, tmp_path: Path) -> None:
    folder = compiled(tmp_path, 2, True).folder
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest |= {"options": manifest["options"] | {"pack_cells": False}} if "options" in edit else edit
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BadInputError, match="stored_bits"):
        Bundle.open(folder)
