"""Sizes that a bundle or a fault map claims are not believed: memory is taken for what lies on the disk."""

import subprocess
import sys
import zipfile
from pathlib import Path

import hostile_bundles
import numpy as np
import pytest
from edited_bundles import change, first

from rcompile import compile_model


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    model = hostile_bundles.model(tmp_path / "model.onnx")
    compile_model(model, hostile_bundles.TARGET, tmp_path / "bundle", hostile_bundles.OPTIONS)
    return tmp_path / "bundle"


def within(megabytes: int, script: str, *arguments: object) -> str:
    """What a script prints in a process that may map so much more memory once everything is imported."""
    limit = (
        "import resource, sys; from pathlib import Path\n"
        "from rcompile.bundle.check import check; from rcompile.bundle.reader import Bundle\n"
        "import runtime; runtime.read_die\n"
        "pages = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        f"resource.setrlimit(resource.RLIMIT_AS, (pages + ({megabytes} << 20),) * 2)\n"
    )
    command = [sys.executable, "-c", limit + script, *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent.parent)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout


CHECK = "print([p for _, found in check(Bundle.open(sys.argv[1])) for p in found])"


def test_check_takes_no_memory_for_what_is_not_there(bundle: Path) -> None:
    change(bundle, lambda manifest: first(manifest).update(inputs=1 << 26))
    assert "[layer-size]" in within(512, CHECK, bundle)


def test_check_takes_no_memory_for_weights_that_are_pruned(bundle: Path) -> None:
    """2^26 weights in three tiles: one band of codes at a time, no matrix of them."""

    def wide(arrays: hostile_bundles.Arrays) -> None:
        arrays.update(inputs=1 << 11, outputs=1 << 15)
        for name in ("weight_scale", "bias.0"):
            arrays[name] = np.resize(arrays[name], 1 << 15)

    hostile_bundles.damage(bundle, wide)
    assert "the images do not decode to the quantized weights" in within(64, CHECK, bundle)


READ = """
try:
    runtime.read_die(sys.argv[2], Bundle.open(sys.argv[1]))
except Exception as error:
    print(type(error).__name__, error)
"""


def test_a_fault_map_that_unpacks_to_gigabytes_is_refused(bundle: Path, tmp_path: Path) -> None:
    """A GiB of zeros in a MB."""
    shape = (1 << 20, 16, 64)
    path = tmp_path / "map.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("first.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for _ in range(1 << 6):
            file.write(bytes(1 << 24))
    said = within(512, READ, bundle, path)
    assert f"'first' is uint8 {list(shape)}, the bundle needs uint8 [6, 16, 32]" in said


def test_a_fault_map_as_large_as_a_manifest_claims_is_refused(bundle: Path, tmp_path: Path) -> None:
    change(bundle, lambda manifest: first(manifest).update(tiles=1 << 22))
    np.savez_compressed(tmp_path / "map.npz", first=np.zeros((6, 16, 32), np.uint8))
    said = within(512, READ, bundle, tmp_path / "map.npz")
    assert "levels of 'tiles/first.safetensors' are [6, 16, 32], the manifest's sizes [4194304, 16, 32]" in said
