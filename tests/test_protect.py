"""Protection: replicas are placed as asked, within the dense model's crossbars, and the predicted errors are those that
faults cause.
"""

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from hostile_bundles import codes_of
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper
from scipy.stats import spearmanr
from small_models import changed_target, tiny_classifier

from rcompile import compile_model
from rcompile.bundle.check import check
from rcompile.bundle.manifest import Manifest
from rcompile.bundle.reader import Bundle
from rcompile.errors import UnsupportedError, UsageError
from rcompile.hardware.faults import Fault, apply_faults
from rcompile.hardware.target import Target
from rcompile.layout.compact import UsedLines, compact
from rcompile.layout.encode import encode
from rcompile.layout.normal_form import Tiles, decode
from rcompile.layout.place import bitlines_per_output, crossbars, place, plain, plain_crossbars
from rcompile.layout.quantize import QuantizedLinear
from rcompile.options import CompileOptions
from rcompile.protection.allocate import allocate, predict_errors, predicted_error
from rcompile.protection.predict import level_error
from rcompile.protection.protect import protect, survey
from rcompile.vocabulary import Combiner, VotingCombiner, words
from runtime.die import votes as voting

COMBINERS = words(VotingCombiner)
SMALL = {"rows": 16, "cols": 32, "active_rows": 8}


