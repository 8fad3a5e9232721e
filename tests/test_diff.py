"""The cells that a second programming of a chip changes."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import FAILED, OK, run
from edited_bundles import change
from small_models import save_arrays, tiny_classifier

from rcompile import Bundle, CompileOptions, compile_model
from rcompile.bundle.diff import diff

TARGET, CROSSBARS = "reram128x128", 9


def cells(bundle: Path) -> np.ndarray:
    """The chip as programmed: i16 [crossbars, rows, cols], -1 on crossbars without a tile."""
    chip, opened = np.full((CROSSBARS, 128, 128), -1, np.int16), Bundle.open(bundle)
    for entry in opened.manifest.layers:
        tiles = opened.layer(entry).tiles
        chip[tiles.placement.crossbar] = tiles.levels
    return chip


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model for two maps of one chip, of which the second knows more stuck cells; and in other digits."""
    folder = tmp_path_factory.mktemp("diff")
    model, rng = tiny_classifier(folder / "m.onnx"), np.random.default_rng(0)
    faults = np.where(rng.random((CROSSBARS, 128, 128)) < 0.03, 2, 0).astype(np.uint8)
    for name in ("old", "new"):
        die_map = save_arrays(folder / f"{name}.npz", {"faults": faults})
        compile_model(model, TARGET, folder / name, CompileOptions(protect="none"), die_map=die_map)
        faults[4:] = np.where(rng.random(faults[4:].shape) < 0.05, 1, faults[4:])
    compile_model(model, TARGET, folder / "redundant", die_map=folder / "new.npz")
    return folder


@pytest.mark.parametrize(("a", "b"), [("old", "new"), ("new", "redundant"), ("redundant", "old")])
def test_cells_of_a_chip_are_compared_where_they_are(a: str, b: str, bundles: Path) -> None:
    before, after = cells(bundles / a), cells(bundles / b)
    unused = [(chip[:, 0, 0] < 0) for chip in (before, after)]
    change = np.where((unused[0] | unused[1])[:, None, None], 0, after - before)
    found = diff(Bundle.open(bundles / a), Bundle.open(bundles / b))
    assert found.crossbars_only_in_a == tuple(np.flatnonzero(unused[1] & ~unused[0]))
    assert found.crossbars_only_in_b == tuple(np.flatnonzero(unused[0] & ~unused[1]))
    wanted = {x: (np.count_nonzero(c), c.clip(0).sum(), (-c).clip(0).sum()) for x, c in enumerate(change) if c.any()}
    assert {t.crossbar: (t.cells, t.levels_up, t.levels_down) for t in found.tiles} == wanted
    assert wanted
    for tile in found.tiles:
        opened = Bundle.open(bundles / b)
        assert opened.layer(opened.manifest.layer(tile.layer)).tiles.placement.crossbar[tile.tile] == tile.crossbar


def test_the_command_says_what_changes(bundles: Path) -> None:
    assert run("diff", bundles / "new", bundles / "new").exit_code == OK
    changed = run("diff", bundles / "old", bundles / "new", "--json")
    report = json.loads(changed.stdout)
    assert (changed.exit_code, report["same"]) == (FAILED, False)
    total = sum(tile["cells"] for tile in report["tiles"])
    assert (
        f"{total:,} cells change, on {len(report['tiles'])} crossbars"
        in run("diff", bundles / "old", bundles / "new").stdout
    )
    assert "differs in its maps" in run("diff", bundles / "new", bundles / "redundant").stdout


def test_other_digits_are_other_maps(bundles: Path, tmp_path: Path) -> None:
    """Of the same cells."""
    shutil.copytree(bundles / "old", tmp_path / "b")

    def swap(manifest: dict[str, Any]) -> None:
        for entry in manifest["layers"]:
            entry["encoding"]["digits"] = [4, 1, 16, 64]

    change(tmp_path / "b", swap)
    found = diff(Bundle.open(bundles / "old"), Bundle.open(tmp_path / "b"))
    assert (found.remapped, found.tiles) == (("up", "down", "head"), ())
