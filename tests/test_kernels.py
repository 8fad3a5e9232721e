"""The native kernels equal the NumPy reference bit for bit, whatever the shape, the target, the placement and the die."""

import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import changed_target, linear_model

import runtime
from rcompile import emit
from rcompile.bundle import Bundle
from rcompile.compact import compact
from rcompile.encode import encode
from rcompile.form import Placement
from rcompile.frontend import find_linears
from rcompile.host import rewrite_host
from rcompile.manifest import Options
from rcompile.place import place
from rcompile.quantize import quantize
from rcompile.read import read_model
from rcompile.target import Target
from rcompile.work import LayerWork
from runtime import reference
from runtime.dies import apply_faults

CPU_FLAGS = Path("/proc/cpuinfo").read_text() if platform.machine() == "x86_64" else ""
PATHS = (
    ["portable"]
    + ["avx2"] * ("avx2" in CPU_FLAGS)
    + ["avx512"] * ("avx512_vnni" in CPU_FLAGS and "avx512_vpopcntdq" in CPU_FLAGS)
)


@st.composite
def targets(draw: st.DrawFn) -> Target:
    """Hardware of every kind that the model knows."""
    encoding = draw(st.sampled_from(["offset", "differential"]))
    rows, bits = draw(st.sampled_from([1, 7, 16, 64, 128, 130])), draw(st.integers(1, 4))
    top = 2**bits - 1
    ideal = draw(st.booleans())
    return changed_target(
        "ideal128x128",
        crossbar={"rows": rows, "cols": draw(st.sampled_from([16, 33, 64])), "active_rows": draw(st.integers(1, rows))},
        cell={"bits": bits, "g_lrs_siemens": 1e-4, "g_hrs_siemens": draw(st.sampled_from([0.0, 1e-6, 1.3e-5]))},
        weights={
            "bits": draw(st.integers(2, 8)),
            "encoding": encoding,
            "column_inversion": draw(st.booleans()),
        },
        input={
            "bits": draw(st.integers(2, 8)),
            "coding": draw(st.sampled_from(["twos_complement", "sign_magnitude", "offset"])),
        },
        adc={
            "bits": 0 if ideal else draw(st.integers(1, (rows * top).bit_length() + 1)),
            "step_levels": draw(st.sampled_from([1.0, 1.0, 1.0, 2.0, 1.5, 0.7])),
        },
    )


def shuffled(placement: Placement, rng: np.random.Generator) -> Placement:
    """The same weights elsewhere: wordlines and bitlines of each row block permuted, tiles in another order."""
    wordlines, maps = (
        placement.wordline_input.copy(),
        [
            a.copy()
            for a in (
                placement.bitline_output,
                placement.bitline_slice,
                placement.bitline_polarity,
                placement.bitline_replica,
            )
        ],
    )
    for block in placement.row_blocks():
        wordlines[block] = wordlines[block][:, rng.permutation(wordlines.shape[1])]
        # Across the row block's tiles: slices of one output may part.
        order = rng.permutation(maps[0][block].size)
        for a in maps:
            a[block] = a[block].reshape(-1)[order].reshape(a[block].shape)
    return Placement(wordlines, *maps)


@contextmanager
def compiled(
    target: Target, inputs: int, outputs: int, seed: int, shuffle: bool, input_scale: float | None, prune: bool = False
) -> Iterator[Bundle]:
    """A bundle of one linear, its placement shuffled or plain."""
    folder = Path(tempfile.mkdtemp())
    try:
        model = linear_model(folder / "linear.onnx", inputs, outputs, seed)
        graph = read_model(model)
        (linear,) = find_linears(graph).linears
        quantized = quantize(linear, target)
        rng = np.random.default_rng(seed)
        if prune:
            quantized.codes[rng.random(inputs) < 0.3] = 0
            quantized.codes[:, rng.random(outputs) < 0.3] = 0
        placement = place(compact(quantized), target)
        if shuffle:
            placement = shuffled(placement, rng)
        work = LayerWork(linear, quantized, placement, encode(quantized, placement, target))
        (folder / "tiles").mkdir()
        scales = {} if input_scale is None else {use.name: input_scale for use in linear.uses}
        written = emit.write_layers(folder, [work], scales, target)
        emit.write_host(folder, rewrite_host(graph, written.mapped, target, folder))
        options = Options(input_scale="dynamic", calibration_sha256=None, keep_on_host=())
        emit.write_manifest(folder, target, model, 17, None, options, (), written, ())
        yield Bundle.open(folder)
    finally:
        shutil.rmtree(folder)


def expected(
    bundle: Bundle, x: np.ndarray, die: runtime.Die | runtime.MeasuredDie | None, input_scale: float | None
) -> np.ndarray:
    (entry,) = bundle.manifest.layers
    layer, target = bundle.layer(entry), bundle.manifest.target
    levels = layer.tiles.levels
    if die is not None:
        faults = die.faults(entry, target.crossbar.rows, target.crossbar.cols)
        levels = apply_faults(levels, faults, target.top_level)
    bias = layer.biases[entry.nodes[0].bias]
    return reference.linear(x, levels, layer.tiles, layer.weight_scale, bias, target, input_scale)


DIES = st.one_of(
    st.none(),
    st.builds(
        runtime.Die,
        st.integers(0, 2**64 - 1),
        st.sampled_from([0.0, 0.001, 0.2]),
        st.sampled_from([0.0, 0.001, 0.01, 0.3]),
    ),
)


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
        faults = (die or runtime.Die()).faults(entry, target.crossbar.rows, target.crossbar.cols)
        levels = apply_faults(layer.tiles.levels, faults, target.top_level)
        (row,) = runtime.load(bundle, die).report()
        assert (row.sa0, row.sa1, row.cells) == ((faults == 1).sum(), (faults == 2).sum(), faults.size)
        assert row.bitlines == (layer.tiles.placement.bitline_output >= 0).sum()
        assert row.collapsed == reference.collapsible(levels, layer.tiles, target).sum()


def test_a_measured_die_is_the_die_that_was_measured(tmp_path: Path) -> None:
    """A virtual die's faults, read back into a file, give the same numbers."""
    x = np.random.default_rng(0).normal(0, 1, (1, 4, 300)).astype(np.float32)
    die = runtime.Die(5, 0.01, 0.05)
    with compiled(changed_target("reram128x128"), 300, 50, 0, False, None) as bundle:
        (entry,) = bundle.manifest.layers
        np.savez(tmp_path / "die.npz", **{entry.name: die.faults(entry, 128, 128)})
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
