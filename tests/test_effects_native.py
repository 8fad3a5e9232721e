"""The native provider computes every effect as the reference does, bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_layer import PATHS, compiled, expected, layer_on, targets
from small_models import changed, changed_target

import runtime
from rcompile.effects import (
    Clusters,
    Drift,
    Effects,
    Endurance,
    Lines,
    Retention,
    StuckBetween,
    Temperature,
    Variation,
    Wires,
    WriteVerify,
)
from runtime import reference
from runtime.faults import Fault

RATES = st.sampled_from([0.0, 0.01, 0.3])
STUCK = {
    "clusters": st.builds(Clusters, side_cells=st.sampled_from([1, 3, 16, 200]), alpha=st.integers(1, 4)),
    "lines": st.builds(Lines, wordline_rate=RATES, bitline_rate=RATES, crossbar_rate=st.sampled_from([0.0, 0.3])),
    "endurance": st.builds(Endurance, write_cycles=st.sampled_from([1e5, 1e7])),
    "stuck_between": st.builds(StuckBetween, rate=st.sampled_from([0.02, 0.5])),
}
CELLS = {
    "variation": st.builds(
        Variation, distribution=st.sampled_from(["normal", "lognormal"]), sigma=st.sampled_from([0.0, 0.02, 0.4])
    ),
    "drift": st.builds(Drift, nu=st.sampled_from([0.0, 0.1]), nu_sigma=st.sampled_from([0.0, 0.05])),
    "retention": st.builds(Retention, characteristic_second=st.sampled_from([1e4, 1e8])),
    "temperature": st.builds(Temperature, coefficient_per_kelvin=st.sampled_from([-0.001, 0.002])),
    "wires": st.builds(
        Wires, wordline_segment_ohm=st.sampled_from([0.0, 0.73, 50.0]), bitline_segment_ohm=st.sampled_from([0.73, 1e4])
    ),
}


def some(kinds: dict[str, st.SearchStrategy], target) -> st.SearchStrategy[Effects]:
    """Effects of these kinds, any number of them at a time."""
    kinds = {name: kind for name, kind in kinds.items() if name != "stuck_between" or target.cell.bits > 1}
    return st.fixed_dictionaries({}, optional=kinds).map(lambda on: Effects(**on))


@settings(max_examples=40)
@given(st.data(), targets(), st.integers(1, 150), st.sampled_from([1, 16, 65]), st.integers(0, 999), RATES, RATES)
def test_stuck_cells(data, target, inputs, outputs, seed, sa0, sa1) -> None:
    """Clusters, lines, wear and levels between: the products and the counts."""
    x = np.random.default_rng(seed).normal(0, 1, (1, 3, inputs)).astype(np.float32)
    die = runtime.Die(seed, sa0, sa1, data.draw(some(STUCK, target)))
    with compiled(target, inputs, outputs, seed, seed % 2 == 1) as bundle:
        (entry,) = bundle.manifest.layers
        faults, wanted = die.faults(entry, target), expected(bundle, x, die)
        proven = reference.collapsible(layer_on(bundle, die).levels, bundle.layer(entry).tiles, target)
        for isa in PATHS:
            session = runtime.load(bundle, die, provider_options={"isa": isa})
            np.testing.assert_array_equal(session.run(None, {"x": x})[0], wanted, err_msg=isa)
            (row,) = session.report()
            counts = [(faults == Fault.SA0).sum(), (faults == Fault.SA1).sum(), (faults >= Fault.STUCK_AT).sum()]
            assert [row.sa0, row.sa1, row.between] == counts
            assert row.collapsed == proven.sum()


@settings(max_examples=60)
@given(
    st.data(),
    targets(),
    st.integers(1, 150),
    st.sampled_from([1, 16, 65]),
    st.sampled_from([1, 5, 9]),
    st.integers(0, 999),
    st.sampled_from(["none", "cell", "select"]),
    st.booleans(),
)
def test_cells(data, target, inputs, outputs, rows, seed, combiner, verified) -> None:
    """Analog levels behind ideal converters: exact weights on the grid."""
    target = changed(target, adc={"bits": 0, "step_levels": 1.0})
    x = np.random.default_rng(seed).normal(0, 1, (1, rows, inputs)).astype(np.float32)
    effects = data.draw(some(CELLS | STUCK, target))
    if verified and effects.variation and effects.variation.distribution == "normal":
        effects = effects.model_copy(update={"write_verify": WriteVerify(tolerance=0.01)})
    die = runtime.Die(seed, data.draw(RATES) / 2, 0.02, effects)
    with compiled(target, inputs, outputs, seed, seed % 2 == 1, combiner=combiner) as bundle:
        (entry,) = bundle.manifest.layers
        wanted, tiles = expected(bundle, x, die), bundle.layer(entry).tiles
        proven = reference.collapsible(layer_on(bundle, die).levels, tiles, target, combiner)
        for isa in PATHS:
            session = runtime.load(bundle, die, provider_options={"isa": isa})
            (y,) = session.run(None, {"x": x})
            np.testing.assert_array_equal(y.view(np.uint32), wanted.view(np.uint32), err_msg=isa)
            assert session.report()[0].collapsed == proven.sum()


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
