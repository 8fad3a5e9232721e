"""The scripts in benchmarks/ and docs/ that need torch run, in a small form, as a user runs them."""

import json
import string
from collections.abc import Iterable
from pathlib import Path

import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from schemes import GIVEN, SCHEMES, Scheme, in_order
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
    sizes = ("--limit", 4, "--model-limit", 8, "--dies", 1)
    build, out = tmp_path / "build", tmp_path / "out"
    run("benchmarks/results.py", *options, *sizes, "--build", build, "--out", out)
    _, *lines = (out / "sst2.jsonl").read_text().splitlines()
    assert found(lines) == {(s.name, r, 1000) for s, r in in_order(SCHEMES)} | clean(SCHEMES)
    given = tmp_path / "given"
    given.mkdir()
    (build / "sst2" / "dense").rename(given / "sst2")
    run(
        "benchmarks/results.py",
        *options,
        *sizes,
        "--model-name",
        "other",
        "--models",
        given,
        "--build",
        tmp_path / "b",
        "--out",
        out,
    )
    _, *lines = (out / "other-sst2.jsonl").read_text().splitlines()
    dense = [scheme for scheme in GIVEN if scheme.model == "dense"]
    assert found(lines) == {(s.name, r, 1000) for s, r in in_order(dense)} | clean(dense)


def found(lines: list[str]) -> set[tuple]:
    return {tuple(json.loads(line)[key] for key in ("scheme", "rate", "die")) for line in lines}


def clean(schemes: Iterable[Scheme]) -> set[tuple]:
    """Scores without faults: of the schemes, and of their models elsewhere."""
    models = {f"{scheme.model} {kind}" for scheme in schemes for kind in ("fp32", "int8")}
    return {(name, 0.0, None) for name in [*models, *(scheme.name for scheme in schemes)]}


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
