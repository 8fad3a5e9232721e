"""Redundant digits for a known die: what shift-add can apply, within the crossbars of the dense model, and never worse
than the target's own.
"""

import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from command_line import OK, UNSUPPORTED, USAGE, run
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import changed_target, save_model

from rcompile import Bundle, CompileOptions, compile_model, load_target
from rcompile.bundle.check import check
from rcompile.hardware.encoding import Encoding
from rcompile.hardware.shipped import target_names
from rcompile.hardware.target import Target
from rcompile.layout.compact import UsedLines
from rcompile.protection.digits import MOST_BITLINES, Lines, choose_digits, most_bitlines

SMALL = changed_target("reram128x128", crossbar={"rows": 32, "cols": 32, "active_rows": 32})


def layers(rng: np.random.Generator, target: Target, kept: float) -> list[Lines]:
    """Of three layers of 70 inputs and 40 outputs, of which so many outputs are kept."""
    used = UsedLines(np.arange(70, dtype=np.int32), np.arange(int(40 * kept), dtype=np.int32))
    limit, rows = target.weight_code_max, min(70, target.crossbar.rows)
    shape = (rows, min(24, len(used.outputs)))
    return [
        Lines(used, np.clip(np.rint(rng.normal(0, limit / 4, shape)), -limit, limit).astype(np.int8)) for _ in range(3)
    ]


def faults(rng: np.random.Generator, target: Target, share: float, crossbars: int = 40) -> np.ndarray:
    shape = (crossbars, target.crossbar.rows, target.crossbar.cols)
    return np.where(rng.random(shape) < share, rng.choice([1, 2, 2, 2, 2], shape), 0).astype(np.uint8)


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from([*target_names()]),
    st.sets(st.integers(0, 7), min_size=1),
    st.integers(2, 12),
    st.sampled_from([0.0, 0.01, 0.1, 0.3]),
    st.integers(0, 1000),
)
def test_digits_are_those_that_shift_add_can_apply(
    name: str, shifts: set[int], bitlines: int, share: float, seed: int
) -> None:
    target = changed_target(name, weights={"digit_shifts": sorted(shifts)})
    rng = np.random.default_rng(seed)
    bitlines = max(bitlines, target.bitlines_per_output)
    chosen = choose_digits(layers(rng, target, 0.5), bitlines, faults(rng, target, share), target)
    assert len(chosen.digits) == bitlines or chosen == target.encoding
    assert chosen == target.encoding or set(chosen.digits) <= target.digits_apply


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.3])
def test_more_bitlines_are_never_worse(share: float) -> None:
    """And where nothing is stuck the codes are exact."""
    from rcompile.protection.digits import _some_codes, _Trial

    rng = np.random.default_rng(1)
    target = load_target("reram128x128")
    some, chip = layers(rng, target, 1.0), faults(rng, target, share)
    errors = []
    for bitlines in (4, 6, 8, 12):
        chosen = choose_digits(some, bitlines, chip, target)
        errors.append(_Trial(_some_codes(some, 48), chip, bitlines, target).error_of(chosen))
    assert all(b <= 1.05 * a for a, b in pairwise(errors)), errors
    assert share or errors[2] == 0
    own = _Trial(_some_codes(some, 48), chip, 4, target).error_of(target.encoding)
    assert not share or errors[2] < own / 20


