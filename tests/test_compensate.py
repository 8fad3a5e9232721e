"""Compensation on a known die: the error on samples never rises, images stay what they decode to, and bad samples are
refused.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from command_line import BAD_INPUT, OK, USAGE, run
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from one_layer import chip_of, redundant, shuffled, targets
from onnx import numpy_helper
from small_models import gaussian, tiny_classifier

from rcompile.canonical import file_sha256
from rcompile.hardware.encoding import Encoding
from rcompile.hardware.faults import stuck_cells
from rcompile.hardware.target import Target
from rcompile.layout.compact import compact
from rcompile.layout.normal_form import decode
from rcompile.layout.place import place, plain
from rcompile.layout.steps import Encoded, Planned
from rcompile.onnx_in.linears import find_linears
from rcompile.onnx_in.moments import input_moments
from rcompile.onnx_in.read import read_model
from rcompile.protection.compensate import DAMPING, compensate, feeds_of
from rcompile.protection.for_die import KnownDie, program_for_die
from rcompile.protection.nearest import FREE, Block, Descent, Reads
from rcompile.protection.reachable import Reachable

DIGITS = Encoding(digits=(4, 1, -4, -1))


def correlated(inputs: int, seed: int) -> np.ndarray:
    """Second moments of inputs that go together, on various scales: float32 [K, K]."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (2 * inputs, 1 + inputs // 3)) @ rng.normal(0, 1, (1 + inputs // 3, inputs))
    x = (x + rng.normal(0, 0.3, x.shape)) * rng.uniform(0.1, 3, inputs) + rng.normal(0, 1, inputs)
    return (x.T @ x).astype(np.float32)


def on_a_die(target: Target, shape: tuple[int, int], share: float, seed: int) -> tuple[Planned, KnownDie]:
    """A layer on a chip of which so many cells are stuck, its lines in any order; odd seeds: in any digits."""
    rng = np.random.default_rng(seed)
    quantized = gaussian(*shape, seed)
    limit = target.weight_code_max
    np.clip(quantized.codes, -limit, limit, out=quantized.codes)
    encoding = redundant(rng) if seed % 2 else target.encoding
    lines = compact(quantized)
    placement = shuffled(place(lines, plain(shape[1], encoding), encoding, target), rng)
    chip = chip_of(target, placement.tiles, share, seed)
    die = KnownDie("0" * 64, np.arange(len(chip), dtype=np.int32), chip, encoding)
    unused: Any = None
    return Planned(unused, quantized, lines, placement), die


def energy(encoded: Encoded, moments: np.ndarray) -> np.ndarray:
    """`e^T H e` of each output, damped as compensation damps it."""
    error = (encoded.codes.astype(np.int64) - encoded.planned.quantized.codes).astype(np.float64)
    used = encoded.planned.lines.inputs
    damped = moments.astype(np.float64)
    damped[np.diag_indices_from(damped)] += DAMPING * moments.diagonal()[used].astype(np.float64).mean()
    return (error * (damped @ error)).sum(axis=0)


LAYERS = (
    targets(), st.tuples(st.integers(1, 150), st.integers(1, 40)), st.sampled_from([0.0, 0.05, 0.4]), st.integers(0, 999)
)  # fmt: skip


@settings(deadline=None, max_examples=40)
@given(*LAYERS)
def test_the_error_on_samples_never_rises(target: Target, shape: tuple[int, int], share: float, seed: int) -> None:
    """And images decode to the codes that they are said to hold, stuck cells to what they are stuck at."""
    planned, die = on_a_die(target, shape, share, seed)
    moments = correlated(shape[0], seed)
    nearest, found = (program_for_die(planned, die, target, m) for m in (None, moments))
    before, after = energy(nearest, moments), energy(found, moments)
    assert (after <= before * (1 + 1e-4) + 1e-6 * before.max(initial=0)).all()
    assert_array_equal(decode(found.tiles, target, *shape), found.codes)
    place = planned.placement
    stuck = stuck_cells(die.faults_of(place.crossbar), target.top_level, FREE)
    used = (stuck != FREE) & (place.wordline_input >= 0)[:, :, None] & (place.bitline_output >= 0)[:, None]
    assert_array_equal(found.tiles.levels[used], stuck[used])
    assert_array_equal(found.tiles.bitline_inverted, nearest.tiles.bitline_inverted)


@settings(deadline=None, max_examples=15)
@given(*LAYERS)
def test_the_bytes_do_not_depend_on_threads(target: Target, shape: tuple[int, int], share: float, seed: int) -> None:
    planned, die = on_a_die(target, shape, share, seed)
    for moments in (None, correlated(shape[0], seed)):
        one, two = (program_for_die(planned, die, target, moments, threads) for threads in (1, 2))
        for name, array in one.tiles.tensors().items():
            assert_array_equal(array, two.tiles.tensors()[name])
        assert_array_equal(one.codes, two.codes)


