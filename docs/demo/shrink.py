"""Make the demo's ONNX file small enough to ship: a trimmed vocabulary, fp16 weights, int8 word embeddings with a scale
a row.

    python docs/demo/shrink.py PRUNED docs/demo/sst2-minilm.onnx --data GLUE_DIR

PRUNED is the Hugging Face directory that `rcompile train` wrote. Needs what `rcompile train` needs.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pyarrow.parquet as pq
import torch
from tokenizers import Tokenizer
from transformers import BertForSequenceClassification

from rcompile.train.export import export_model

MAX_TOKENS = 128
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

SMALL_BYTES = 1024
BYTES_LIMIT = 25_000_000


def trim_tokenizer(base: Path, sentences: list[str], size: int) -> tuple[Tokenizer, list[int]]:
    """A WordPiece tokenizer of the `size` most useful tokens, and the old id of each new one."""
    description = json.loads((base / "tokenizer.json").read_text())
    vocab: dict[str, int] = description["model"]["vocab"]
    full = Tokenizer.from_str(json.dumps(description))
    full.no_padding()
    full.no_truncation()
    counts = Counter(t for e in full.encode_batch(sentences) for t in e.tokens)
    characters = [t for t in vocab if len(t.removeprefix("##")) == 1 and t.isascii()]
    # Least ids of BERT's vocabulary are its most frequent words: they break ties between words that SST-2 does not
    # know.
    by_use = sorted(vocab, key=lambda t: (-counts[t], vocab[t]))
    keep = list(dict.fromkeys([*SPECIAL, *sorted(characters, key=vocab.__getitem__), *by_use]))[:size]
    description["model"]["vocab"] = {token: i for i, token in enumerate(keep)}
    for token in description["added_tokens"]:
        token["id"] = keep.index(token["content"])
    special = description["post_processor"].get("special_tokens", {})
    for token in special.values():
        token["ids"] = [keep.index(t) for t in token["tokens"]]
    description["truncation"] = description["padding"] = None
    return Tokenizer.from_str(json.dumps(description)), [vocab[t] for t in keep]


def trim(source: Path, sentences: list[str], vocabulary: int, out: Path) -> None:
    """The model with the most useful tokens and MAX_TOKENS positions only, as a Hugging Face directory."""
    tokenizer, old_ids = trim_tokenizer(source, sentences, vocabulary)
    model = BertForSequenceClassification.from_pretrained(source)
    embeddings = model.bert.embeddings
    words, positions = embeddings.word_embeddings.weight.data, embeddings.position_embeddings.weight.data
    state = {k: v for k, v in model.state_dict().items() if not k.endswith(("position_ids", "token_type_ids"))}
    state["bert.embeddings.word_embeddings.weight"] = words[torch.tensor(old_ids)]
    state["bert.embeddings.position_embeddings.weight"] = positions[:MAX_TOKENS]
    model.config.vocab_size, model.config.max_position_embeddings, model.config.pad_token_id = (
        len(old_ids),
        MAX_TOKENS,
        0,
    )
    small = BertForSequenceClassification(model.config)
    small.load_state_dict(state, strict=False)
    small.save_pretrained(out)
    tokenizer.save(str(out / "tokenizer.json"))


def shrink(model: ir.Model) -> None:
    """Replace every large float initializer by a smaller one and the nodes that restore it."""
    graph = model.graph
    for value in list(graph.initializers.values()):
        tensor = value.const_value
        if tensor is None or tensor.dtype != ir.DataType.FLOAT or tensor.nbytes <= SMALL_BYTES:
            continue
        array = tensor.numpy()
        if str(value.name).endswith("word_embeddings.weight"):
            quantize_embedding(graph, value, array)
        else:
            half = initializer(graph, f"{value.name}", array.astype(np.float16), replaces=value)
            cast = ir.node("Cast", [half], {"to": ir.DataType.FLOAT.value}, name=f"{value.name}/to_float")
            replace(graph, value, cast)


def quantize_embedding(graph: ir.Graph, table: ir.Value, array: np.ndarray) -> None:
    """Gather int8 rows and their scales instead of float rows."""
    scale = np.maximum(np.abs(array).max(axis=1, keepdims=True) / 127, np.finfo(np.float32).tiny).astype(np.float32)
    codes = initializer(graph, str(table.name), np.rint(array / scale).astype(np.int8), replaces=table)
    scales = initializer(graph, f"{table.name}_scale", scale)
    for gather, _ in list(table.uses()):
        rows = ir.node("Gather", [codes, gather.inputs[1]], name=f"{gather.name}/codes")
        floats = ir.node("Cast", [rows.outputs[0]], {"to": ir.DataType.FLOAT.value}, name=f"{gather.name}/to_float")
        factors = ir.node("Gather", [scales, gather.inputs[1]], name=f"{gather.name}/scale")
        product = ir.node("Mul", [floats.outputs[0], factors.outputs[0]], name=f"{gather.name}/dequantized")
        graph.insert_before(gather, [rows, floats, factors, product])
        gather.outputs[0].replace_all_uses_with(product.outputs[0])
        graph.remove(gather, safe=True)


def initializer(graph: ir.Graph, name: str, array: np.ndarray, replaces: ir.Value | None = None) -> ir.Value:
    if replaces is not None:
        graph.initializers.pop(str(replaces.name))
        replaces.name = f"{name}.float"
    tensor = ir.Tensor(array, name=name)
    value = ir.Value(name=name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.register_initializer(value)
    return value


def replace(graph: ir.Graph, old: ir.Value, restore: ir.Node) -> None:
    first = next(node for node in graph if old in node.inputs)
    graph.insert_before(first, restore)
    old.replace_all_uses_with(restore.outputs[0])


def main(source: Path, out: Path, data: Path, vocabulary: int) -> None:
    sentences = pq.read_table(data / "sst2" / "train.parquet")["sentence"].to_pylist()
    with tempfile.TemporaryDirectory() as scratch:
        trimmed, exported = Path(scratch) / "trimmed", Path(scratch) / "model.onnx"
        trim(source, sentences, vocabulary, trimmed)
        export_model(str(trimmed), exported)
        model = ir.load(exported)
        shrink(model)
        ir.save(model, out)
        (out.parent / "tokenizer.json").write_bytes((trimmed / "tokenizer.json").read_bytes())
    size = out.stat().st_size + (out.parent / "tokenizer.json").stat().st_size
    if size > BYTES_LIMIT:
        raise SystemExit(f"{size} bytes are more than {BYTES_LIMIT}: give a smaller --vocabulary")
    print(f"{out}: {size:,} bytes with its tokenizer")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder of GLUE data")
    parser.add_argument("--vocabulary", type=int, default=7800, help="tokens to keep")
    arguments = parser.parse_args()
    main(arguments.source, arguments.out, arguments.data, arguments.vocabulary)