@given(st.integers(0, 400), st.sampled_from([0.3, 0.5, 0.8, 1.0]))
def test_bitlines_fill_the_crossbars_and_no_more(budget: int, kept: float) -> None:
    some = layers(np.random.default_rng(0), SMALL, kept)

    def needed(bitlines: int) -> int:
        return sum(layer.crossbars(bitlines, SMALL) for layer in some)

    found = most_bitlines(some, budget, SMALL)
    assert SMALL.bitlines_per_output <= found <= MOST_BITLINES
    assert needed(found) <= budget or found == SMALL.bitlines_per_output
    assert found == MOST_BITLINES or needed(found + 1) > budget


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of one linear with half of its outputs pruned, and the map of a chip with a tenth of its cells stuck."""
    from onnx import TensorProto, helper

    folder = tmp_path_factory.mktemp("pruned")
    weight = np.random.default_rng(0).normal(0, 0.05, (90, 64)).astype(np.float32)
    weight[:, ::2] = 0
    node = helper.make_node("MatMul", ["x", "proj.weight"], ["y"], name="/proj/MatMul")
    shapes = ({"x": (TensorProto.FLOAT, ["b", 90])}, {"y": (TensorProto.FLOAT, ["b", 64])})
    save_model(folder / "m.onnx", [node], {"proj.weight": weight}, *shapes)
    (folder / "small.toml").write_text(toml(SMALL))
    rng = np.random.default_rng(2)
    np.savez(folder / "map.npz", faults=faults(rng, SMALL, 0.1, 30))
    return folder


def toml(target: Target) -> str:
    """A target file of plain values."""
    data = target.model_dump(mode="json", exclude={"sources", "effects", "vote"})
    lines = [f"{key} = {json.dumps(value)}" for key, value in data.items() if not isinstance(value, dict)]
    for name, section in data.items():
        if isinstance(section, dict):
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in section.items())]
    return "\n".join(lines) + "\n"


def test_a_map_implies_digits_for_the_die(pruned: Path, tmp_path: Path) -> None:
    base = (pruned / "m.onnx", "--target", pruned / "small.toml", "--die-map", pruned / "map.npz")
    for name, more in {"die": (), "own": ("--protect", "none")}.items():
        done = run(*base, "-o", tmp_path / name, *more)
        assert done.exit_code == OK, done.output
        assert not [p for _, found in check(Bundle.open(tmp_path / name)) for p in found]
    die, own = (Bundle.open(tmp_path / name).manifest for name in ("die", "own"))
    assert (die.options.protect, own.options.protect) == ("die", "none")
    assert own.layers[0].encoding == SMALL.encoding and len(die.layers[0].encoding.digits) == 8
    assert die.total().crossbars <= die.total().crossbars_dense
    assert die.die is not None and own.die is not None and die.die.relative_error < own.die.relative_error / 5


def test_a_chip_with_fewer_crossbars_than_the_dense_model_is_filled(pruned: Path, tmp_path: Path) -> None:
    """Dense 24 crossbars, pruned 12: with 18 there are six bitlines an output."""
    np.savez(tmp_path / "map.npz", faults=faults(np.random.default_rng(0), SMALL, 0.1, 21))
    compile_model(pruned / "m.onnx", SMALL, tmp_path / "b", die_map=tmp_path / "map.npz")
    manifest = Bundle.open(tmp_path / "b").manifest
    assert manifest.total().crossbars_dense == 24
    assert manifest.total().crossbars <= 21
    assert 4 < len(manifest.layers[0].encoding.digits) < 8


@pytest.mark.parametrize(
    ("more", "message", "code"),
    [
        (("--protect", "die"), "give its map, --die-map MAP", USAGE),
        (("--protect", "die", "--die-map", "MAP", "--set", "weights.digit_shifts=[]"), "applies no digits but", UNSUPPORTED),
        (("--die-map", "MAP", "--set", "weights.digit_shifts=[8]"), "weights.digit_shifts", USAGE),
        (("--protect", "die", "--die-map", "MAP", "--sa1", 0.1), "are for --protect paper or auto", USAGE),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(more: tuple[object, ...], message: str, code: int, pruned: Path) -> None:
    given_map = [pruned / "map.npz" if m == "MAP" else m for m in more]
    refused = run(pruned / "m.onnx", "--target", pruned / "small.toml", "-o", pruned / "none", *given_map)
    assert (refused.exit_code, message in refused.stderr) == (code, True), refused.output
    assert not (pruned / "none").exists()


def test_a_target_whose_digits_are_wired_keeps_them(pruned: Path, tmp_path: Path) -> None:
    target = changed_target("reram128x128", crossbar={"rows": 32, "cols": 32, "active_rows": 32}, weights={"digit_shifts": []})  # fmt: skip
    compile_model(pruned / "m.onnx", target, tmp_path / "b", CompileOptions(), die_map=pruned / "map.npz")
    manifest = Bundle.open(tmp_path / "b").manifest
    assert (manifest.options.protect, manifest.layers[0].encoding) == ("none", target.encoding)


def test_check_knows_which_digits_there_can_be(pruned: Path, tmp_path: Path) -> None:
    compile_model(pruned / "m.onnx", SMALL, tmp_path / "b", die_map=pruned / "map.npz")
    for edit, message in (
        (lambda m: m["target"]["weights"].update(digit_shifts=[0]), "the target's shift-add cannot apply them"),
        (lambda m: m.update(die=None), "options.protect is die, but no die is named"),
    ):
        shutil.copytree(tmp_path / "b", tmp_path / "c", dirs_exist_ok=True)
        manifest = json.loads((tmp_path / "b" / "manifest.json").read_text())
        edit(manifest)
        (tmp_path / "c" / "manifest.json").write_text(json.dumps(manifest))
        assert any(message in p for _, found in check(Bundle.open(tmp_path / "c")) for p in found)


def test_an_encoding_has_a_positive_half_and_a_negative_one() -> None:
    rng = np.random.default_rng(3)
    target = load_target("reram128x128")
    chosen = choose_digits(layers(rng, target, 1.0), 8, faults(rng, target, 0.3), target)
    assert sorted(d for d in chosen.digits if d > 0) == sorted(-d for d in chosen.digits if d < 0)
    assert isinstance(chosen, Encoding) and chosen.offset == 0
