"""Maps of chips: what `rcompile die` writes is the virtual die, and a map tells the runtime where each crossbar is
stuck, in either form.
"""

import sys
import tempfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from command_line import OK, UNSUPPORTED, USAGE, run
from hypothesis import given, settings
from hypothesis import strategies as st
from one_layer import compiled, layer_on
from small_models import changed_target, linear_model, save_arrays

import runtime
from rcompile import Bundle, compile_model, load_target
from rcompile.bundle.check import check
from rcompile.errors import BadInputError, UnsupportedError, UsageError
from rcompile.hardware.changes import with_effects
from rcompile.hardware.faults import chip_map, read_map, stuck_cells
from rcompile.hardware.target import Target
from runtime.die.write_map import write_chip_map

SMALL = changed_target("reram128x128", crossbar={"rows": 16, "cols": 24, "active_rows": 16})
ENDINGS = ("npz", "safetensors", "h5", "hdf5")
STICKING = ("clusters", "lines.wordline_rate=0.1", "stuck_between", "endurance")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    compile_model(linear_model(tmp_path / "m.onnx", 40, 24), SMALL, tmp_path / "bundle")
    return tmp_path / "bundle"


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 2**64 - 1),
    st.sampled_from([0.001, 0.01, 0.3]),
    st.sampled_from([0.0, 0.1]),
    st.sets(st.sampled_from(STICKING)),
    st.integers(2, 4),
    st.integers(1, 5),
)
def test_a_written_map_is_the_virtual_die(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    sa0: float,
    sa1: float,
    effects: set[str],
    bits: int,
    crossbars: int,
) -> None:
    target = changed_target("reram128x128", crossbar={"rows": 16, "cols": 24, "active_rows": 16}, cell={"bits": bits})
    die = runtime.Die(seed, sa0, sa1, with_effects(target, sorted(effects)).effects)
    folder = tmp_path_factory.mktemp("maps")
    written = write_chip_map(die, target, crossbars, folder / "map.npz")
    wanted = die.faults("any layer", np.arange(crossbars, dtype=np.int32), target)
    with np.load(folder / "map.npz") as arrays:
        np.testing.assert_array_equal(arrays["faults"], wanted)
    assert written.sa0 == (wanted == 1).mean() and written.sa1 == (wanted == 2).mean()
    write_chip_map(die, target, crossbars, folder / "again.npz")
    assert (folder / "map.npz").read_bytes() == (folder / "again.npz").read_bytes()
    some = np.random.default_rng(seed % 1000).integers(0, crossbars, 7).astype(np.int32)
    for ending in ENDINGS:
        path = folder / f"map.{ending}"
        if ending != "npz":
            save_arrays(path, {"faults": wanted})
        np.testing.assert_array_equal(chip_map(path, target).faults(some), wanted[some])


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_chip_and_its_layers_are_one_die(ending: str, tmp_path: Path) -> None:
    """Tiles are looked up by their crossbar, wherever it is."""
    x = np.random.default_rng(0).normal(0, 1, (1, 4, 300)).astype(np.float32)
    die = runtime.Die(5, 0.01, 0.05)

    def scatter(tiles) -> None:
        """Onto the crossbars of a chip of 40, in any order."""
        tiles.placement.crossbar[:] = np.random.default_rng(1).permutation(40)[: tiles.placement.tiles]

    with compiled(changed_target("reram128x128"), 300, 50, 0, edit=scatter) as opened:
        target, (entry,) = opened.manifest.target, opened.manifest.layers
        crossbars = opened.layer(entry).tiles.placement.crossbar
        faults = die.faults("", np.arange(40, dtype=np.int32), target)
        save_arrays(tmp_path / f"chip.{ending}", {"faults": faults})
        save_arrays(tmp_path / f"layers.{ending}", {entry.name: faults[crossbars]})
        session = runtime.load(opened, die)
        (virtual,) = session.run(None, {"x": x})
        for form in ("chip", "layers"):
            found = runtime.read_die(tmp_path / f"{form}.{ending}", opened)
            np.testing.assert_array_equal(layer_on(opened, found).levels, layer_on(opened, die).levels)
            session.set_die(found)
            np.testing.assert_array_equal(session.run(None, {"x": x})[0], virtual)


