"""Images in other formats hold what the bundle holds."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from rcompile import Bundle, CompileOptions, compile_model
from rcompile.cli.main import main
from rcompile.errors import UsageError
from rcompile.images.write import FORMATS, write_images
from rcompile.vocabulary import ImageFormat, words


def test_the_table_has_every_format() -> None:
    assert tuple(FORMATS) == words(ImageFormat)


@pytest.mark.parametrize("pack_cells", [False, True])
def test_npz_holds_every_crossbar(pack_cells: bool, classifier_onnx: Path, tmp_path: Path) -> None:
    compile_model(classifier_onnx, "reram128x128", tmp_path / "b", CompileOptions(pack_cells=pack_cells))
    result = CliRunner().invoke(main, ["images", str(tmp_path / "b"), "-o", str(tmp_path / "b.npz")])
    assert result.exit_code == 0, result.output
    bundle = Bundle.open(tmp_path / "b")
    target, total = bundle.manifest.target, bundle.manifest.total()
    with np.load(tmp_path / "b.npz") as stored:
        assert stored["levels"].shape == (total.crossbars, 128, 128)
        assert stored["crossbar"].tolist() == list(range(total.crossbars))
        assert stored["level_siemens"].tolist() == [target.conductance_siemens(level) for level in range(4)]
        for entry in bundle.manifest.layers:
            held = stored["levels"][stored["layer"] == entry.name]
            np.testing.assert_array_equal(held, bundle.layer(entry).tiles.levels)


def test_an_existing_file_is_kept_and_nothing_is_left(classifier_onnx: Path, tmp_path: Path) -> None:
    compile_model(classifier_onnx, "reram128x128", tmp_path / "b")
    bundle = Bundle.open(tmp_path / "b")
    (tmp_path / "out.npz").write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        write_images(bundle, tmp_path / "out.npz", "npz")
    assert (tmp_path / "out.npz").read_text() == "mine"
    write_images(bundle, tmp_path / "out.npz", "npz", force=True)
    assert sorted(p.name for p in tmp_path.glob("*out*")) == ["out.npz"]
