"""The native kernels equal the NumPy reference bit for bit, whatever the shape, the target, the placement and the
die.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_layer import COMBINERS, DIES, PATHS, compiled, expected, layer_on, measured, targets
from small_models import IDEAL_ADC, changed_target

import runtime
from rcompile.errors import BadInputError, UsageError
from rcompile.hardware.target import Target
from rcompile.layout.normal_form import Tiles
from rcompile.vocabulary import Combiner, words
from runtime.product import reference


@settings(max_examples=60)
@given(
    targets(),
    st.integers(1, 150),
    st.sampled_from([1, 3, 16, 63, 65, 130]),
    st.sampled_from([0, 1, 5, 9]),
    st.integers(0, 999),
    DIES,
    st.booleans(),
    st.sampled_from([None, None, 0.02]),
    st.booleans(),
    st.booleans(),
)
def test_kernels_equal_the_reference(
    target, inputs, outputs, rows, seed, die, shuffle, input_scale, bit_serial, prune
) -> None:
    x = np.random.default_rng(seed).normal(0, 1, (1, rows, inputs)).astype(np.float32)
    with compiled(target, inputs, outputs, seed, shuffle, input_scale, prune) as bundle:
        wanted = expected(bundle, x, die, input_scale)
        for isa in PATHS:
            options = {"isa": isa} | ({"force_bit_serial": "1"} if bit_serial else {})
            session = runtime.load(bundle, die, provider_options=options, threads=1 + seed % 2)
            (y,) = session.run(None, {"x": x})
            np.testing.assert_array_equal(y.view(np.uint32), wanted.view(np.uint32), err_msg=isa)


@settings(max_examples=60)
@given(
    targets(),
    st.integers(1, 150),
    st.sampled_from([1, 3, 16, 65]),
    st.sampled_from([1, 5, 9]),
    st.integers(0, 999),
    st.one_of(DIES, st.just("measured")),
    st.booleans(),
    st.sampled_from(COMBINERS),
    st.sampled_from(COMBINERS),
    st.booleans(),
)
def test_votes_equal_the_reference(
    target, inputs, outputs, rows, seed, die, shuffle, combiner, another, bit_serial
) -> None:
    """As compiled, and with another combiner under the live session."""
    x = np.random.default_rng(seed).normal(0, 1, (1, rows, inputs)).astype(np.float32)
    with compiled(target, inputs, outputs, seed, shuffle, prune=seed % 3 == 0, combiner=combiner) as bundle:
        die = measured(bundle, seed) if die == "measured" else die
        (entry,) = bundle.manifest.layers
        levels, tiles = layer_on(bundle, die).levels, bundle.layer(entry).tiles
        wanted = {c: expected(bundle, x, die, combiner=c) for c in {combiner, another}}
        proven = {c: reference.collapsible(levels, tiles, target, c).sum() for c in {combiner, another}}
        for isa in PATHS:
            options = {"isa": isa} | ({"force_bit_serial": "1"} if bit_serial else {})
            session = runtime.load(bundle, die, provider_options=options, threads=1 + seed % 2)
            for chosen in (None, another):
                session.set_combiner(chosen)
                (y,) = session.run(None, {"x": x})
                effective = chosen or combiner
                np.testing.assert_array_equal(y.view(np.uint32), wanted[effective].view(np.uint32), err_msg=isa)
                (row,) = session.report()
                originals = (tiles.placement.bitline_output >= 0) & (tiles.placement.bitline_replica == 0)
                assert row.bitlines == originals.sum()
                assert row.collapsed == (0 if bit_serial else proven[effective])


@pytest.mark.parametrize("isa", PATHS)
@pytest.mark.parametrize("name", ["reram128x128", "reram128x128-diff", "reram256x256", "reram64x64-slc"])
@pytest.mark.parametrize(
    "die", [None, runtime.Die(7, 0.0175, 0.0904), runtime.Die(8, 0.3, 0.4)], ids=["clean", "chen", "ruined"]
)
def test_shipped_targets(name: str, isa: str, die: runtime.Die | None) -> None:
    target = changed_target(name)
    x = np.random.default_rng(3).normal(0, 1, (2, 7, 300)).astype(np.float32)
    with compiled(target, 300, 100, 0, False, None) as bundle:
        session = runtime.load(bundle, die, provider_options={"isa": isa})
        np.testing.assert_array_equal(session.run(None, {"x": x})[0], expected(bundle, x, die, None))


@pytest.mark.parametrize("combiner", COMBINERS)
@pytest.mark.parametrize("clipping_bits", [0, 1, 2])
@pytest.mark.parametrize("name", ["reram128x128", "reram128x128-diff", "reram256x256", "reram64x64-slc"])
def test_votes_on_shipped_targets(name: str, clipping_bits: int, combiner: Combiner) -> None:
    """With fewer bits, the ADC clips some of a group's replicas and not others."""
    full = changed_target(name)
    target = changed_target(name, adc={"bits": full.adc.bits - clipping_bits})
    x = np.random.default_rng(3).normal(0, 1, (1, 7, 200)).astype(np.float32)
    die = runtime.Die(7, 0.0175, 0.0904)
    with compiled(target, 200, 20, 0, combiner=combiner) as bundle:
        wanted = expected(bundle, x, die)
        for isa in PATHS:
            (y,) = runtime.load(bundle, die, provider_options={"isa": isa}).run(None, {"x": x})
            np.testing.assert_array_equal(y, wanted, err_msg=isa)


