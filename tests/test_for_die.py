"""Images for a known die: every weight is the nearest that its cells can hold, inversion never makes it worse, bundles
say what they hold, and the provider computes with it.
"""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from command_line import BAD_INPUT, FAILED, OK, run
from edited_bundles import change
from hypothesis import given, settings
from hypothesis import strategies as st
from one_layer import DIES, PATHS, chip_of, compiled, expected, layer_on, targets
from safetensors.numpy import load_file, save_file
from small_models import changed_target, linear_model, tiny_classifier, write_sentences

import runtime
from rcompile import Bundle, CompileOptions, compile_model
from rcompile.bundle.check import check
from rcompile.canonical import file_sha256
from rcompile.hardware.encoding import Encoding, differential_encoding, offset_encoding
from rcompile.hardware.faults import apply_faults
from rcompile.hardware.target import Target
from rcompile.layout.normal_form import decode
from rcompile.protection.nearest import FREE, Block, Held, Reads, hold
from rcompile.protection.reachable import Reachable


def reads(rows: int) -> Reads:
    """All wordlines at once, by a converter that never clips."""
    return Reads(np.zeros(rows, np.int64), np.array([np.inf]))


@st.composite
def encodings(draw: st.DrawFn, most: int = 5) -> Encoding:
    """Lists of a few digits, of every kind."""
    digits = draw(st.lists(st.sampled_from([s << b for b in range(5) for s in (1, -1)]), min_size=1, max_size=most))
    known = [offset_encoding(8, 2), differential_encoding(4, 2), Encoding(digits=(8, 8, 2, -2, -8))]
    return draw(st.sampled_from([*known, Encoding(digits=tuple(digits), offset=draw(st.sampled_from([0, 7])))]))


def block(encoding: Encoding, top: int, shape: tuple[int, int], share: float, seed: int) -> Block:
    rng = np.random.default_rng(seed)
    codes = np.clip(np.rint(rng.normal(0, 25, shape)), -127, 127).astype(np.int16)
    cells = (len(encoding.digits), *shape)
    stuck = np.where(rng.random(cells) < share, rng.integers(0, top + 1, cells), FREE).astype(np.uint8)
    return Block(codes + np.int16(encoding.offset), stuck)


def on_cells(held: Held, encoding: Encoding, top: int) -> np.ndarray:
    """What the levels add up to."""
    levels = np.where(held.inverted[:, None] == 1, top - held.levels.astype(int), held.levels)
    return np.tensordot(np.array(encoding.digits), levels, axes=1)


@settings(deadline=None, max_examples=60)
@given(encodings(), st.integers(1, 2), st.sampled_from([0.0, 0.2, 0.6]), st.booleans(), st.integers(0, 1000))
def test_every_weight_is_the_nearest_that_its_cells_can_hold(
    encoding: Encoding, bits: int, share: float, inversion: bool, seed: int
) -> None:
    """Against all levels that there are; and of those that make the value, none stores less."""
    top = (1 << bits) - 1
    given_block = block(encoding, top, (6, 3), share, seed)
    held = hold(given_block, encoding.digits, Reachable(encoding, top), reads(6) if inversion else None)
    stuck = given_block.stuck
    np.testing.assert_array_equal(held.levels[stuck != FREE], stuck[stuck != FREE])
    value = on_cells(held, encoding, top)
    np.testing.assert_array_equal(given_block.codes - held.missed, value)
    digits = np.array(encoding.digits)
    for k, n in np.ndindex(*given_block.codes.shape):
        cells = [range(top + 1) if s == FREE else [s] for s in stuck[:, k, n]]
        stored = np.array(list(product(*cells)))
        values = np.where(held.inverted[:, n] == 1, top - stored, stored) @ digits
        assert abs(held.missed[k, n]) == np.abs(given_block.codes[k, n] - values).min()
        assert held.levels[:, k, n].sum() == stored[values == value[k, n]].sum(axis=1).min()


@settings(deadline=None, max_examples=60)
@given(encodings(8), st.integers(1, 4), st.sampled_from([0.0, 0.05, 0.3, 1.0]), st.integers(0, 1000))
def test_inversion_never_raises_the_error_of_an_output(encoding: Encoding, bits: int, share: float, seed: int) -> None:
    top = (1 << bits) - 1
    given_block = block(encoding, top, (40, 12), share, seed)
    free, fixed = (hold(given_block, encoding.digits, Reachable(encoding, top), r).missed for r in (reads(40), None))
    errors = [(missed.astype(int) ** 2).sum(axis=0) for missed in (free, fixed)]
    assert (errors[0] <= errors[1]).all()