@settings(deadline=None, max_examples=15)
@given(*LAYERS)
def test_inputs_that_do_not_go_together_change_nothing(
    target: Target, shape: tuple[int, int], share: float, seed: int
) -> None:
    planned, die = on_a_die(target, shape, share, seed)
    alone = np.diag(np.random.default_rng(seed).uniform(0, 9, shape[0]) + 1e-3).astype(np.float32)
    nearest, found = (program_for_die(planned, die, target, m) for m in (None, alone))
    assert_array_equal(nearest.tiles.levels, found.tiles.levels)


def test_compensation_halves_the_error_of_correlated_inputs() -> None:
    from rcompile.hardware.target_file import load_target

    target = load_target("reram128x128")
    planned, die = on_a_die(target, (150, 40), 0.05, 2)
    moments = correlated(150, 2)
    nearest, found = (energy(program_for_die(planned, die, target, m), moments).sum() for m in (None, moments))
    assert found < 0.25 * nearest


def settled(codes: np.ndarray, stuck: np.ndarray, reads: Reads | None) -> tuple[Descent, np.ndarray]:
    """A row block with the inversions and levels of nearest values. stuck: levels [digits, k, n], or FREE."""
    descent = Descent(Block(codes.astype(np.int16), stuck), DIGITS.digits, Reachable(DIGITS, 3))
    return descent, descent.settle(reads)


@pytest.mark.parametrize(("together", "taken"), [(1.0, 8), (-1.0, 2), (0.0, 5)])
def test_a_free_weight_takes_over_what_a_stuck_one_lacks(together: float, taken: int) -> None:
    """Two inputs that are the same, opposite, or strangers: 3 x0 + 5 x1 with w0 stuck at 0."""
    moments = np.array([[1.0, together], [together, 1.0]], np.float32)
    for order in ([0, 1], [1, 0]):
        codes, stuck = np.array([[3], [5]])[order], np.array([0, FREE], np.uint8)[order]
        descent, levels = settled(codes, np.tile(stuck[:, None], (len(DIGITS.digits), 1, 1)), None)
        (levels,) = compensate([descent], [levels], [None], feeds_of(moments))
        value = np.tensordot(np.array(DIGITS.digits), levels.astype(int), axes=1)
        assert_array_equal(value, np.array([[0], [taken]])[order])
        assert_array_equal(codes - descent.missed, value)


def test_no_read_is_driven_beyond_the_converter() -> None:
    """By compensation; some would be by what it finds if it did not look."""
    rng = np.random.default_rng(0)
    codes, cells = rng.integers(-15, 16, (20, 60)), (4, 20, 60)
    stuck = np.where(rng.random(cells) < 0.3, 3, FREE).astype(np.uint8)
    tight, wide = (Reads(np.repeat([0, 1], 10), np.array([most, most])) for most in (17.0, np.inf))
    feeds = feeds_of(correlated(20, 0))
    descent, before = settled(codes, stuck, tight)
    (after,) = compensate([descent], [before], [tight], feeds)
    assert not (tight.clips(after) & ~tight.clips(before)).any()
    assert (after != before).any()
    descent, before = settled(codes, stuck, tight)
    (after,) = compensate([descent], [before], [wide], feeds)
    assert (tight.clips(after) & ~tight.clips(before)).any()


def test_an_output_that_would_be_worse_stays_as_it_was() -> None:
    """One of some thousand would be; one of these is, if nobody looks."""
    rng, seed = np.random.default_rng(36), 36
    codes, cells = rng.integers(-15, 16, (20, 400)), (4, 20, 400)
    stuck = np.where(rng.random(cells) < 0.3, rng.choice([0, 3], cells), FREE).astype(np.uint8)
    descent, levels = settled(codes, stuck, None)
    moments = correlated(20, seed)
    damped = moments + DAMPING * moments.diagonal().mean() * np.eye(20)
    before, _ = descent.missed, compensate([descent], [levels], [None], feeds_of(moments))
    energies = [(missed * (damped @ missed)).sum(axis=0) for missed in (before, descent.missed)]
    assert (energies[1] <= energies[0] * (1 + 1e-4)).all()
    assert energies[1].sum() < 0.8 * energies[0].sum()