@pytest.mark.parametrize(
    ("rows", "cell_bits", "dac_bits", "adc_bits"), [(256, 1, 1, 8), (256, 2, 1, 8), (256, 2, 3, 8), (512, 4, 4, 16)]
)
def test_reads_at_full_scale(rows: int, cell_bits: int, dac_bits: int, adc_bits: int) -> None:
    """All cells stuck at the top level, all bits set: sums beyond one or two bytes in each read, and beyond 32 bits
    over the units.
    """
    target = changed_target(
        "ideal128x128",
        crossbar={"rows": rows, "cols": 8, "active_rows": rows},
        cell={"bits": cell_bits},
        weights={"column_inversion": False},
        input={"coding": "offset", "dac_bits": dac_bits},
        adc={"bits": adc_bits},
    )
    x, die = np.ones((1, 2, 160 * 256), np.float32), runtime.Die(1, 0.0, 1.0)
    with compiled(target, x.shape[2], 1, 0) as bundle:
        wanted = expected(bundle, x, die)
        for isa in PATHS:
            options = {"isa": isa, "force_bit_serial": "1"}
            (y,) = runtime.load(bundle, die, provider_options=options).run(None, {"x": x})
            np.testing.assert_array_equal(y, wanted, err_msg=isa)


@pytest.mark.parametrize("rows", [33, 64, 130])
@pytest.mark.parametrize("coding", ["twos_complement", "sign_magnitude", "offset"])
def test_blocks_of_rows(coding: str, rows: int) -> None:
    """Enough rows and outputs for the widest loops over rows, and some that are left."""
    target = changed_target("reram128x128", input={"coding": coding}, adc={"bits": 7})
    x = np.random.default_rng(rows).normal(0, 1, (1, rows, 150)).astype(np.float32)
    with compiled(target, 150, 520, 0, prune=True) as bundle:
        wanted = expected(bundle, x, None)
        for isa in PATHS:
            options = {"isa": isa, "force_bit_serial": "1"}
            (y,) = runtime.load(bundle, provider_options=options, threads=2).run(None, {"x": x})
            np.testing.assert_array_equal(y, wanted, err_msg=isa)


