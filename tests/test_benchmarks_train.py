"""The scripts in benchmarks/ and docs/ that need torch run, in a small form, as a user runs them."""

import json
import string
from pathlib import Path

import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scripts import run
from small_models import tiny_bert, tiny_classifier, write_sentences
from tokenizers import Tokenizer, models, pre_tokenizers, processors

pytest.importorskip("torch", reason="needs the [train] extra")

SIZES = {"hidden_size": 64, "intermediate_size": 512}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_bert(tmp_path_factory.mktemp("encoder"), **SIZES)
    tiny_classifier(folder / "tokenizer_donor.onnx")  # writes a tokenizer.json
    return folder


def test_results_train_prune_protect_and_score(encoder: Path, tmp_path: Path) -> None:
    data = write_sentences(tmp_path / "glue", 60)
    (data / "sst2" / "train.tsv").write_text((data / "sst2" / "validation.tsv").read_text())
    options = ("--data", data, "--tasks", "sst2", "--encoder", encoder, "--steps", 2)
    sizes = ("--limit", 4, "--model-limit", 8, "--dies", 2)
    run("benchmarks/results.py", *options, *sizes, "--build", tmp_path / "build", "--out", tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out" / "sst2.jsonl").read_text().splitlines()]
    assert {"dense fp32", "dense int8", "dense", "pruned fp32", "pruned int8", "pruned", "none", "paper", "auto"} == {
        line["scheme"] for line in lines
    }


def test_bench_compares_with_pytorch(tmp_path: Path) -> None:
    run("benchmarks/bench.py", "--small", "--out", tmp_path / "bench.json")
    found = json.loads((tmp_path / "bench.json").read_text())["alternatives"]
    assert found["PyTorch, every read"]["same_numbers"]


def test_shrink_keeps_the_useful_tokens(tmp_path: Path) -> None:
    letters = [*string.ascii_lowercase, *(f"##{letter}" for letter in string.ascii_lowercase)]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, "bad", "good", "film"]
    source = tiny_bert(tmp_path / "pruned", vocab_size=len(tokens), max_position_embeddings=128)
    tokenizer = Tokenizer(models.WordPiece({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(source / "tokenizer.json"))
    (tmp_path / "sst2").mkdir()
    pq.write_table(pa.table({"sentence": ["good film", "a good film"]}), tmp_path / "sst2" / "train.parquet")
    out = tmp_path / "out" / "small.onnx"
    out.parent.mkdir()
    run("docs/demo/shrink.py", source, out, "--data", tmp_path, "--vocabulary", len(tokens) - 1)
    kept = Tokenizer.from_file(str(out.parent / "tokenizer.json")).get_vocab()
    assert set(kept) == set(tokens) - {"bad"}
    table = next(t for t in onnx.load(out).graph.initializer if t.name.endswith("word_embeddings.weight"))
    assert (table.data_type, table.dims[0]) == (onnx.TensorProto.INT8, len(kept))