@st.composite
def layers(draw: st.DrawFn) -> tuple[Target, QuantizedLinear, np.ndarray]:
    """A target, a layer of which some rows and columns are pruned, and any replicas; codes are multiples where digits
    are given up.
    """
    target = changed_target(
        "ideal128x128",
        crossbar={"rows": draw(st.integers(1, 20)), "cols": draw(st.integers(48, 70)), "active_rows": 1},
        cell={"bits": draw(st.integers(2, 4))},
        weights={
            "encoding": draw(st.sampled_from(["offset", "differential"])),
            "column_inversion": draw(st.booleans()),
        },
    )
    inputs, outputs = draw(st.integers(1, 50)), draw(st.integers(1, 30))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    copies = np.sort(rng.integers(0, 7, (outputs, len(target.encoding.magnitudes))), axis=1).astype(np.uint8)
    copies[:, -1] = np.maximum(copies[:, -1], 1)
    step = 1 << ((copies == 0).sum(axis=1) * target.cell.bits)
    replicas = target.encoding.by_digit(copies)
    codes = rng.integers(-(127 // step), 127 // step + 1, (inputs, outputs)) * step
    codes[rng.random(inputs) < 0.3] = 0
    codes[:, rng.random(outputs) < 0.3] = 0
    return target, QuantizedLinear("layer", codes.astype(np.int8), np.ones(outputs, np.float32)), replicas


@given(layers())
def test_replicas_are_placed_and_decode(layer: tuple[Target, QuantizedLinear, np.ndarray]) -> None:
    target, linear, replicas = layer
    lines = compact(linear)
    placement = place(lines, replicas, target.encoding, target)
    tiles = encode(linear, placement, target)
    assert codes_of(tiles, target, *linear.codes.shape) == []
    np.testing.assert_array_equal(decode(tiles, target, *linear.codes.shape), linear.codes)
    assert placement.tiles == crossbars(len(lines.inputs), bitlines_per_output(replicas)[lines.outputs], target)
    unprotected = place(lines, plain(linear.codes.shape[1], target.encoding), target.encoding, target)
    assert unprotected.tiles == plain_crossbars(len(lines.inputs), len(lines.outputs), target)
    for block in placement.row_blocks():
        held = Counter(
            zip(
                *(
                    m[block].reshape(-1).tolist()
                    for m in (placement.bitline_output, placement.bitline_digit, placement.bitline_replica)
                ),
                strict=True,
            )
        )
        wanted = {
            (n, d, r)
            for n in lines.outputs.tolist()
            for d in range(len(target.encoding.digits))
            for r in range(replicas[n, d])
        }
        assert {k: v for k, v in held.items() if k[0] >= 0} == dict.fromkeys(wanted, 1)
        for t in range(block.start, block.stop):
            for members in placement.vote_groups(t):
                assert (placement.bitline_replica[t, members] == np.arange(members.shape[1])).all()


def test_broken_replicas_are_named() -> None:
    target = changed_target("ideal128x128", crossbar=SMALL)
    linear = gaussian(16, 4, 0)
    placement = place(compact(linear), np.tile(np.array([1, 1, 1, 3], np.uint8), (4, 1)), target.encoding, target)
    for array, code in (
        ("bitline_replica", "replica-numbers"),
        ("bitline_inverted", "replica-inversion"),
        ("levels", "replica-levels"),
    ):
        tiles = encode(linear, placement, target)
        copy = Tiles.from_tensors({k: v.copy() for k, v in tiles.tensors().items()}, placement.encoding)
        bitline = int(np.flatnonzero(placement.bitline_replica[0] == 2)[0])
        copy.tensors()[array][0, ..., bitline] ^= 1
        assert codes_of(copy, target, 16, 4) == [code]


def simulated(
    levels: np.ndarray, replicas: int, combiner: Combiner, target: Target, wordlines: int, sa0: float, sa1: float
) -> np.ndarray:
    """The squared error of one bitline on each of 1500 drawn dies; `cell` through the runtime's own self-test, `select`
    with one that never errs, as the prediction has it.
    """
    rng = np.random.default_rng(0)
    true = rng.choice(len(levels), size=(1500, wordlines), p=levels).astype(np.uint8)
    fate = rng.random((*true.shape, replicas))
    faults = np.where(fate < sa1, Fault.SA1, np.where(fate > 1 - sa0, Fault.SA0, Fault.GOOD))
    held = apply_faults(np.repeat(true[..., None], replicas, 2), faults, target.top_level)
    error = held.astype(np.float64) - true[..., None]
    if combiner == "cell":
        return ((voting.decide(held, target).astype(int) - true) ** 2).sum(axis=1)
    if combiner == "select":
        return (error**2).sum(axis=1).min(axis=1)
    if combiner == "mean":
        return (error.mean(axis=2) ** 2).sum(axis=1)
    bits = rng.random((len(true), 64, wordlines)) < 0.5
    reads = np.sort(np.einsum("dbw,dwr->dbr", bits.astype(float), error), axis=2)[:, :, (replicas - 1) // 2]
    return 4 * reads.var(axis=1, ddof=1)


@pytest.mark.parametrize("combiner", COMBINERS)
@pytest.mark.parametrize(
    ("replicas", "wordlines", "rate"), [(1, 16, 0.05), (2, 16, 0.05), (3, 16, 0.1), (4, 40, 0.05), (5, 8, 0.1)]
)
def test_prediction_is_what_drawn_dies_give(combiner: Combiner, replicas: int, wordlines: int, rate: float) -> None:
    """Within four standard errors of the mean over the dies; a median of five within a third (replicas share their
    levels).
    """
    sa0, sa1 = 0.2 * rate, 0.8 * rate
    target = changed_target("ideal128x128", faults={"sa0_rate": sa0, "sa1_rate": sa1})
    levels = np.array([0.4, 0.3, 0.2, 0.1])
    measured = simulated(levels, replicas, combiner, target, wordlines, sa0, sa1)
    predicted = level_error(levels, replicas, combiner, target, [wordlines], sa0, sa1)
    shared = measured.mean() / 3 if combiner == "median" and replicas > 4 else 0.0
    assert abs(predicted - measured.mean()) <= shared + 4 * measured.std() / np.sqrt(len(measured)) + 1e-3


def gaussian(inputs: int, outputs: int, seed: int) -> QuantizedLinear:
    rng = np.random.default_rng(seed)
    codes = np.clip(np.rint(rng.normal(0, 30, (inputs, outputs))), -127, 127)
    return QuantizedLinear(f"layer{seed}", codes.astype(np.int8), rng.uniform(0.5, 2, outputs).astype(np.float32))


def survey_of(linear: QuantizedLinear, target: Target, inputs: int, outputs: int):
    kept = UsedLines(np.arange(inputs, dtype=np.int32), np.arange(outputs, dtype=np.int32))
    return survey(linear, kept, target)


@pytest.mark.parametrize("combiner", ["cell", "select"])
def test_prediction_ranks_allocations_as_measurement_does(combiner: Combiner) -> None:
    """Spearman >= 0.9 between predicted and measured relative error over a spread of allocations."""
    target = changed_target("ideal128x128", crossbar={"rows": 32, "cols": 64, "active_rows": 32})
    linear = gaussian(64, 24, 1)
    known = survey_of(linear, target, 64, 24)
    rates = 0.005, 0.03
    predicted, measured = [], []
    recipes = [(1, 1, 1, 1), (1, 1, 1, 2), (1, 1, 1, 3), (1, 1, 2, 2), (1, 1, 2, 3), (1, 1, 3, 3), (1, 2, 3, 3), (0, 1, 1, 1), (0, 1, 2, 3), (0, 1, 3, 5)]  # fmt: skip
    for recipe in recipes:
        replicas = np.tile(np.array(recipe, np.uint8), (24, 1))
        predicted.append(
            predicted_error([known], {linear.name: replicas}, predict_errors([known], combiner, target, *rates))
        )
        step = 4 if recipe[0] == 0 else 1
        coarse = QuantizedLinear(
            "c", (np.rint(linear.codes / step) * step).clip(-124, 124).astype(np.int8), linear.weight_scale
        )
        placement = place(known.used, replicas, target.encoding, target)
        tiles = encode(coarse, placement, target)
        errors = []
        for seed in range(6):
            fate = np.random.default_rng(seed).random(tiles.levels.shape)
            faults = np.where(fate < rates[1], Fault.SA1, np.where(fate > 1 - rates[0], Fault.SA0, Fault.GOOD))
            held = voting.resolve(apply_faults(tiles.levels, faults, 3), placement, target, combiner)
            got = decode(Tiles(placement, held, tiles.bitline_inverted), target, 64, 24)
            errors.append((((got - linear.codes) * linear.weight_scale) ** 2).sum() / known.energy)
        measured.append(np.mean(errors))
    assert spearmanr(predicted, measured).statistic >= 0.9


@given(st.integers(0, 50), st.sampled_from(COMBINERS), st.floats(0.001, 0.1), st.floats(0, 0.9))
def test_auto_stays_within_the_dense_crossbars_and_beats_plain(
    seed: int, combiner: Combiner, rate: float, pruned: float
) -> None:
    target = changed_target("ideal128x128", crossbar=SMALL)
    rng = np.random.default_rng(seed)
    known = []
    for i in range(3):
        inputs, outputs = rng.integers(20, 70, 2).tolist()
        linear = gaussian(inputs, outputs, i)
        linear.codes[rng.random(inputs) < pruned] = 0
        known.append(survey(linear, compact(linear), target))
    options = CompileOptions(protect="auto", combiner=combiner, sa0=0.2 * rate, sa1=0.8 * rate)
    found = protect(known, options, target)
    needed = sum(
        crossbars(len(k.used.inputs), bitlines_per_output(found.replicas[k.name][k.used.outputs]), target)
        for k in known
    )
    assert needed <= sum(plain_crossbars(k.inputs, k.outputs, target) for k in known)
    single = {k.name: np.ones_like(found.replicas[k.name]) for k in known}
    unprotected = predicted_error(known, single, predict_errors(known, combiner, target, 0.2 * rate, 0.8 * rate))
    assert found.predicted_error <= unprotected * (1 + 1e-9)


def pruned_classifier(folder: Path) -> Path:
    """A classifier of which every matrix has lost half of its rows or columns."""
    path = tiny_classifier(folder / "pruned.onnx", hidden=64)
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name in ("up.weight", "down.weight"):
            weight = numpy_helper.to_array(tensor).copy()
            axis = 1 if tensor.name == "up.weight" else 0
            weight[(slice(None),) * axis + (np.arange(weight.shape[axis]) % 2 == 0,)] = 0
            tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))
    onnx.save(model, path)
    return path


def compiled(model: Path, out: Path, options: CompileOptions, **changes: dict) -> Manifest:
    target = changed_target("ideal128x128", crossbar={"rows": 32, "cols": 32, "active_rows": 32}, **changes)
    manifest = compile_model(model, target, out, options).manifest
    assert manifest is not None
    assert not [p for _, found in check(Bundle.open(out)) for p in found]
    return manifest


def test_paper_triples_the_largest_digit(tmp_path: Path) -> None:
    manifest = compiled(pruned_classifier(tmp_path), tmp_path / "a", CompileOptions(protect="paper"))
    assert manifest.protection is not None
    copies = {a.copies for layer in manifest.protection.allocations.values() for a in layer}
    assert copies == {(1, 1, 1, 3)}
    assert manifest.combiner == "cell"
    total = manifest.total()
    assert total.crossbars_pruned < total.crossbars <= total.crossbars_dense

    narrow = tiny_classifier(tmp_path / "dense.onnx", hidden=64)
    with pytest.raises(UnsupportedError, match=r"needs \d+ crossbars, the dense model"):
        compiled(narrow, tmp_path / "b", CompileOptions(protect="paper"))
    assert not (tmp_path / "b").exists()
    manifest = compiled(narrow, tmp_path / "b", CompileOptions(protect="paper", allow_extra_crossbars=True))
    assert manifest.total().crossbars > manifest.total().crossbars_dense
    copies = {a.copies for layer in manifest.protection.allocations.values() for a in layer}
    assert copies == {(1, 1, 1, 3)}


def test_paper_embeds_when_it_must() -> None:
    """24 outputs are three tiles of 8; of 18 that are kept, 5 fit a tile with three copies, 6 without the lowest
    digit.
    """
    target = changed_target("ideal128x128", crossbar={"rows": 32, "cols": 32, "active_rows": 32})
    linear = gaussian(32, 24, 0)
    linear.codes[:, 18:] = 0
    found = protect(
        [survey(linear, compact(linear), target)], CompileOptions(protect="paper", sa0=0.001, sa1=0.01), target
    )
    assert (found.replicas["layer0"] == [0, 1, 1, 3]).all()
    narrow = changed_target("ideal128x128", crossbar={"rows": 32, "cols": 4, "active_rows": 32})
    known = [survey(linear, compact(linear), narrow)]
    with pytest.raises(UnsupportedError, match="do not hold an output with three copies"):
        protect(known, CompileOptions(protect="paper"), narrow)


@pytest.mark.parametrize("combiner", COMBINERS)
def test_with_crossbars_to_spare_nothing_beats_the_allocation(combiner: Combiner) -> None:
    target = changed_target("ideal128x128", crossbar=SMALL)
    linear = gaussian(32, 12, 0)
    known = [survey(linear, compact(linear), target)]
    errors = predict_errors(known, combiner, target, 0.01, 0.05)
    found = allocate(known, errors, 10**9, target)[linear.name]
    rows = itertools.combinations_with_replacement(range(1, 7), len(target.encoding.magnitudes))
    assert errors[linear.name].of(found).max() <= errors[linear.name].of(np.array(list(rows), np.uint8)).min()


def test_a_layer_of_zeros_and_pruned_outputs_are_left_alone() -> None:
    target = changed_target("ideal128x128", crossbar=SMALL)
    linear, zeros = gaussian(32, 24, 0), gaussian(32, 8, 1)
    linear.codes[:, 12:] = 0
    zeros.codes[:] = 0
    known = [survey(x, compact(x), target) for x in (linear, zeros)]
    found = protect(known, CompileOptions(protect="auto", combiner="cell", sa0=0.002, sa1=0.01), target)
    assert (found.replicas["layer0"][12:] == 1).all()
    assert (found.replicas["layer1"] == 1).all()
    assert 0 < found.predicted_error < 1


@given(st.integers(2, 8), st.integers(1, 4))
def test_codes_are_left_when_digits_are_given_up(weight_bits: int, cell_bits: int) -> None:
    target = changed_target("ideal128x128", weights={"bits": weight_bits}, cell={"bits": cell_bits})
    limit = target.weight_code_max
    codes = np.random.default_rng(0).integers(-limit, limit + 1, (64, 8)).astype(np.int8)
    linear = QuantizedLinear("layer", codes, np.ones(8, np.float32))
    found = protect(
        [survey(linear, compact(linear), target)],
        CompileOptions(protect="auto", combiner="cell", sa0=0.02, sa1=0.1),
        target,
    )
    given_up = (found.replicas["layer"] == 0).sum(axis=1)
    assert (limit >> (given_up * cell_bits) >= 1).all()


def test_auto_names_the_combiner_it_chose(tmp_path: Path) -> None:
    manifest = compiled(
        pruned_classifier(tmp_path), tmp_path / "a", CompileOptions(protect="auto", sa0=0.001, sa1=0.009)
    )
    assert manifest.combiner == "cell"  # no combiner leaves fewer errors
    assert manifest.protection.predicted_error > 0
    in_situ = {"periphery": ["self_test", "sorter", "adder"]}
    manifest = compiled(
        pruned_classifier(tmp_path), tmp_path / "b", CompileOptions(protect="auto", sa0=0.001, sa1=0.009), vote=in_situ
    )
    assert manifest.combiner in ("median", "select")
    total = manifest.total()
    assert total.crossbars_pruned < total.crossbars <= total.crossbars_dense


def test_a_target_that_cannot_vote_is_refused(tmp_path: Path) -> None:
    model = tiny_classifier(tmp_path / "m.onnx")
    with pytest.raises(UnsupportedError, match="cannot vote"):
        compiled(model, tmp_path / "a", CompileOptions(protect="auto"), vote={"periphery": []})
    with pytest.raises(UsageError, match="has no combiner 'cell'; it has mean"):
        compiled(model, tmp_path / "a", CompileOptions(protect="auto", combiner="cell"), vote={"periphery": ["adder"]})
    for options in (CompileOptions(protect="auto", sa0=-0.1), CompileOptions(protect="auto", sa0=0.7, sa1=0.7)):
        with pytest.raises(UsageError, match="must be shares"):
            compiled(model, tmp_path / "a", options)
    with pytest.raises(UsageError, match="no fault rates"):
        compiled(model, tmp_path / "a", CompileOptions(protect="auto"))
    with pytest.raises(UsageError, match="--protect"):
        compiled(model, tmp_path / "a", CompileOptions(protect="none", combiner="cell"))
