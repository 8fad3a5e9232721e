"""The native provider computes every effect as the reference does, bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_layer import COMBINERS, PATHS, compiled, expected, layer_on, targets
from small_models import IDEAL_ADC, changed, changed_target

import runtime
from rcompile.hardware.effects.adc_error import AdcError
from rcompile.hardware.effects.clusters import Clusters
from rcompile.hardware.effects.drift import Drift
from rcompile.hardware.effects.endurance import Endurance
from rcompile.hardware.effects.lines import Lines
from rcompile.hardware.effects.read_noise import ReadNoise
from rcompile.hardware.effects.retention import Retention
from rcompile.hardware.effects.soft_errors import SoftErrors
from rcompile.hardware.effects.stuck_between import StuckBetween
from rcompile.hardware.effects.table import Effects
from rcompile.hardware.effects.temperature import Temperature
from rcompile.hardware.effects.variation import Variation, WriteVerify
from rcompile.hardware.effects.wires import Wires
from rcompile.hardware.faults import Fault
from rcompile.hardware.target import Target
from runtime.product import reference

RATES = st.sampled_from([0.0, 0.01, 0.3])
STUCK = {
    "clusters": st.builds(Clusters, side_cells=st.sampled_from([1, 3, 16, 200]), alpha=st.integers(1, 4)),
    "lines": st.builds(
        Lines, wordline_rate=st.sampled_from([0.01, 0.3]), bitline_rate=RATES, crossbar_rate=st.sampled_from([0.0, 0.3])
    ),
    "endurance": st.builds(Endurance, write_cycles=st.sampled_from([1e5, 1e7])),
    "stuck_between": st.builds(StuckBetween, rate=st.sampled_from([0.02, 0.5])),
}
CELLS = {
    "variation": st.builds(
        Variation, distribution=st.sampled_from(["normal", "lognormal"]), sigma=st.sampled_from([0.005, 0.02, 0.4])
    ),
    "drift": st.builds(Drift, nu=st.sampled_from([0.0, 0.1]), nu_sigma=st.sampled_from([0.0, 0.05])),
    "retention": st.builds(Retention, characteristic_second=st.sampled_from([1e4, 1e8])),
    "temperature": st.builds(Temperature, coefficient_per_kelvin=st.sampled_from([-0.001, 0.002])),
    "wires": st.builds(
        Wires, wordline_segment_ohm=st.sampled_from([0.0, 0.73, 50.0]), bitline_segment_ohm=st.sampled_from([0.73, 1e4])
    ),
}


SMALL, ABOVE_ZERO = st.sampled_from([0.0, 0.02, 0.5]), st.sampled_from([0.02, 0.5])
NOISE = {"read_noise": st.builds(ReadNoise, cell_sigma=SMALL, converter_sigma_levels=ABOVE_ZERO)}
CONVERTERS = {
    "adc_error": st.builds(
        AdcError, offset_levels=SMALL, gain_error=st.sampled_from([0.0, -0.5]), gain_error_sigma=SMALL
    ),
    "soft_errors": st.builds(
        SoftErrors,
        adc_code_rate=ABOVE_ZERO,
        adc_code_bit=st.sampled_from([None, 0]),
        activation_rate=SMALL,
        activation_bit=st.sampled_from([None, 1]),
    ),
}
IDEAL_NOISE = {
    "read_noise": st.builds(ReadNoise, cell_sigma=ABOVE_ZERO),
    "soft_errors": st.builds(SoftErrors, activation_rate=ABOVE_ZERO),
}


def some(kinds: dict[str, st.SearchStrategy], target: Target) -> st.SearchStrategy[Effects]:
    """Effects of these kinds, any number of them at a time."""
    kinds = {name: kind for name, kind in kinds.items() if name != "stuck_between" or target.cell.bits > 1}
    return st.fixed_dictionaries({}, optional=kinds).map(verified)


def verified(on: dict) -> Effects:
    """Some of the normal variations with write-verify."""
    variation = on.get("variation")
    if variation and variation.distribution == "normal" and len(on) % 2:
        on = on | {"write_verify": WriteVerify(tolerance=0.01)}
    return Effects(**on)


def check(
    target: Target, x: np.ndarray, outputs: int, seed: int, die: runtime.Die, combiner: str, **options: str
) -> None:
    """The product on every instruction set, and the report."""
    if die.effects.clusters and not die.sa0 + die.sa1:
        return  # clusters need stuck cells
    with compiled(target, x.shape[-1], outputs, seed, seed % 2 == 1, prune=seed % 3 == 0, combiner=combiner) as bundle:
        (entry,) = bundle.manifest.layers
        faults, wanted, layer = (
            die.faults(entry.name, bundle.layer(entry).tiles.placement.crossbar, target),
            expected(bundle, x, die),
            layer_on(bundle, die),
        )
        tiles = bundle.layer(entry).tiles
        proven = reference.collapsible(layer.levels, tiles, target, combiner, layer.reading)
        for isa in PATHS:
            session = runtime.load(bundle, die, provider_options={"isa": isa} | options)
            (y,) = session.run(None, {"x": x})
            np.testing.assert_array_equal(y.view(np.uint32), wanted.view(np.uint32), err_msg=isa)
            (row,) = session.report()
            counts = [(faults == Fault.SA0).sum(), (faults == Fault.SA1).sum(), (faults >= Fault.STUCK_AT).sum()]
            assert [row.sa0, row.sa1, row.between] == counts
            assert row.collapsed == (0 if options else proven.sum())


def rows_of(seed: int, rows: int, inputs: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (1, rows, inputs)).astype(np.float32)


SHAPES = {
    "inputs": st.integers(1, 150),
    "outputs": st.sampled_from([1, 16, 65]),
    "rows": st.sampled_from([1, 5, 9]),
    "seed": st.integers(0, 999),
}


@settings(max_examples=12)
@given(data=st.data(), target=targets(), sa0=RATES, sa1=RATES, **SHAPES)
def test_stuck_cells(data, target, sa0, sa1, inputs, outputs, rows, seed) -> None:
    """Clusters, lines, wear and levels between: the products and the counts."""
    die = runtime.Die(seed, sa0, sa1, data.draw(some(STUCK, target)))
    check(target, rows_of(seed, rows, inputs), outputs, seed, die, "none")


@settings(max_examples=12)
@given(data=st.data(), target=targets(), combiner=st.sampled_from(COMBINERS), **SHAPES)
def test_analog_cells_behind_ideal_converters(data, target, combiner, inputs, outputs, rows, seed) -> None:
    """Exact weights on the grid, but for votes."""
    target = changed(target, adc=IDEAL_ADC)
    die = runtime.Die(seed, data.draw(RATES) / 2, 0.02, data.draw(some(CELLS | STUCK, target)))
    check(target, rows_of(seed, rows, inputs), outputs, seed, die, combiner)


@settings(max_examples=24)
@given(
    data=st.data(),
    target=targets(),
    combiner=st.sampled_from(COMBINERS),
    options=st.sampled_from([{}, {}, {"force_bit_serial": "1"}]),
    **SHAPES,
)
def test_everything_at_once(data, target, combiner, options, inputs, outputs, rows, seed) -> None:
    reads = NOISE | CONVERTERS if target.adc.bits else IDEAL_NOISE
    die = runtime.Die(seed, data.draw(RATES) / 2, 0.02, data.draw(some(CELLS | STUCK | reads, target)))
    check(target, rows_of(seed, rows, inputs), outputs, seed, die, combiner, **options)


EACH = [
    pytest.param(Effects(**{name: kind}), id=f"{name}{i}")
    for i, (name, kind) in enumerate(
        [
            ("variation", Variation()),
            ("drift", Drift()),
            ("wires", Wires()),
            ("read_noise", ReadNoise()),
            ("read_noise", ReadNoise(cell_sigma=0.0, converter_sigma_levels=0.4)),
            ("adc_error", AdcError()),
            ("soft_errors", SoftErrors(adc_code_rate=0.01)),
            ("soft_errors", SoftErrors(activation_rate=0.05)),
            ("retention", Retention(characteristic_second=1e5)),
        ]
    )
]


@pytest.mark.parametrize(
    ("name", "combiner"),
    [
        ("reram128x128", "none"),
        ("reram128x128-diff", "median"),
        ("reram64x64-slc", "mean"),
        ("reram128x128-ou16", "select"),
    ],
)
@pytest.mark.parametrize("effects", EACH)
def test_each_effect_on_shipped_targets(effects: Effects, name: str, combiner: str) -> None:
    """Alone, with a step of one level, and with a row of zeros, which is not silent with noise."""
    x = rows_of(3, 3, 140)
    x[0, 1] = 0
    check(changed_target(name), x, 5, 4, runtime.Die(7, 0.002, 0.01, effects), combiner)


def test_more_rows_than_are_read_at_once() -> None:
    effects = Effects(variation=Variation(), read_noise=ReadNoise(), adc_error=AdcError())
    for combiner in ("none", "median"):
        check(changed_target("reram128x128"), rows_of(3, 131, 20), 3, 4, runtime.Die(7, 0, 0.01, effects), combiner)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_maps_with_cells_stuck_between(bits: int) -> None:
    """Packed with 2, 4 or 8 bits a cell; the number of cells is no multiple of those in a byte."""
    target = changed_target("reram128x128", crossbar={"rows": 9, "cols": 11, "active_rows": 9}, cell={"bits": bits})
    rng = np.random.default_rng(bits)
    x = rng.normal(0, 1, (1, 4, 25)).astype(np.float32)
    with compiled(target, 25, 7, 0) as bundle:
        (entry,) = bundle.manifest.layers
        kinds = [0, 0, 1, 2, *(Fault.STUCK_AT + level for level in range(1, target.top_level))]
        faults = rng.choice(np.array(kinds, np.uint8), (entry.tiles, 9, 11))
        die = runtime.MeasuredDie({entry.name: faults})
        session = runtime.load(bundle, die)
        np.testing.assert_array_equal(session.run(None, {"x": x})[0], expected(bundle, x, die))
        (row,) = session.report()
        assert [row.sa0, row.sa1] == [(faults == Fault.SA0).sum(), (faults == Fault.SA1).sum()]
        assert row.between == (faults >= Fault.STUCK_AT).sum()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "die: '' is neither 'map' nor KEY=VALUE"),
        ("seed=1,", "die: '' is neither"),
        ("seed=1,seed=2", "die: 'seed' is given twice"),
        ("map,map", "die: 'map' is given twice"),
        ("sa9=1", "die: there is no key 'sa9'"),
        ("clean,sa0=0.1", "die: 'clean' is neither"),
        ("sa0=nan", r"die: sa0 'nan' is not in 0 \.\. 1"),
        ("seed=-1", "die: seed '-1' is not a number"),
        ("sa0=0.4,sa1=0.4,between=0.4", "sa0, sa1 and between add up to more than 1"),
        ("map,sa0=0.1", "'map' says which cells are stuck"),
        ("cluster_side=1.5", "die: cluster_side '1.5' is not a number"),
        ("cluster_alpha=0", r"die: cluster_alpha '0' is not in 1 \.\. 64"),
        ("mean=1:2,sigma=0:0,reach=1,spread=0:0", "die: reach has 1 numbers, but mean has 2"),
        ("mean=1:,sigma=0:0,reach=1:1,spread=0:0", "die: mean '' is not a number"),
        ("mean=1:2,sigma=0:0,reach=1:1,spread=0:0", "layer 'proj': die: mean has 2 numbers, but cells have 4 levels"),
        ("activation_flip=0.1,activation_flip_bit=8", r"activation_flip_bit '8' is not in -1 \.\. 7"),
        ("wordline_drop=0.1", "wordline_drop and bitline_drop need mean"),
        ("offset_sigma=inf", "die: offset_sigma 'inf' is not in"),
        ("code_flip_bit=16", r"die: code_flip_bit '16' is not in -1 \.\. 15"),
    ],
)
def test_a_die_option_that_is_refused_changes_nothing(text: str, message: str) -> None:
    x = np.random.default_rng(0).normal(0, 1, (1, 2, 40)).astype(np.float32)
    with compiled(changed_target("reram128x128"), 40, 24, 0) as bundle:
        session = runtime.load(bundle, runtime.Die(1, 0.1, 0.1))
        before = session.run(None, {"x": x})[0]
        with pytest.raises(Exception, match=message):
            session.set_ep_dynamic_options({"rcompile.die": text})
        np.testing.assert_array_equal(session.run(None, {"x": x})[0], before)