GOOD = np.zeros((30, 16, 24), np.uint8)
SIEMENS = np.full(GOOD.shape, 1e-4, np.float32)
WRONG = {
    "no array": ({}, "holds no array"),
    "another crossbar": ({"faults": GOOD[:, :8]}, "`faults` is uint8 [30, 8, 24], target 'reram128x128' needs uint8"),
    "no crossbars": ({"faults": GOOD[:0]}, "of one crossbar at least"),
    "one crossbar alone": ({"faults": GOOD[0]}, "`faults` is uint8 [16, 24]"),
    "another type": ({"faults": GOOD.astype(np.int32)}, "`faults` is int32"),
    "unknown values": ({"faults": GOOD + 3}, "holds 3 at [0, 0, 0]; 0 is good, 1 SA0, 2 SA1, 16 .. 19 stuck at level"),
    "a level above the top": ({"faults": GOOD + 20}, "holds 20"),
    "too few crossbars": ({"faults": GOOD[:2]}, "has crossbars 0 .. 1, a tile is on crossbar 11"),
    "something beside it": ({"faults": GOOD, "conductance": GOOD}, "holds conductance, faults; the map of a chip is"),
    "conductances of another type": (
        {"faults": GOOD, "siemens": GOOD},
        "`siemens` is uint8 [30, 16, 24], it must be float32 [30",
    ),
    "conductances of fewer": (
        {"faults": GOOD, "siemens": SIEMENS[:9]},
        "`siemens` is float32 [9, 16, 24], it must be float32 [30",
    ),
    "no conductance": ({"faults": GOOD, "siemens": SIEMENS * np.nan}, "holds nan siemens at [0, 0, 0]"),
    "conductances alone": ({"siemens": SIEMENS}, "no layer 'siemens'"),
    "Fortran order": ({"faults": np.asfortranarray(GOOD)}, "stored in Fortran order"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_map_that_does_not_fit_is_one_message(case: str, bundle: Path, tmp_path: Path) -> None:
    arrays, message = WRONG[case]
    np.savez(tmp_path / "map.npz", **arrays)
    with pytest.raises(BadInputError) as error:
        runtime.read_die(tmp_path / "map.npz", Bundle.open(bundle))
    assert message in str(error.value)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_that_is_no_map_is_one_message(ending: str, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / f"map.{ending}").write_bytes(b"a fault map, they said")
    with pytest.raises(BadInputError, match="cannot read fault map"):
        runtime.read_die(tmp_path / f"map.{ending}", Bundle.open(bundle))
    np.savez(tmp_path / "whole.npz", faults=GOOD)
    with zipfile.ZipFile(tmp_path / "cut.npz", "w") as cut, zipfile.ZipFile(tmp_path / "whole.npz") as whole:
        cut.writestr("faults.npy", whole.read("faults.npy")[:1000])
    with pytest.raises(BadInputError, match="ends within an array"):
        runtime.read_die(tmp_path / "cut.npz", Bundle.open(bundle))


def test_the_command_writes_what_the_runtime_would_draw(tmp_path: Path) -> None:
    out = tmp_path / "map.npz"
    base = ("die", "--target", "reram128x128-ou16", "--crossbars", 3, "--seed", 8, "-o", out)
    done = run(*base, "--sa0", "target", "--sa1", 0.2, "--effect", "lines.bitline_rate=0.05")
    assert (done.exit_code, "3 crossbars" in done.stdout) == (OK, True), done.output
    target: Target = load_target("reram128x128-ou16")
    effects = with_effects(target, ["lines.bitline_rate=0.05"]).effects
    wanted = runtime.Die(8, 0.0175, 0.2, effects).faults("", np.arange(3, dtype=np.int32), target)
    np.testing.assert_array_equal(np.load(out)["faults"], wanted)
    assert run(*base).exit_code == USAGE  # it exists
    assert run(*base, "--force").exit_code == OK
    assert not np.load(out)["faults"].any()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--effect", "variation"), "variation makes none stick"),
        (("--sa0", 0.7, "--sa1", 0.7), "must be shares of all cells"),
        (("--crossbars", 0), "1 .. 1048576 crossbars, not 0"),
        (("--seed", -1), "is not in 0"),
        (("-o", "map.safetensors"), "is no .npz"),
    ],
)
def test_what_is_no_map_is_not_written(more: tuple[object, ...], message: str, tmp_path: Path) -> None:
    out = tmp_path / "map.npz"
    refused = run("die", "--target", "reram128x128", "--crossbars", 2, "--seed", 1, "-o", out, *more)
    assert (refused.exit_code, message in refused.stderr) == (USAGE, True), refused.output
    assert not list(tmp_path.iterdir())