@settings(max_examples=60)
@given(targets(), st.integers(1, 150), st.integers(0, 999), st.sampled_from([None, None, 0.02, 1e-39, 9e37]))
def test_inputs_beside_the_middle_of_two_codes(target, inputs, seed, input_scale) -> None:
    """Where a quotient that is not rounded as a division is becomes another code; at scales whose inverse is no normal
    number too.
    """
    rng = np.random.default_rng(seed)
    qmax, shape = 2 ** (target.input.bits - 1) - 1, (1, 9, inputs)
    scale = input_scale or rng.uniform(0.01, 1)
    middles = np.clip((rng.integers(-qmax, qmax, shape) + 0.5) * scale, -3e38, 3e38).astype(np.float32)
    x = (middles.view(np.int32) + rng.integers(-3, 4, shape, np.int32)).view(np.float32)
    x[..., 0] = np.float32(min(qmax * scale, 3e38))  # a row's largest, which makes the scale
    with compiled(target, inputs, 8, seed, input_scale=input_scale, bias=False) as bundle, np.errstate(over="ignore"):
        wanted = expected(bundle, x, None, input_scale)
        for isa in PATHS:
            (y,) = runtime.load(bundle, provider_options={"isa": isa}).run(None, {"x": x})
            np.testing.assert_array_equal(y.view(np.uint32), wanted.view(np.uint32), err_msg=isa)


