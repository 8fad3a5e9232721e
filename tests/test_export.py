"""Export of Hugging Face models: both exporters, and what comes out compiles to the same cells. Skipped without the
[train] extra.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from click.testing import CliRunner
from small_models import tiny_bert

torch = pytest.importorskip("torch", reason="needs the [train] extra")
transformers = pytest.importorskip("transformers", reason="needs the [train] extra")

import runtime  # noqa: E402
from rcompile import compile_model  # noqa: E402
from rcompile.bundle.diff import diff  # noqa: E402
from rcompile.bundle.reader import Bundle  # noqa: E402
from rcompile.cli.main import main  # noqa: E402
from rcompile.errors import BadInputError, UnsupportedError, UsageError  # noqa: E402
from rcompile.onnx_in.names import labels_in  # noqa: E402
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


SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
IDS = np.arange(18).reshape(2, 9)
FEEDS = {"input_ids": IDS, "attention_mask": np.ones_like(IDS), "token_type_ids": np.zeros_like(IDS)}
ENCODER_LAYERS = 6


def tiny(kind: str, folder: Path, family: str = "Bert", labels: int = 3, **options: object) -> Path:
    """A model of one tiny layer with a head, as `save_pretrained` writes it."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 40, "max_position_embeddings": 32, "num_labels": labels, **SIZES}
    config = getattr(transformers, f"{family}Config")(**sizes)
    getattr(transformers, f"{family}{kind}")(config, **options).save_pretrained(folder)
    return folder


