"""Replicas in the provider: the native votes equal the NumPy reference bit for bit, the combiner changes on a live
session, and tiles that break the rules of placement are refused.
"""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_layer import COMBINERS, DIES, PATHS, compiled, expected, layer_on, measured, targets
from small_models import changed_target

import runtime
from rcompile.errors import BadInputError, UsageError
from rcompile.layout.normal_form import Tiles
from rcompile.vocabulary import Combiner, words
from runtime.product import reference


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