@given(targets(), st.integers(0, 999))
def test_planes_are_the_digits_of_a_code(target, seed) -> None:
    """Of at most dac_bits bits; and where no read clips or rounds, their width changes nothing."""
    bits, coding = target.input.bits, target.input.coding
    qmax = 2 ** (bits - 1) - 1
    codes = np.random.default_rng(seed).integers(-qmax, qmax + 1, (3, 5))
    planes = reference.input_planes(codes, target)
    np.testing.assert_array_equal(planes.driven, codes + (2 ** (bits - 1) if coding == "offset" else 0))
    assert planes.pulses.max() <= target.top_pulse
    cycles = {"twos_complement": 1 - (1 - bits) // target.input.dac_bits, "offset": -(-bits // target.input.dac_bits)}
    assert len(planes.weight) == cycles.get(coding, 2 * -((1 - bits) // target.input.dac_bits))


@settings(max_examples=20)
@given(targets(), st.integers(1, 60), st.integers(0, 999))
def test_an_ideal_adc_does_not_see_the_width_of_a_digit(target, inputs, seed) -> None:
    data = target.model_dump(mode="json")
    data["adc"] = IDEAL_ADC
    data["input"] |= {"bits": 8}
    x = np.random.default_rng(seed).normal(0, 1, (1, 3, inputs)).astype(np.float32)
    results = []
    for dac_bits in (1, target.input.dac_bits):
        data["input"]["dac_bits"] = dac_bits
        with compiled(Target.model_validate_json(json.dumps(data)), inputs, 4, seed) as bundle:
            session = runtime.load(bundle, provider_options={"force_bit_serial": "1"})
            results.append(session.run(None, {"x": x})[0])
    np.testing.assert_array_equal(*results)


def test_rows_that_are_not_finite_give_nan_and_harm_no_other() -> None:
    x = np.random.default_rng(0).normal(0, 1, (1, 6, 40)).astype(np.float32)
    x[0, 1, 3], x[0, 2, 0], x[0, 3] = np.nan, -np.inf, 0
    with compiled(changed_target("reram128x128"), 40, 20, 0, False, None) as bundle:
        (y,) = runtime.load(bundle).run(None, {"x": x})
        wanted = expected(bundle, x, None, None)
    assert np.isnan(y[0, 1:3]).all()
    assert np.isfinite(y[0, [0, 3, 4, 5]]).all()
    np.testing.assert_array_equal(y, wanted)


@settings(max_examples=20)
@given(targets(), st.integers(1, 150), st.sampled_from([1, 16, 65]), st.integers(0, 99), DIES)
def test_report_counts_what_the_reference_counts(target, inputs, outputs, seed, die) -> None:
    with compiled(target, inputs, outputs, seed, True, None) as bundle:
        (entry,) = bundle.manifest.layers
        layer = bundle.layer(entry)
        faults = (die or runtime.Die()).faults(entry.name, bundle.layer(entry).tiles.placement.crossbar, target)
        (row,) = runtime.load(bundle, die).report()
        assert (row.sa0, row.sa1, row.cells) == ((faults == 1).sum(), (faults == 2).sum(), faults.size)
        assert row.bitlines == (layer.tiles.placement.bitline_output >= 0).sum()
        assert row.collapsed == reference.collapsible(layer_on(bundle, die).levels, layer.tiles, target).sum()


def test_a_measured_die_is_the_die_that_was_measured(tmp_path: Path) -> None:
    """A virtual die's faults, read back into a file, give the same numbers."""
    x = np.random.default_rng(0).normal(0, 1, (1, 4, 300)).astype(np.float32)
    die = runtime.Die(5, 0.01, 0.05)
    with compiled(changed_target("reram128x128"), 300, 50, 0, False, None) as bundle:
        (entry,) = bundle.manifest.layers
        np.savez(
            tmp_path / "die.npz",
            **{
                entry.name: die.faults(entry.name, bundle.layer(entry).tiles.placement.crossbar, bundle.manifest.target)
            },
        )
        session = runtime.load(bundle, die)
        virtual = session.run(None, {"x": x})[0]
        session.set_die(runtime.read_die(tmp_path / "die.npz", bundle))
        np.testing.assert_array_equal(session.run(None, {"x": x})[0], virtual)
        session.set_die(None)
        assert not np.array_equal(session.run(None, {"x": x})[0], virtual)


def test_a_collapsed_clean_die_is_an_integer_product() -> None:
    """Against NumPy's own integer product, which knows nothing of crossbars."""
    x = np.random.default_rng(2).normal(0, 1, (1, 5, 300)).astype(np.float32)
    target = changed_target("reram128x128")
    with compiled(target, 300, 50, 0, False, None) as bundle:
        session = runtime.load(bundle)
        (row,) = session.report()
        assert row.collapsed == row.bitlines == 3 * 4 * 50
        layer = bundle.layer(bundle.manifest.layers[0])
        (y,) = session.run(None, {"x": x})
    graph = np.random.default_rng(0).normal(0, 0.05, (300, 50)).astype(np.float32)
    codes = np.rint(graph / layer.weight_scale).astype(np.int64)
    scale = np.abs(x).max(axis=2, keepdims=True) / np.float32(127)
    product = np.rint(x / scale).astype(np.int64) @ codes
    bias = layer.biases["bias.0"]
    np.testing.assert_array_equal(y, product.astype(np.float32) * (scale * layer.weight_scale) + bias)


def test_the_combiner_changes_on_a_live_session_and_back() -> None:
    x = np.random.default_rng(1).normal(0, 1, (1, 4, 200)).astype(np.float32)
    die = runtime.Die(5, 0.02, 0.09)
    with compiled(changed_target("reram128x128"), 200, 30, 3, combiner="median") as bundle:
        session = runtime.load(bundle, die)
        results = {None: session.run(None, {"x": x})[0]}
        for combiner in COMBINERS:
            session.set_combiner(combiner)
            results[combiner] = session.run(None, {"x": x})[0]
            loaded = runtime.load(bundle, die, combiner=combiner).run(None, {"x": x})[0]
            np.testing.assert_array_equal(loaded, results[combiner])
        np.testing.assert_array_equal(results["median"], results[None])
        assert len({y.tobytes() for y in results.values()}) == len(COMBINERS)
        for compiled_one in ("", "compiled"):
            session.set_ep_dynamic_options({"rcompile.combiner": "none"})
            np.testing.assert_array_equal(session.run(None, {"x": x})[0], results["none"])
            session.set_ep_dynamic_options({"rcompile.combiner": compiled_one})
            np.testing.assert_array_equal(session.run(None, {"x": x})[0], results[None])
        # Both at once, and one that is refused changes neither.
        session.set_ep_dynamic_options({"rcompile.combiner": "mean", "rcompile.die": "clean"})
        clean = session.run(None, {"x": x})[0]
        with pytest.raises(UsageError, match="no combiner 'majority'"):
            session.set_combiner("majority")
        with pytest.raises(Exception, match=f"'majority' is not one of {', '.join(words(Combiner))}"):
            session.set_ep_dynamic_options({"rcompile.die": "seed=1,sa1=0.1", "rcompile.combiner": "majority"})
        np.testing.assert_array_equal(session.run(None, {"x": x})[0], clean)
        session.set_die(die)
        np.testing.assert_array_equal(session.run(None, {"x": x})[0], results["mean"])
        with pytest.raises(BadInputError, match="combiner 'majority'"):
            runtime.load(bundle, provider_options={"combiner": "majority"})
        started = runtime.load(bundle, die, provider_options={"combiner": "select"})
        np.testing.assert_array_equal(started.run(None, {"x": x})[0], results["select"])


@settings(max_examples=60)
@given(
    targets(),
    st.integers(1, 150),
    st.sampled_from([1, 16, 65]),
    st.integers(0, 99),
    st.one_of(DIES, st.just("measured")),
    st.sampled_from([None, *COMBINERS]),
    st.booleans(),
)
def test_packed_cells_change_no_bit(target, inputs, outputs, seed, die, combiner, bit_serial) -> None:
    x = np.random.default_rng(seed).normal(0, 1, (1, 5, inputs)).astype(np.float32)
    one = (target, inputs, outputs, seed, True, None, seed % 3 == 0, combiner)
    with compiled(*one) as plain, compiled(*one, pack_cells=True) as packed:
        die = measured(plain, seed) if die == "measured" else die
        for isa in PATHS:
            options = {"isa": isa} | ({"force_bit_serial": "1"} if bit_serial else {})
            sessions = [runtime.load(b, die, provider_options=options) for b in (plain, packed)]
            results = [session.run(None, {"x": x})[0].tobytes() for session in sessions]
            assert results[0] == results[1], isa
            assert sessions[0].report() == sessions[1].report()


def renumbered(tiles: Tiles) -> None:
    tiles.placement.bitline_replica[tiles.placement.bitline_replica == 1] = 2


def half_inverted(tiles: Tiles) -> None:
    tiles.bitline_inverted[tiles.placement.bitline_replica == 1] ^= 1


def crowded(tiles: Tiles) -> None:
    tiles.placement.bitline_output[0, :16] = 0
    for name, values in (("digit", 0), ("replica", np.arange(16))):
        getattr(tiles.placement, f"bitline_{name}")[0, :16] = values
    tiles.bitline_inverted[0, :16] = 0


def unlike(tiles: Tiles) -> None:
    tiles.levels[0, 0, tiles.placement.bitline_replica[0] == 1] ^= 1


def test_the_provider_refuses_two_tiles_on_one_crossbar() -> None:
    def moved(tiles: Tiles) -> None:
        tiles.placement.crossbar[2] = tiles.placement.crossbar[0] = 7

    with (
        compiled(changed_target("reram128x128"), 40, 100, 0, edit=moved) as bundle,
        pytest.raises(BadInputError, match=r"layer 'proj': crossbar\[2\] is 7, as that of tile 0"),
    ):
        runtime.load(bundle)


@pytest.mark.parametrize("pack_cells", [False, True])
@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (renumbered, r"layer 'proj': bitline_replica\[\d+, \d+\] is 2, but replicas in a tile are numbered 0, 1"),
        (half_inverted, r"layer 'proj': bitline_inverted\[\d+, \d+\] is \d, but replicas are all inverted or all not"),
        (crowded, r"layer 'proj': bitline_replica\[0, 15\] is 15, but there may be 15 at most"),
        (unlike, r"layer 'proj': levels\[0\] differ between bitline \d+ and its replicas"),
    ],
)
def test_the_provider_refuses_broken_vote_groups(
    broken: Callable[[Tiles], None], message: str, pack_cells: bool
) -> None:
    target = changed_target("reram128x128")
    with (
        compiled(target, 40, 24, 0, combiner="median", edit=broken, pack_cells=pack_cells) as bundle,
        pytest.raises(BadInputError, match=message),
    ):
        runtime.load(bundle)