def test_inversion_halves_the_error_of_redundant_digits() -> None:
    encoding = Encoding(digits=(16, 16, 16, 4, -4, -16, -16, -16))
    rng = np.random.default_rng(0)
    cells = (8, 128, 64)
    stuck = np.where(rng.random(cells) < 0.3, rng.choice([0, 3, 3, 3, 3], cells), FREE).astype(np.uint8)
    codes = np.clip(np.rint(rng.normal(0, 30, cells[1:])), -127, 127).astype(np.int16)
    given_block = Block(codes, stuck)
    chosen, without = (hold(given_block, encoding.digits, Reachable(encoding, 3), r) for r in (reads(128), None))
    norms = [np.linalg.norm(held.missed.astype(float)) for held in (chosen, without)]
    assert norms[0] < 0.55 * norms[1]
    assert chosen.levels.sum(axis=1).max() < 255  # evenly shared: within an 8-bit converter


@settings(deadline=None, max_examples=40)
@given(
    targets(),
    st.integers(1, 300),
    st.integers(1, 30),
    st.integers(0, 1000),
    st.sampled_from([0.0, 0.02, 0.3]),
    st.booleans(),
    DIES,
    st.sampled_from(PATHS),
)
def test_the_provider_equals_the_reference_on_any_die(
    target: Target,
    inputs: int,
    outputs: int,
    seed: int,
    share: float,
    shuffle: bool,
    die: runtime.Die | None,
    isa: str,
) -> None:
    """On the die that the images were made for, on a clean one, and on another."""
    x = np.random.default_rng(seed).normal(0, 1, (1, 3, inputs)).astype(np.float32)
    with compiled(target, inputs, outputs, seed, shuffle, stuck_share=share) as bundle:
        session = runtime.load(bundle, die, provider_options={"isa": isa})
        np.testing.assert_array_equal(session.run(None, {"x": x})[0], expected(bundle, x, die))
        (entry,) = bundle.manifest.layers
        tiles = bundle.layer(entry).tiles
        chip = chip_of(target, tiles.placement.tiles, share, seed)[tiles.placement.crossbar]
        own = runtime.MeasuredDie({entry.name: chip})
        session.set_die(own)
        np.testing.assert_array_equal(session.run(None, {"x": x})[0], expected(bundle, x, own))
        used = (tiles.placement.wordline_input >= 0)[:, :, None] & (tiles.placement.bitline_output >= 0)[:, None]
        held = layer_on(bundle, own).levels
        np.testing.assert_array_equal(held[used], tiles.levels[used])
        assert [found for what, found in check(bundle) if what == f"layer {entry.name}"] == [[]]


def test_without_stuck_cells_the_images_are_those_of_any_die(tmp_path: Path) -> None:
    model, target = linear_model(tmp_path / "m.onnx", 200, 70), "reram128x128"
    np.savez(tmp_path / "map.npz", faults=np.zeros((9, 128, 128), np.uint8))
    compile_model(model, target, tmp_path / "any")
    compile_model(model, target, tmp_path / "one", CompileOptions(protect="none"), die_map=tmp_path / "map.npz")
    any_die, one = (load_file(next((tmp_path / name / "tiles").iterdir())) for name in ("any", "one"))
    for name, array in any_die.items():
        np.testing.assert_array_equal(array, one[name], err_msg=name)


