"""Shipped targets, from the map of a chip to the score on it."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import OK, run
from small_models import tiny_classifier, write_sentences

from rcompile import Bundle
from rcompile.hardware.faults import apply_faults, chip_map
from rcompile.hardware.shipped import target_names
from rcompile.layout.normal_form import I32, decode


def decoded(bundle: Bundle, die_map: Path | None = None) -> dict[str, I32]:
    """The weight codes of each layer, on a die if there is a map of it."""
    target, codes = bundle.manifest.target, {}
    for entry in bundle.manifest.layers:
        tiles = bundle.layer(entry).tiles
        if die_map:
            faults = chip_map(die_map, target).faults(tiles.placement.crossbar)
            tiles.levels[:] = apply_faults(tiles.levels, faults, target.top_level)
        codes[entry.name] = decode(tiles, target, entry.inputs, entry.outputs)
    return codes


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    write_sentences(folder / "glue", count=8)
    return tiny_classifier(folder / "m.onnx", hidden=8)


# A target whose shift-add applies no digits but its own.
WIRED = ("--set", "weights.digit_shifts=[]")


@pytest.mark.parametrize(
    ("target", "more"), [*((name, ()) for name in target_names()), ("reram128x128", WIRED), ("reram64x64-slc", WIRED)]
)
def test_every_target_compiles_for_a_die(target: str, more: tuple[str, ...], model: Path, tmp_path: Path) -> None:
    """At 10 % stuck cells weights are half as far off as those of images for any die, or nearer, and the score on the
    map is that of the clean bundle.
    """
    die_map, base = tmp_path / "map.npz", (model, "--target", target, *more, "-o")
    chip = ("die", "--target", target, "--crossbars", 6, "--seed", 2, "--sa0", 0.02, "--sa1", 0.08)
    for command in (
        (*chip, "-o", die_map),
        (*base, tmp_path / "any"),
        (*base, tmp_path / "one", "--die-map", die_map),
        ("check", tmp_path / "one", "--die-map", die_map),
    ):
        done = run(*command)
        assert done.exit_code == OK, done.output
    scored = ("evaluate", tmp_path / "one", "--task", "sst2", "--data", model.parent / "glue")
    result = json.loads(run(*scored, "--fault-map", die_map, "--json").stdout)
    assert result["dies"][0]["score"] == result["clean"]
    any_die, one = Bundle.open(tmp_path / "any"), Bundle.open(tmp_path / "one")
    wanted, unaware, aware = decoded(any_die), decoded(any_die, die_map), decoded(one, die_map)
    for name, codes in wanted.items():
        unaware_error, error = (np.linalg.norm(found[name] - codes) for found in (unaware, aware))
        assert error < 0.5 * unaware_error
