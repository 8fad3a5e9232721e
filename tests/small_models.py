"""Small models and targets for the tests; only `tiny_bert` needs torch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from rcompile.hardware.target import Adc, Target
from rcompile.hardware.target_file import load_target
from rcompile.layout.quantize import QuantizedLinear


def save_model(
    path: Path, nodes: list, initializers: dict[str, np.ndarray], inputs: dict, outputs: dict, opset: int = 17
) -> Path:
    """Write an ONNX model. inputs, outputs: (element type, shape) by name."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(n, t, s) for n, (t, s) in inputs.items()],
        [helper.make_tensor_value_info(n, t, s) for n, (t, s) in outputs.items()],
        [numpy_helper.from_array(a, n) for n, a in initializers.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, path)
    return path


def linear_model(
    path: Path, inputs: int = 40, outputs: int = 24, seed: int = 0, bias: bool = True, opset: int = 17
) -> Path:
    """x [batch, tokens, inputs] times a matrix, plus a bias."""
    rng = np.random.default_rng(seed)
    constants = {"proj.weight": rng.normal(0, 0.05, (inputs, outputs)).astype(np.float32)}
    nodes = [helper.make_node("MatMul", ["x", "proj.weight"], ["y" if not bias else "product"], name="/proj/MatMul")]
    if bias:
        constants["proj.bias"] = rng.normal(0, 0.1, outputs).astype(np.float32)
        nodes.append(helper.make_node("Add", ["product", "proj.bias"], ["y"], name="/proj/Add"))
    shapes = ({"x": (TensorProto.FLOAT, ["b", "t", inputs])}, {"y": (TensorProto.FLOAT, ["b", "t", outputs])})
    return save_model(path, nodes, constants, *shapes, opset=opset)


def tiny_classifier(path: Path, seed: int = 0, labels: int = 2, hidden: int = 32, vocabulary: int = 40) -> Path:
    """A model with a BERT's inputs: embeddings, a feed-forward block, sum pooling, a head. tokenizer.json goes beside
    it.
    """
    rng = np.random.default_rng(seed)

    def normal(*shape: int, scale: float = 0.3) -> np.ndarray:
        return rng.normal(0, scale, shape).astype(np.float32)

    constants = {
        "embeddings.weight": normal(vocabulary, hidden, scale=1.0),
        "up.weight": normal(hidden, 4 * hidden),
        "up.bias": normal(4 * hidden),
        "down.weight": normal(4 * hidden, hidden),
        "down.bias": normal(hidden),
        "head.weight": normal(labels, hidden, scale=1.0),
        "head.bias": normal(labels),
        "tokens_axis": np.array([1], np.int64),
        "axis": np.array([2], np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["embeddings.weight", "input_ids"], ["embedded"]),
        helper.make_node("MatMul", ["embedded", "up.weight"], ["up0"], name="/up/MatMul"),
        helper.make_node("Add", ["up.bias", "up0"], ["up1"], name="/up/Add"),
        helper.make_node("Relu", ["up1"], ["up2"]),
        helper.make_node("MatMul", ["up2", "down.weight"], ["down0"], name="/down/MatMul"),
        helper.make_node("Add", ["down0", "down.bias"], ["down1"], name="/down/Add"),
        helper.make_node("Cast", ["attention_mask"], ["mask0"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask0", "axis"], ["mask1"]),
        helper.make_node("Mul", ["down1", "mask1"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "tokens_axis"], ["pooled"], keepdims=0),
        helper.make_node("Gemm", ["pooled", "head.weight", "head.bias"], ["logits"], name="/head/Gemm", transB=1),
    ]
    ids = (TensorProto.INT64, ["batch", "tokens"])
    outputs = {"logits": (TensorProto.FLOAT, ["batch", labels])}
    save_model(path, nodes, constants, {"input_ids": ids, "attention_mask": ids}, outputs)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{i}" for i in range(vocabulary - 4))]
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(path.parent / "tokenizer.json"))
    return path


# Two sentences for a tiny classifier.
FEEDS = {"input_ids": np.arange(12).reshape(2, 6), "attention_mask": np.ones((2, 6), np.int64)}


def tiny_bert(folder: Path, **sizes: int) -> Path:
    """A BERT classifier of two tiny layers, as `save_pretrained` writes it. sizes: those that are not tiny."""
    import torch
    import transformers

    torch.manual_seed(0)
    tiny = {
        "vocab_size": 40,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 32,
    }
    config = transformers.BertConfig(**tiny | sizes)
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def write_sentences(folder: Path, count: int = 30, seed: int = 0) -> Path:
    """sst2/validation.tsv of random words and labels."""
    rng = np.random.default_rng(seed)
    lines = [
        f"{' '.join(f'w{w}' for w in rng.integers(0, 36, rng.integers(1, 9)))}\t{rng.integers(0, 2)}"
        for _ in range(count)
    ]
    (folder / "sst2").mkdir(parents=True)
    (folder / "sst2" / "validation.tsv").write_text("sentence\tlabel\n" + "\n".join(lines) + "\n")
    return folder


def save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    """Arrays as the file that the ending asks for: .npz, .safetensors or HDF5."""
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".safetensors":
        from safetensors.numpy import save_file

        save_file(arrays, path)
    else:
        import h5py

        with h5py.File(path, "w") as stored:
            for name, array in arrays.items():
                stored[name] = array
    return path


def gaussian(inputs: int, outputs: int, seed: int) -> QuantizedLinear:
    """A linear of normal codes, its outputs on various scales."""
    rng = np.random.default_rng(seed)
    codes = np.clip(np.rint(rng.normal(0, 30, (inputs, outputs))), -127, 127)
    return QuantizedLinear(f"layer{seed}", codes.astype(np.int8), rng.uniform(0.5, 2, outputs).astype(np.float32))


IDEAL_ADC = Adc(bits=0, step_levels=1.0).model_dump()


def changed_target(name: str, **changes: dict) -> Target:
    """A shipped target with sections changed: changed_target("ideal128x128", crossbar={"rows": 16})."""
    return changed(load_target(name), **changes)


def changed(target: Target, **changes: dict) -> Target:
    """A target with sections changed."""
    data = target.model_dump(mode="json")
    for section, keys in changes.items():
        data[section] |= keys
    return Target.model_validate_json(json.dumps(data))


def tiny_tagger(path: Path, outputs: dict[str, int]) -> Path:
    """The tiny classifier with heads for each token: outputs [batch, tokens, width] by name, [batch, tokens] of width
    1.
    """
    model = onnx.load(tiny_classifier(path))
    del model.graph.node[-2:], model.graph.output[:]
    for number, (name, width) in enumerate(outputs.items()):
        weights = np.random.default_rng(number).normal(0, 1, (32, width)).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(weights, f"{name}.weight"))
        product = name if width > 1 else f"{name}.column"
        model.graph.node.append(
            helper.make_node("MatMul", ["masked", f"{name}.weight"], [product], name=f"/{name}/MatMul")
        )
        if width == 1:
            model.graph.node.append(helper.make_node("Squeeze", [product, "axis"], [name]))
        shape = ["batch", "tokens", width] if width > 1 else ["batch", "tokens"]
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    onnx.save(model, path)
    return path