def renamed(folder: Path, architectures: list[str] | None) -> Path:
    """A checkpoint whose config.json names another class."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"architectures": architectures}))
    return folder


HEADS = {
    "ForSequenceClassification": (3, ["logits"], ["bert.pooler.dense", "classifier"]),
    "ForTokenClassification": (3, ["logits"], ["classifier"]),
    "ForQuestionAnswering": (2, ["start_logits", "end_logits"], ["qa_outputs"]),
    "ForMaskedLM": (3, ["logits"], ["cls.predictions.transform.dense", "cls.predictions.decoder"]),
    "Model": (3, ["last_hidden_state", "pooler_output"], ["pooler.dense"]),
}


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
@pytest.mark.parametrize("kind", HEADS)
def test_heads_are_kept_and_mapped(kind: str, exporter: str, tmp_path: Path) -> None:
    labels, outputs, layers = HEADS[kind]
    saved = tiny(kind, tmp_path / "hf", labels=labels)
    export_model(str(saved), tmp_path / "m.onnx", exporter=exporter)
    with torch.inference_mode():
        model = getattr(transformers, f"AutoModel{kind.removesuffix('Model')}").from_pretrained(saved).eval()
        wanted = model(**{k: torch.tensor(v) for k, v in FEEDS.items()})
    session = ort.InferenceSession(tmp_path / "m.onnx")
    assert [o.name for o in session.get_outputs()] == outputs
    for name, array in zip(outputs, session.run(outputs, FEEDS), strict=True):
        np.testing.assert_allclose(array, wanted[name].numpy(), atol=1e-5)
    compiled = compile_model(tmp_path / "m.onnx", "reram128x128", tmp_path / "b")
    assert [layer.name for layer in compiled.layers][ENCODER_LAYERS:] == layers
    for name, array in zip(outputs, runtime.load(tmp_path / "b").run(outputs, FEEDS), strict=True):
        assert np.abs(array - wanted[name].numpy()).max() < 0.05 * np.abs(wanted[name].numpy()).max()


@pytest.mark.parametrize("family", ["Roberta", "Electra", "XLMRoberta"])
def test_heads_of_other_families(family: str, tmp_path: Path) -> None:
    saved = tiny("ForTokenClassification", tmp_path / "hf", family)
    export_model(str(saved), tmp_path / "m.onnx", exporter="torchscript")
    compiled = compile_model(tmp_path / "m.onnx", "reram128x128", tmp_path / "b")
    assert compiled.layers[-1].name == "classifier"


def test_a_pooler_that_no_checkpoint_holds_is_left_out(tmp_path: Path) -> None:
    saved = renamed(tiny("Model", tmp_path / "hf", add_pooling_layer=False), ["BertModel"])
    files = []
    for name in ("a", "b"):
        torch.manual_seed(len(files))  # which a random pooler would come from
        export_model(str(saved), tmp_path / name / "m.onnx")
        files.append((tmp_path / name / "m.onnx").read_bytes())
    assert files[0] == files[1]
    assert [o.name for o in ort.InferenceSession(files[0]).get_outputs()] == ["last_hidden_state"]
    assert len(compile_model(tmp_path / "a/m.onnx", "reram128x128", tmp_path / "bundle").layers) == ENCODER_LAYERS


REFUSED = [
    ("Model", "BertForQuestionAnswering", BadInputError, r"lacks weights of a BertForQuestionAnswering: qa_outputs\.bias"),
    ("ForMaskedLM", "BertForSequenceClassification", BadInputError, r"bert\.pooler\.dense\.bias.* and 1 more\. Random"),
    ("ForTokenClassification", "BertModel", BadInputError, r"no place for some of its weights: classifier\.bias"),
    ("ForMaskedLM", "BertLMHeadModel", UnsupportedError, "transformers loads a BertModel only"),
    ("ForMultipleChoice", "BertForMultipleChoice", UnsupportedError, "is a BertForMultipleChoice, whose head is not known"),
    ("Model", None, UnsupportedError, "names no architecture"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "named", "error", "said"), REFUSED, ids=[str(case[1]) for case in REFUSED])
def test_what_would_lose_or_invent_weights_is_refused(
    kind: str, named: str | None, error: type[Exception], said: str, tmp_path: Path
) -> None:
    saved = renamed(tiny(kind, tmp_path / "hf"), named and [named])
    with pytest.raises(error, match=said):
        export_model(str(saved), tmp_path / "m.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["hf"]


def test_models_that_are_no_encoders_are_refused(tmp_path: Path) -> None:
    config = transformers.GPT2Config(vocab_size=40, n_embd=16, n_layer=1, n_head=2, pad_token_id=0)
    transformers.GPT2ForSequenceClassification(config).save_pretrained(tmp_path / "gpt")
    with pytest.raises(UnsupportedError, match="no encoder of BERT's kind"):
        export_model(str(tmp_path / "gpt"), tmp_path / "m.onnx")


def test_what_torch_cannot_export_is_no_internal_error(tmp_path: Path) -> None:
    """A head for questions has two outputs; this one has three."""
    saved = tiny("ForQuestionAnswering", tmp_path / "hf", labels=3)
    command = ["export", str(saved), "-o", str(tmp_path / "m.onnx"), "--exporter", "torchscript"]
    result = CliRunner().invoke(main, command)
    assert (result.exit_code, "cannot export" in result.stderr) == (4, True), result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["hf"]


def test_outputs_that_a_configuration_adds_stay_inside(tmp_path: Path) -> None:
    saved = tiny("ForTokenClassification", tmp_path / "hf")
    path = saved / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"output_hidden_states": True}))
    export_model(str(saved), tmp_path / "m.onnx", exporter="torchscript")
    assert [o.name for o in ort.InferenceSession(tmp_path / "m.onnx").get_outputs()] == ["logits"]


@pytest.mark.parametrize(
    ("names", "kept"),
    [(["no", "maybe", "yes"], ("no", "maybe", "yes")), (["LABEL_0", "LABEL_1", "LABEL_2"], ())],  # transformers' own
)
def test_the_names_of_labels_are_kept(names: list[str], kept: tuple[str, ...], tmp_path: Path) -> None:
    saved = tiny("ForSequenceClassification", tmp_path / "hf")
    config = json.loads((saved / "config.json").read_text())
    config["id2label"] = {str(number): name for number, name in enumerate(names)}
    (saved / "config.json").write_text(json.dumps(config))
    export_model(str(saved), tmp_path / "m.onnx", exporter="torchscript")
    metadata = ort.InferenceSession(tmp_path / "m.onnx").get_modelmeta().custom_metadata_map
    assert (labels_in(metadata), len(metadata)) == (kept, bool(kept))


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_two_exports_give_the_same_bytes(exporter: str, tmp_path: Path) -> None:
    """Also of another process, whose sets have another order."""
    saved = tiny("ForTokenClassification", tmp_path / "hf")
    export_model(str(saved), tmp_path / "a" / "m.onnx", exporter=exporter)
    code = "from rcompile.cli.main import main; main()"
    command = [sys.executable, "-c", code, "export", str(saved), "-o", str(tmp_path / "m.onnx"), "--exporter", exporter]
    subprocess.run(command, check=True)
    assert (tmp_path / "a" / "m.onnx").read_bytes() == (tmp_path / "m.onnx").read_bytes()