@pytest.fixture(scope="module")
def chip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier, the map of a chip for it, and a bundle for that chip."""
    folder = tmp_path_factory.mktemp("chip")
    tiny_classifier(folder / "m.onnx")
    write_sentences(folder / "glue")
    assert run("die", "--target", "reram128x128", "--crossbars", 20, "--seed", 3, "--sa0", 0.01, "--sa1", 0.05, "-o", folder / "map.npz").exit_code == OK  # fmt: skip
    done = run(folder / "m.onnx", "--target", "reram128x128", "--die-map", folder / "map.npz", "-o", folder / "b")
    assert done.exit_code == OK, done.output
    return folder


def test_a_bundle_says_what_it_is_for_and_is_proven(chip: Path) -> None:
    said = json.loads(run("inspect", chip / "b", "--json").stdout)["die"]
    assert said["map_sha256"] == file_sha256(chip / "map.npz")
    assert said["stuck_share"] == pytest.approx(0.06, rel=0.05)
    assert 0.001 < said["relative_error"] < 1
    assert "for one die: " in run("inspect", chip / "b").stdout
    assert run("check", chip / "b").exit_code == OK
    model = chip / "m.onnx"
    again = run(model, "--target", "reram128x128", "--die-map", chip / "map.npz", "-o", chip / "again", "--json")
    assert json.loads(again.stdout)["die"] == said
    for file in (p for p in (chip / "b").rglob("*") if p.is_file()):
        assert file.read_bytes() == (chip / "again" / file.relative_to(chip / "b")).read_bytes()


def test_its_own_die_is_its_clean_score_and_others_are_not(chip: Path) -> None:
    base = ("evaluate", chip / "b", "--task", "sst2", "--data", chip / "glue", "--json")
    result = json.loads(run(*base, "--fault-map", chip / "map.npz").stdout)
    assert result["dies"][0]["score"] == result["clean"]
    bundle = Bundle.open(chip / "b")
    own, other = runtime.read_die(chip / "map.npz", bundle), runtime.Die(4, 0.01, 0.05)
    for entry in bundle.manifest.layers:
        layer = bundle.layer(entry)
        crossbars = layer.tiles.placement.crossbar
        levels = layer.tiles.levels
        changed = [
            (apply_faults(levels, die.faults(entry.name, crossbars, bundle.manifest.target), 3) != levels)[
                :, layer.tiles.placement.wordline_input[0] >= 0
            ][:, :, layer.tiles.placement.bitline_output[0] >= 0]
            for die in (own, other)
        ]
        assert not changed[0].any() and changed[1].any()


def test_check_finds_a_cell_that_is_not_what_the_die_holds(chip: Path, tmp_path: Path) -> None:
    import shutil

    bundle = tmp_path / "b"
    shutil.copytree(chip / "b", bundle)
    file = bundle / "tiles" / "up.safetensors"
    tensors = load_file(file)
    row, col = (np.flatnonzero(tensors[name][0] >= 0)[0] for name in ("wordline_input", "bitline_output"))
    tensors["levels"][0, row, col] ^= 1
    save_file(tensors, file)
    change(bundle, lambda manifest: None)
    found = run("check", bundle)
    assert found.exit_code == FAILED
    assert "layer up: the images do not decode to the weights that were found for their die" in found.output


def test_check_holds_a_bundle_against_its_map(chip: Path, tmp_path: Path) -> None:
    assert run("check", chip / "b", "--die-map", chip / "map.npz").exit_code == OK
    faults = np.load(chip / "map.npz")["faults"]
    bundle = Bundle.open(chip / "b")
    place = bundle.layer(bundle.manifest.layer("up")).tiles.placement
    col, row = (
        int(np.flatnonzero(place.bitline_output[0] >= 0)[0]),
        int(np.flatnonzero(place.wordline_input[0] >= 0)[0]),
    )
    level = int(bundle.layer(bundle.manifest.layer("up")).tiles.levels[0, row, col])
    faults[place.crossbar[0], row, col] = 16 + (level + 1) % 4
    np.savez(tmp_path / "map.npz", faults=faults)
    found = run("check", chip / "b", "--die-map", tmp_path / "map.npz")
    assert found.exit_code == FAILED
    assert f"die: '{tmp_path / 'map.npz'}' has SHA-256" in found.output
    wanted = f"levels[0, {row}, {col}] is {level}, on the map the cell is stuck at {(level + 1) % 4}"
    assert f"die: layer 'up': {wanted}" in found.output
    np.savez(tmp_path / "map.npz", faults=faults[:2])
    assert "has crossbars 0 .. 1" in run("check", chip / "b", "--die-map", tmp_path / "map.npz").output
    np.savez(tmp_path / "map.npz", faults=np.zeros_like(faults))
    assert "stuck_share is 0.0" in run("check", chip / "b", "--die-map", tmp_path / "map.npz").output
    assert run("check", chip / "b", "--die-map", tmp_path / "none.npz").exit_code == BAD_INPUT
    compile_model(chip / "m.onnx", "reram128x128", tmp_path / "any")
    assert "manifest names none" in run("check", tmp_path / "any", "--die-map", chip / "map.npz").output


def test_crossbars_that_are_mostly_stuck_are_not_used(chip: Path, tmp_path: Path) -> None:
    """Six are needed: with five that have a half of their cells stuck the chip does not do, with six it does."""
    faults = np.full((20, 128, 128), 2, np.uint8)
    base = (chip / "m.onnx", "--target", "reram128x128", "--die-map", tmp_path / "map.npz", "-o", tmp_path / "b")
    for usable, code in ((5, BAD_INPUT), (6, OK)):
        faults[3 : 3 + usable, :64] = 0
        np.savez(tmp_path / "map.npz", faults=faults)
        done = run(*base)
        assert done.exit_code == code, done.output
        if code:
            wanted = "has 20 crossbars, 5 of them with at most 50% of their cells stuck, the model needs 6 of target"
            assert wanted in done.stderr
            assert [p.name for p in tmp_path.iterdir()] == ["map.npz"]
    bundle = Bundle.open(tmp_path / "b")
    used = [bundle.layer(entry).tiles.placement.crossbar for entry in bundle.manifest.layers]
    assert sorted(np.concatenate(used).tolist()) == [*range(3, 9)]


def test_what_is_decoded_is_what_was_promised() -> None:
    """On the reference's own reading of the tiles."""
    target = changed_target("reram128x128", crossbar={"rows": 16, "cols": 64, "active_rows": 16})
    with compiled(target, 40, 24, 5, stuck_share=0.2) as bundle:
        (entry,) = bundle.manifest.layers
        codes = decode(bundle.layer(entry).tiles, target, 40, 24).astype("<i2")
        import hashlib

        assert entry.codes_sha256 == hashlib.sha256(codes.tobytes()).hexdigest()
        assert bundle.manifest.die is not None and bundle.manifest.die.relative_error > 0
