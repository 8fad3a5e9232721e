"""The stages: encode and decode are inverse, the tiles keep their promises, bytes are reproducible."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from hostile_bundles import codes_of
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper
from small_models import changed_target, linear_model

from rcompile import compile_model
from rcompile.bundle.check import check
from rcompile.bundle.diff import diff
from rcompile.bundle.manifest import read_manifest
from rcompile.bundle.reader import Bundle
from rcompile.hardware.target import Target
from rcompile.hardware.target_file import load_target, target_names
from rcompile.layout.compact import UsedLines, compact
from rcompile.layout.encode import encode
from rcompile.layout.normal_form import Placement, decode
from rcompile.layout.place import place, plain
from rcompile.layout.quantize import QuantizedLinear


@st.composite
def targets(draw: st.DrawFn) -> Target:
    """Small hardware of every kind."""
    encoding = draw(st.sampled_from(["offset", "differential"]))
    rows, cell_bits, weight_bits = draw(st.integers(1, 24)), draw(st.integers(1, 4)), draw(st.integers(2, 8))
    lines = (1 if encoding == "offset" else 2) * 8
    return changed_target(
        "ideal128x128",
        crossbar={"rows": rows, "cols": draw(st.integers(lines, 40)), "active_rows": draw(st.integers(1, rows))},
        cell={"bits": cell_bits},
        weights={"bits": weight_bits, "encoding": encoding, "column_inversion": draw(st.booleans())},
    )


def random_codes(target: Target, inputs: int, outputs: int, seed: int) -> QuantizedLinear:
    limit = target.weight_code_max
    codes = np.random.default_rng(seed).integers(-limit, limit + 1, (inputs, outputs)).astype(np.int8)
    return QuantizedLinear("random", codes, np.ones(outputs, np.float32))


def dense(inputs: int, outputs: int, target: Target) -> Placement:
    lines = UsedLines(np.arange(inputs, dtype=np.int32), np.arange(outputs, dtype=np.int32))
    return place(lines, plain(outputs, target.encoding), target.encoding, target)


@given(targets(), st.integers(1, 70), st.integers(1, 30), st.integers(0, 99))
def test_decode_inverts_encode(target: Target, inputs: int, outputs: int, seed: int) -> None:
    linear = random_codes(target, inputs, outputs, seed)
    placement = dense(inputs, outputs, target)
    tiles = encode(linear, placement, target)
    np.testing.assert_array_equal(decode(tiles, target, inputs, outputs), linear.codes)
    assert codes_of(tiles, target, inputs, outputs) == []
    unused = placement.bitline_output[:, None, :] < 0
    undriven = placement.wordline_input[:, :, None] < 0
    assert not tiles.levels[np.broadcast_to(unused | undriven, tiles.levels.shape)].any()
    if target.weights.column_inversion:
        sums = tiles.levels.sum(axis=1, dtype=int)
        assert (2 * sums <= (placement.wordline_input >= 0).sum(axis=1)[:, None] * target.top_level).all()


@given(targets(), st.integers(1, 70), st.integers(1, 30))
def test_every_weight_is_placed_once(target: Target, inputs: int, outputs: int) -> None:
    placement = dense(inputs, outputs, target)
    assert placement.cells_used == inputs * outputs * target.bitlines_per_output
    blocks, per_tile = -(-inputs // target.crossbar.rows), target.crossbar.cols // target.bitlines_per_output
    assert placement.tiles == blocks * -(-outputs // per_tile)


@given(targets(), st.integers(1, 70), st.integers(1, 30), st.integers(0, 99), st.floats(0, 1), st.floats(0, 1))
def test_zero_rows_and_columns_take_no_cells(
    target: Target, inputs: int, outputs: int, seed: int, rows_kept: float, columns_kept: float
) -> None:
    linear, rng = random_codes(target, inputs, outputs, seed), np.random.default_rng(seed)
    linear.codes[rng.random(inputs) > rows_kept] = 0
    linear.codes[:, rng.random(outputs) > columns_kept] = 0
    lines = compact(linear)
    placement = place(lines, plain(outputs, target.encoding), target.encoding, target)
    tiles = encode(linear, placement, target)
    np.testing.assert_array_equal(decode(tiles, target, inputs, outputs), linear.codes)
    live = max(1, int(linear.codes.any(axis=1).sum())), max(1, int(linear.codes.any(axis=0).sum()))
    assert placement.cells_used == live[0] * live[1] * target.bitlines_per_output


def test_pruning_frees_what_the_geometry_frees(tmp_path: Path) -> None:
    """Of 384 inputs, three row blocks of 128: dropping 69 frees no crossbar, dropping 128 a third."""
    model = onnx.load(linear_model(tmp_path / "m.onnx", inputs=384, outputs=64))
    weight = numpy_helper.to_array(model.graph.initializer[0])
    for dropped, expected in ((0, 6), (69, 6), (128, 4)):
        pruned = weight.copy()
        pruned[np.random.default_rng(0).permutation(384)[:dropped]] = 0
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(pruned, "proj.weight"))
        onnx.save(model, tmp_path / f"{dropped}.onnx")
        manifest = compile_model(tmp_path / f"{dropped}.onnx", "reram128x128", tmp_path / f"{dropped}").manifest
        assert (manifest.total().crossbars_dense, manifest.total().crossbars) == (6, expected)


def test_ledger_of_minilm_matches_arithmetic() -> None:
    """384 inputs are three row blocks; 1536 outputs of four digits are 48 crossbars each."""
    target = load_target("reram128x128")
    assert dense(384, 1536, target).tiles == 3 * 48
    assert dense(1536, 384, target).tiles == 12 * 12


def digests(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in folder.rglob("*")
        if p.is_file()
    }


@pytest.mark.parametrize("name", target_names())
def test_two_compiles_give_the_same_bytes(name: str, classifier_onnx: Path, tmp_path: Path) -> None:
    for out in ("a", "b"):
        compile_model(classifier_onnx, name, tmp_path / out)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert not [problem for _, found in check(Bundle.open(tmp_path / "a")) for problem in found]


def test_manifest_names_no_path_of_this_machine(classifier_onnx: Path, tmp_path: Path) -> None:
    compile_model(classifier_onnx, "reram128x128", tmp_path / "out")
    for file in ("manifest.json", "model.onnx"):
        assert str(tmp_path).encode() not in (tmp_path / "out" / file).read_bytes()
    manifest = read_manifest(tmp_path / "out")
    assert manifest.total().crossbars == manifest.total().crossbars_dense == sum(e.tiles for e in manifest.layers)


def test_diff_counts_the_cells_that_change(tmp_path: Path) -> None:
    """One weight sign flipped: its four digits change, and nothing else."""
    target = changed_target("ideal128x128", weights={"column_inversion": False})
    first = linear_model(tmp_path / "a.onnx", bias=False)
    compile_model(first, target, tmp_path / "a")
    model = onnx.load(first)
    weight = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weight[3, 5] = -weight[3, 5]
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "proj.weight"))
    onnx.save(model, tmp_path / "b.onnx")
    compile_model(tmp_path / "b.onnx", target, tmp_path / "b")
    found = diff(Bundle.open(tmp_path / "a"), Bundle.open(tmp_path / "b"))
    code = np.rint(weight[3, 5] / (np.abs(weight[:, 5]).max() / np.float32(127)))
    changed = sum((int(code + 128) >> 2 * s & 3) != (int(-code + 128) >> 2 * s & 3) for s in range(4))
    assert [(t.layer, t.tile, t.cells) for t in found.tiles] == [("proj", 0, changed)]
    assert not found.same
    assert diff(Bundle.open(tmp_path / "a"), Bundle.open(tmp_path / "a")).same