@pytest.fixture(scope="module")
def chip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier, the map of a chip for it, and samples of each kind."""
    folder = tmp_path_factory.mktemp("chip")
    tiny_classifier(folder / "m.onnx")
    assert run("die", "--target", "reram128x128", "--crossbars", 20, "--seed", 3, "--sa0", 0.01, "--sa1", 0.05, "-o", folder / "map.npz").exit_code == OK  # fmt: skip
    lines = [f"w{i} w{i * 3 % 30} w{i * i % 31}" + " w7" * (i % 3) for i in range(40)]
    (folder / "samples.txt").write_text("\n".join(lines))
    (folder / "pairs.tsv").write_text("\n".join(line.replace(" ", "\t", 1) for line in lines))
    ids = np.random.default_rng(0).integers(4, 40, (30, 5))
    np.savez(folder / "samples.npz", input_ids=ids, attention_mask=np.ones_like(ids))
    return folder


def compile_for(chip: Path, out: Path, samples: Path, *more: object) -> Any:
    base = (chip / "m.onnx", "--target", "reram128x128", "--die-map", chip / "map.npz")
    return run(*base, "-o", out, "--compensate", samples, *more)


def test_moments_are_those_of_the_tokens(chip: Path) -> None:
    """Of all tokens but padding; float32 sums."""
    model = read_model(chip / "m.onnx")
    (chip / "two.txt").write_text("w1 w2 w2\nw4\n")
    moments = input_moments(model, chip / "m.onnx", find_linears(model).linears, chip / "two.txt")
    table = numpy_helper.to_array(onnx.load(chip / "m.onnx").graph.initializer[0])
    x = table[[5, 6, 6, 8]]  # words w1 .. are tokens 5 ..
    assert_allclose(moments["up"], x.T @ x, rtol=1e-5, atol=1e-5)
    assert {name: m.shape for name, m in moments.items()} == {"up": (32, 32), "down": (128, 128), "head": (32, 32)}


@pytest.mark.parametrize("samples", ["samples.txt", "pairs.tsv", "samples.npz"])
def test_a_bundle_names_its_samples_and_is_proven(samples: str, chip: Path, tmp_path: Path) -> None:
    for out in ("a", "b"):
        done = compile_for(chip, tmp_path / out, chip / samples)
        assert done.exit_code == OK, done.output
    said = json.loads(run("inspect", tmp_path / "a", "--json").stdout)["die"]
    assert said["compensation_sha256"] == file_sha256(chip / samples)
    assert "compensated on samples" in run("inspect", tmp_path / "a").stdout
    assert run("check", tmp_path / "a", "--die-map", chip / "map.npz").exit_code == OK
    for file in (p for p in (tmp_path / "a").rglob("*") if p.is_file()):
        assert file.read_bytes() == (tmp_path / "b" / file.relative_to(tmp_path / "a")).read_bytes()


def test_a_model_is_run_on_two_kinds_of_samples(chip: Path, tmp_path: Path) -> None:
    """What calibration asked of the graph is not there any more when compensation asks."""
    done = compile_for(chip, tmp_path / "b", chip / "samples.txt", "--calibrate", chip / "samples.npz")
    assert done.exit_code == OK, done.output


def test_bad_samples_are_refused(chip: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "mixed.tsv").write_text("w1\tw2\nw3\n")
    np.savez(tmp_path / "lacking.npz", input_ids=np.ones((1, 3), np.int64))
    np.savez(tmp_path / "none.npz", input_ids=np.ones((0, 3), np.int64), attention_mask=np.ones((0, 3), np.int64))
    (tmp_path / "broken.npz").write_bytes(b"PK")
    before = sorted(p.name for p in tmp_path.iterdir())
    for name in ("empty.txt", "mixed.tsv", "lacking.npz", "none.npz", "broken.npz", "missing.txt"):
        refused = compile_for(chip, tmp_path / "out", tmp_path / name)
        assert (refused.exit_code, name in refused.output) == (BAD_INPUT, True), refused.output
        assert compile_for(chip, tmp_path / "out", tmp_path / name, "--dry-run").exit_code == BAD_INPUT
    no_map = run(
        chip / "m.onnx", "--target", "reram128x128", "--compensate", chip / "samples.txt", "-o", tmp_path / "o"
    )
    assert (no_map.exit_code, "give its map with --die-map" in no_map.output) == (USAGE, True)
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_samples_that_are_not_finite_are_refused(chip: Path, tmp_path: Path) -> None:
    model = onnx.load(chip / "m.onnx")
    table = numpy_helper.to_array(model.graph.initializer[0]).copy()
    table[5] = np.inf
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(table, model.graph.initializer[0].name))
    onnx.save(model, tmp_path / "m.onnx")
    (tmp_path / "tokenizer.json").write_bytes((chip / "tokenizer.json").read_bytes())
    (tmp_path / "map.npz").write_bytes((chip / "map.npz").read_bytes())
    refused = compile_for(tmp_path, tmp_path / "out", chip / "samples.txt")
    assert (refused.exit_code, "all zero, or NaN or Inf" in refused.output) == (BAD_INPUT, True)
    assert not (tmp_path / "out").exists()
