"""Maps of chips that do not do, as the command line answers them: one message, its exit code, nothing written."""

from pathlib import Path

import numpy as np
import pytest
from command_line import BAD_INPUT, OK, USAGE, compile_to, run
from small_models import save_arrays, tiny_classifier, write_sentences

GOOD = np.zeros((20, 128, 128), np.uint8)
DEAD = np.where(np.arange(20)[:, None, None] < 16, 2, GOOD).astype(np.uint8)
SIEMENS = np.full(GOOD.shape, 1e-4, np.float32)
NAN = np.where(np.arange(20)[:, None, None] == 1, np.float32(np.nan), SIEMENS)
MAPS: dict[str, tuple[dict[str, np.ndarray], str]] = {
    "of another target": ({"faults": GOOD[:, :64, :64]}, "`faults` is uint8 [20, 64, 64], target 'reram128x128' needs uint8"),
    "of another shape": ({"faults": GOOD[0]}, "`faults` is uint8 [128, 128], target 'reram128x128' needs uint8"),
    "of another type": ({"faults": GOOD.astype(np.float32)}, "`faults` is float32"),
    "of too few crossbars": ({"faults": GOOD[:3]}, "has 3 crossbars, the model needs 6 of target 'reram128x128'. Give the"),
    "of too few good ones": ({"faults": DEAD}, "has 20 crossbars, 4 of them with at most 50% of their cells stuck, the model needs 6"),
    "with unknown values": ({"faults": GOOD + 7}, "holds 7 at [0, 0, 0]; 0 is good, 1 SA0, 2 SA1, 16 .. 19 stuck at level 0 .. 3."),
    "of a layer": ({"up": GOOD}, "holds up; the map of a chip is an array `faults`"),
    "of nothing": ({}, "holds no array"),
    "with conductances that are none": ({"faults": GOOD, "siemens": NAN}, "holds nan siemens at [1, 0, 0]: give a number"),
    "with conductances of fewer": ({"faults": GOOD, "siemens": SIEMENS[:9]}, "it must be float32 [20, 128, 128] as"),
}  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier, beside a bundle of it for any die."""
    folder = tmp_path_factory.mktemp("model")
    write_sentences(folder / "glue", count=4)
    assert compile_to(folder / "bundle", tiny_classifier(folder / "m.onnx")).exit_code == OK
    return folder / "m.onnx"


@pytest.mark.parametrize("case", MAPS)
def test_a_map_that_does_not_do_is_refused(case: str, model: Path, tmp_path: Path) -> None:
    arrays, message = MAPS[case]
    die_map = save_arrays(tmp_path / "map.npz", arrays)
    for more in ((), ("--dry-run",)):
        refused = compile_to(tmp_path / "b", model, "--die-map", die_map, *more)
        assert (refused.exit_code, refused.stdout, message in refused.stderr) == (BAD_INPUT, "", True), refused.output
        assert refused.stderr.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["map.npz"]


@pytest.mark.parametrize("case", ["of another target", "with unknown values", "with conductances that are none"])
def test_nor_is_it_evaluated(case: str, model: Path, tmp_path: Path) -> None:
    arrays, message = MAPS[case]
    die_map = save_arrays(tmp_path / "map.npz", arrays)
    base = ("evaluate", model.parent / "bundle", "--task", "sst2", "--data", model.parent / "glue")
    refused = run(*base, "--fault-map", die_map)
    assert (refused.exit_code, message in refused.stderr) == (BAD_INPUT, True), refused.output


def test_a_map_that_is_not_there_or_not_alone_is_refused(model: Path, tmp_path: Path) -> None:
    missing = compile_to(tmp_path / "b", model, "--die-map", tmp_path / "no.npz")
    assert (missing.exit_code, "cannot read fault map" in missing.stderr) == (BAD_INPUT, True)
    die_map = save_arrays(tmp_path / "map.npz", {"faults": GOOD})
    both = compile_to(tmp_path / "b", model, "--die-map", die_map, "--protect", "auto")
    assert (both.exit_code, "--die-map is for one die: give one of them" in both.stderr) == (USAGE, True)
    assert [p.name for p in tmp_path.iterdir()] == ["map.npz"]


def test_a_part_of_a_model_fits_a_small_chip(model: Path, tmp_path: Path) -> None:
    die_map = save_arrays(tmp_path / "map.npz", {"faults": GOOD[:1]})
    assert compile_to(tmp_path / "b", model, "--die-map", die_map, "--only", "head").exit_code == OK
    assert run("check", tmp_path / "b", "--die-map", die_map).exit_code == OK
