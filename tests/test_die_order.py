"""Order for a known die: the same weights on the cleaner bitlines and crossbars."""

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from one_layer import MAPS, redundant
from small_models import changed_target, linear_model, save_model

from rcompile import Bundle, CompileOptions, compile_model
from rcompile.bundle.check import check
from rcompile.hardware.encoding import Encoding
from rcompile.layout.compact import UsedLines
from rcompile.layout.normal_form import Placement
from rcompile.layout.place import place, plain
from rcompile.protection.order import cleanest_crossbars, cleanest_first, heaviest_first

TARGET = changed_target("reram128x128", crossbar={"rows": 16, "cols": 40, "active_rows": 16})


def placed(encoding: Encoding, inputs: int, outputs: int) -> Placement:
    lines = UsedLines(np.arange(inputs, dtype=np.int32), np.arange(outputs, dtype=np.int32))
    return place(lines, plain(outputs, encoding), encoding, TARGET)


def contents(placement: Placement, tile: int) -> list[tuple[int, ...]]:
    return sorted(zip(*(getattr(placement, name)[tile].tolist() for name in MAPS), strict=True))


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 30), st.integers(0, 1000), st.sampled_from([0.0, 0.02, 0.3]))
def test_largest_digits_have_the_cleanest_bitlines(inputs: int, outputs: int, seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    placement = placed(redundant(rng), inputs, outputs)
    faults = (rng.random((placement.tiles, 16, 40)) < share * rng.random((placement.tiles, 1, 40))).astype(np.uint8)
    ordered = cleanest_first(placement, faults)
    np.testing.assert_array_equal(ordered.wordline_input, placement.wordline_input)
    magnitudes = np.abs(np.array(placement.encoding.digits))
    for tile in range(placement.tiles):
        assert contents(ordered, tile) == contents(placement, tile)
        stuck = (faults[tile] * (placement.wordline_input[tile] >= 0)[:, None]).sum(axis=0)
        size = np.where(ordered.bitline_output[tile] >= 0, magnitudes[ordered.bitline_digit[tile]], 0)
        if not stuck.any():
            for name in MAPS:
                np.testing.assert_array_equal(getattr(ordered, name)[tile], getattr(placement, name)[tile])
            continue
        for larger in np.unique(size):
            worst = stuck[size >= larger].max()
            assert worst <= stuck[size < larger].min(initial=worst)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 30), st.integers(0, 1000), st.sampled_from([0.0, 0.1]))
def test_the_inputs_of_most_weight_have_the_cleanest_wordlines(
    inputs: int, outputs: int, seed: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    placement = placed(redundant(rng), inputs, outputs)
    faults = (rng.random((placement.tiles, 16, 40)) < share * rng.random((1, 16, 1))).astype(np.uint8)
    weight = rng.random(inputs)
    ordered = heaviest_first(placement, faults, weight)
    for tiles, before in zip(ordered.row_blocks(), placement.row_blocks(), strict=True):
        assert tiles == before
        driven_by, was = ordered.wordline_input[tiles.start], placement.wordline_input[tiles.start]
        assert sorted(driven_by) == sorted(was)
        stuck = (faults[tiles] * (placement.bitline_output[tiles] >= 0)[:, None]).sum(axis=(0, 2))
        if not stuck.any():
            np.testing.assert_array_equal(driven_by, was)
            continue
        heavy = np.where(driven_by >= 0, weight[driven_by], 0)
        assert (np.diff(heavy[np.argsort(stuck, kind="stable")]) <= 0).all()


def test_a_broken_wordline_costs_the_input_of_least_weight(tmp_path: Path) -> None:
    """Of 128 inputs one weighs nothing but for a weight or two."""
    from onnx import TensorProto, helper

    weight = np.random.default_rng(0).normal(0, 1, (128, 32)).astype(np.float32)
    weight[40, 1:] = 0
    node = helper.make_node("MatMul", ["x", "proj.weight"], ["y"], name="/proj/MatMul")
    shapes = ({"x": (TensorProto.FLOAT, ["b", 128])}, {"y": (TensorProto.FLOAT, ["b", 32])})
    model = save_model(tmp_path / "m.onnx", [node], {"proj.weight": weight}, *shapes)
    faults = np.zeros((1, 128, 128), np.uint8)
    faults[0, 77] = 1
    np.savez(tmp_path / "map.npz", faults=faults)
    compile_model(model, "reram128x128", tmp_path / "b", CompileOptions(protect="none"), die_map=tmp_path / "map.npz")
    bundle = Bundle.open(tmp_path / "b")
    assert bundle.layer(bundle.manifest.layers[0]).tiles.placement.wordline_input[0, 77] == 40
    assert not [problem for _, found in check(bundle) for problem in found]


def test_digits_of_one_magnitude_take_turns() -> None:
    """Four outputs of two equal digits: the one that has the cleanest bitline for one digit has the worst for the
    other.
    """
    placement = placed(Encoding(digits=(4, 4)), 16, 4)
    faults = np.zeros((1, 16, 40), np.uint8)
    for col in range(40):
        faults[0, : min(16, col), col] = 1
    ordered = cleanest_first(placement, faults)
    assert ordered.bitline_output[0, :8].tolist() == [0, 1, 2, 3, 3, 2, 1, 0]
    assert (ordered.bitline_output[0, 8:] == -1).all()


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.integers(1, 30))
def test_the_worst_crossbars_are_left_out(stuck: list[int], needed: int) -> None:
    chosen = cleanest_crossbars(np.array(stuck), needed)
    assert len(chosen) == min(needed, len(stuck)) and (np.diff(chosen) > 0).all()
    left = np.delete(np.array(stuck), chosen)
    assert not len(left) or np.array(stuck)[chosen].max() <= left.min()


def test_dead_crossbars_and_broken_bitlines_cost_nothing_where_there_are_others(tmp_path: Path) -> None:
    """Of nine crossbars three are dead and the others have a broken bitline: weights are exact on six."""
    model = linear_model(tmp_path / "m.onnx", 200, 70)
    target = changed_target("reram128x128", crossbar={"cols": 100})
    faults = np.zeros((9, 128, 100), np.uint8)
    faults[[0, 4, 7]] = 1
    faults[:, :, 17] = 2
    np.savez(tmp_path / "map.npz", faults=faults)
    options = CompileOptions(protect="none")
    written = compile_model(model, target, tmp_path / "b", options, die_map=tmp_path / "map.npz").manifest
    assert written is not None and written.die is not None
    assert written.die.relative_error > 0  # a tile is full, so that one digit of 1 is lost
    assert written.die.relative_error < 0.02
    bundle = Bundle.open(tmp_path / "b")
    assert bundle.layer(bundle.manifest.layers[0]).tiles.placement.crossbar.tolist() == [1, 2, 3, 5, 6, 8]
    assert not [problem for _, found in check(bundle) for problem in found]
    np.savez(tmp_path / "map.npz", faults=np.where(faults == 2, 0, faults))
    sound = compile_model(model, target, tmp_path / "c", options, die_map=tmp_path / "map.npz").manifest
    assert sound is not None and sound.die is not None
    assert (sound.die.stuck_share, sound.die.relative_error) == (0, 0)