def test_a_map_by_layer_is_no_chip(tmp_path: Path) -> None:
    np.savez(tmp_path / "map.npz", proj=GOOD)
    with pytest.raises(BadInputError, match="holds proj; the map of a chip is an array `faults`"):
        chip_map(tmp_path / "map.npz", SMALL)
    with pytest.raises(UsageError, match="exists"):
        write_chip_map(runtime.Die(), SMALL, 1, tmp_path / "map.npz")


@settings(deadline=None)
@given(st.integers(1, 4), st.sampled_from([0.0, 1e-6, 5e-5]), st.integers(0, 1000), st.sampled_from(ENDINGS))
def test_stuck_cells_have_the_level_that_they_conduct_at(bits: int, hrs: float, seed: int, ending: str) -> None:
    """And good ones are good, whatever they conduct."""
    cell = {"bits": bits, "g_hrs_siemens": hrs, "g_lrs_siemens": 7.5e-4}
    target = changed_target("reram128x128", crossbar={"rows": 16, "cols": 24, "active_rows": 16}, cell=cell)
    rng = np.random.default_rng(seed)
    faults = rng.choice([0, 1, 2, 16, 16 + target.top_level], (5, 16, 24)).astype(np.uint8)
    level = rng.uniform(-0.5, target.top_level + 0.5, faults.shape)
    level[rng.random(level.shape) < 0.3] *= 40
    away = np.abs(level % 1 - 0.5) > 1e-3  # from a tie, which float32 may break
    siemens = (hrs + level / target.top_level * (7.5e-4 - hrs)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = save_arrays(Path(folder) / f"map.{ending}", {"faults": faults, "siemens": siemens})
        chip = chip_map(path, target)
        found = chip.faults(np.array([4, 1, 0], np.int32))
        np.testing.assert_array_equal(chip.stuck_cells(), np.count_nonzero(faults, axis=(1, 2)))
    wanted = np.where(faults == 0, 99, np.rint(level).clip(0, target.top_level))[[4, 1, 0]]
    held = stuck_cells(found, target.top_level, 99)
    np.testing.assert_array_equal(held[away[[4, 1, 0]]], wanted[away[[4, 1, 0]]])


def test_what_stuck_cells_conduct_is_compiled_and_evaluated(tmp_path: Path) -> None:
    """A cell that a test called stuck at LRS, and that conducts as level 1 does, holds level 1."""
    faults = np.where(np.random.default_rng(0).random((4, 16, 24)) < 0.3, 2, 0).astype(np.uint8)
    siemens = np.full(faults.shape, SMALL.conductance_siemens(1) * 1.1, np.float32)
    np.savez(tmp_path / "as-measured.npz", faults=faults, siemens=siemens)
    np.savez(tmp_path / "as-said.npz", faults=np.where(faults == 2, 17, 0).astype(np.uint8))
    model, held = linear_model(tmp_path / "m.onnx", 12, 6), []
    for name in ("as-measured", "as-said"):
        compile_model(model, SMALL, tmp_path / name, die_map=tmp_path / f"{name}.npz")
        opened = Bundle.open(tmp_path / name)
        die = runtime.read_die(tmp_path / f"{name}.npz", opened)
        assert not [problem for _, found in check(opened, tmp_path / f"{name}.npz") for problem in found]
        (entry,) = opened.manifest.layers
        held.append((opened.layer(entry).tiles.levels, layer_on(opened, die).levels))
    for measured, said in zip(*held, strict=True):
        np.testing.assert_array_equal(measured, said)


def test_an_hdf5_map_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In chunks, compressed, below groups; and a link to it is no array of its own."""
    faults = np.random.default_rng(0).integers(0, 3, (30, 16, 24)).astype(np.uint8)
    with h5py.File(tmp_path / "map.h5", "w") as stored:
        stored.create_dataset("faults", data=faults, chunks=(4, 16, 24), compression="gzip")
        stored["latest"] = h5py.SoftLink("/faults")
        stored["elsewhere"] = h5py.ExternalLink("other.h5", "/faults")
    monkeypatch.setattr("rcompile.hardware.faults.PART_CELLS", 7 * 16 * 24)
    chip = chip_map(tmp_path / "map.h5", SMALL)
    some = np.array([29, 3, 8, 7], np.int32)
    np.testing.assert_array_equal(chip.faults(some), faults[some])
    np.testing.assert_array_equal(chip.stuck_cells(), np.count_nonzero(faults, axis=(1, 2)))
    save_arrays(tmp_path / "layers.h5", {"encoder/0/query": faults[:2], "encoder/1": faults})
    assert {name: array.shape for name, array in read_map(tmp_path / "layers.h5").items()} == {
        "encoder/0/query": (2, 16, 24),
        "encoder/1": (30, 16, 24),
    }


def test_an_hdf5_map_that_is_elsewhere_or_unpacks_whole_is_refused(tmp_path: Path) -> None:
    save_arrays(tmp_path / "other.h5", {"faults": GOOD})
    layout = h5py.VirtualLayout(GOOD.shape, np.uint8)
    layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "faults", GOOD.shape)
    (tmp_path / "raw").write_bytes(GOOD.tobytes())
    with h5py.File(tmp_path / "virtual.h5", "w") as stored:
        stored.create_virtual_dataset("faults", layout)
    with h5py.File(tmp_path / "external.h5", "w") as stored:
        stored.create_dataset("faults", GOOD.shape, np.uint8, external=[(str(tmp_path / "raw"), 0, GOOD.size)])
    with h5py.File(tmp_path / "large.h5", "w") as stored:
        stored.create_dataset("faults", (1 << 18, 16, 24), np.uint8, chunks=(1 << 18, 16, 24), compression="gzip")
    with h5py.File(tmp_path / "empty.h5", "w") as stored:
        stored["faults"] = h5py.Empty("u1")
    for name, message in (
        ("virtual", "'faults' is virtual or external"),
        ("external", "'faults' is virtual or external"),
        ("large", "chunks of more than 64 MiB"),
        ("empty", r"`faults` is uint8 \[\]"),
    ):
        with pytest.raises(BadInputError, match=message):
            chip_map(tmp_path / f"{name}.h5", SMALL)


def test_hdf5_without_its_package_says_what_to_install(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_arrays(tmp_path / "map.h5", {"faults": GOOD})
    monkeypatch.setitem(sys.modules, "h5py", None)
    refused = run(tmp_path / "m.onnx", "--target", "reram128x128", "--die-map", tmp_path / "map.h5")
    assert (refused.exit_code, "pip install 'rcompile[hdf5]'" in refused.stderr) == (UNSUPPORTED, True)
    with pytest.raises(UnsupportedError, match="is an HDF5 file"):
        runtime.read_die(tmp_path / "map.h5", Bundle.open(bundle))
