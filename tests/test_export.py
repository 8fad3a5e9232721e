"""Export of Hugging Face models: both exporters, and what comes out compiles to the same cells. Skipped without the
[train] extra.
"""

from pathlib import Path

import numpy as np
import pytest
from small_models import tiny_bert

torch = pytest.importorskip("torch", reason="needs the [train] extra")
transformers = pytest.importorskip("transformers", reason="needs the [train] extra")

import runtime  # noqa: E402
from rcompile import compile_model  # noqa: E402
from rcompile.bundle.diff import diff  # noqa: E402
from rcompile.bundle.reader import Bundle  # noqa: E402
from rcompile.errors import BadInputError, UsageError  # noqa: E402
from rcompile.train.export import export_model  # noqa: E402


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_bert(tmp_path_factory.mktemp("hf"))
    (folder / "tokenizer.json").write_text("{}")
    return folder


def test_both_exporters_give_the_same_cells_and_torch_agrees(saved: Path, tmp_path: Path) -> None:
    ids = np.arange(18).reshape(2, 9)
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    model = transformers.AutoModelForSequenceClassification.from_pretrained(saved).eval()
    with torch.inference_mode():
        wanted = model(**{k: torch.tensor(v) for k, v in feeds.items()}).logits.numpy()
    bundles = []
    for exporter in ("dynamo", "torchscript"):
        out = tmp_path / exporter / "model.onnx"
        export_model(str(saved), out, exporter=exporter)
        assert (out.parent / "tokenizer.json").is_file()
        assert str(saved).encode() not in out.read_bytes()
        result = compile_model(out, "reram128x128", tmp_path / exporter / "bundle")
        assert result.layers[0].name == "bert.encoder.layer.0.attention.self.query"
        assert len(result.layers) == 2 * 6 + 2
        bundles.append(Bundle.open(tmp_path / exporter / "bundle"))
        (logits,) = runtime.load(bundles[-1]).run(["logits"], feeds)
        assert np.abs(logits - wanted).max() < 0.05 * np.abs(wanted).max()
    assert diff(*bundles).same


def test_an_existing_file_is_kept(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("mine")
    with pytest.raises(UsageError, match="--force"):
        export_model(str(saved), tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_text() == "mine"


def test_a_directory_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="save_pretrained"):
        export_model(str(tmp_path), tmp_path / "model.onnx")
