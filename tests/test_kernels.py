"""The native kernels equal the NumPy reference bit for bit, whatever the shape, the target, the placement and the
die.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_layer import COMBINERS, DIES, PATHS, compiled, expected, layer_on, measured, targets
from small_models import IDEAL_ADC, changed_target

import runtime
from rcompile.hardware.target import Target
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
