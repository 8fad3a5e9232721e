"""Export a Hugging Face model to ONNX, ready to compile."""

from __future__ import annotations

import inspect
import json
import logging
import os
import re
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rcompile.bundle.scratch import held, new_folder
from rcompile.errors import BadInputError, UnsupportedError, UsageError
from rcompile.onnx_in.names import LABELS, NAME_SCOPES
from rcompile.onnx_in.text import INPUT_NAMES, TOKENIZER
from rcompile.train.extras import require
from rcompile.vocabulary import Exporter
from runtime.scoring.hub import offline_unless_reachable

OPSET = 18
HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")  # NAME or OWNER/NAME
WAY_OUT = "Give a directory that `save_pretrained` wrote, or a name on the hub."
PROTOBUF_LIMIT_BYTES = 2**31 - 2**20
# How the classes of models end that have a head, and what they give.
HEADS = {
    "ForSequenceClassification": ("logits",),
    "ForTokenClassification": ("logits",),
    "ForQuestionAnswering": ("start_logits", "end_logits"),
    "ForMaskedLM": ("logits",),
}
NO_HEAD = "Model"
ENCODER_ALONE = (
    "For the encoder alone: `transformers.AutoModel.from_pretrained(...).save_pretrained(DIR)`, and export DIR."
)


@dataclass(frozen=True)
class Loaded:
    """A Hugging Face model in fp32, all its weights from its checkpoint, and the names of what it takes and gives."""

    model: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def export_model(source: str, out: Path, *, exporter: Exporter = "dynamo", force: bool = False) -> None:
    """Write `out` (fp32, dynamic batch and length) and tokenizer.json beside it; the same bytes each time.

    source: a directory that `save_pretrained` wrote, or a name on the hub. A model for sequence or token
    classification, question answering or masked words is exported with its head; an encoder without one with its last
    hidden state, and with its pooler if the checkpoint holds that. Raises RcompileError.
    """
    check_source(source)
    require("torch", "transformers", "onnxscript")

    if out.exists() and not force:
        raise UsageError(f"'{out}' exists. Choose another -o, or --force.")
    loaded = _load(source)
    folder = out.absolute().parent
    folder.mkdir(parents=True, exist_ok=True)
    with held(out), new_folder(out) as scratch:
        _export(loaded, source, scratch / out.name, exporter)
        _strip(scratch / out.name, _labels(loaded.model.config))
        with suppress(BadInputError):  # a model without a tokenizer can be exported
            tokenizer = tokenizer_file(source)
            if tokenizer.resolve() != (folder / TOKENIZER).resolve():
                shutil.copyfile(tokenizer, scratch / TOKENIZER)
        for path in sorted(scratch.iterdir(), key=lambda p: p.name == out.name):  # the model last: then all is there
            os.replace(path, folder / path.name)


def _load(source: str) -> Loaded:
    """The model that a checkpoint holds, whole. Raises UnsupportedError for one of an architecture that is not known,
    BadInputError for one that lacks weights, or has some for which its architecture has no place.
    """
    import torch
    import transformers

    with loading(source):
        config = transformers.AutoConfig.from_pretrained(source, trust_remote_code=False)
    name, head = _architecture(config, source)
    with loading(source):
        model, found = getattr(transformers, f"AutoModel{head}").from_pretrained(
            source, dtype=torch.float32, attn_implementation="eager", trust_remote_code=False, output_loading_info=True
        )
    inputs = model_inputs(config)
    _check_kind(model, name, inputs, source)
    outputs = HEADS[head] if head else ("last_hidden_state",)
    if not head and getattr(model, "pooler", None) is not None:
        if any(key.startswith("pooler.") for key in found["missing_keys"]):
            model.pooler = None  # which nothing trained
        else:
            outputs = (*outputs, "pooler_output")
    _check_weights(model, source, found, head)
    model.config.return_dict = False  # both exporters take tuples
    model.config.output_hidden_states = model.config.output_attentions = False
    vars(model.config)["use_cache"] = None  # torchscript would hand it over twice; the setter takes no None
    return Loaded(model.eval(), tuple(inputs), outputs)


def _architecture(config: Any, source: str) -> tuple[str, str]:
    """The class of a model, and what it ends with: a head, or "" for an encoder alone."""
    name = next(iter(config.architectures or []), None)
    if name is None:
        raise UnsupportedError(
            f"the config.json of '{source}' names no architecture, so that its head is not known. "
            f"Load it with its own class and save it again with `save_pretrained`. {ENCODER_ALONE}"
        )
    for head in HEADS:
        if name.endswith(head):
            return name, head
    if name.endswith(NO_HEAD):
        return name, ""
    raise UnsupportedError(
        f"'{source}' is a {name}, whose head is not known. Known: encoders alone, and those {', '.join(HEADS)}. "
        f"{ENCODER_ALONE}"
    )


def _check_kind(model: Any, name: str, inputs: list[str], source: str) -> None:
    """Raises UnsupportedError for a model that is not of the class that its config.json names, or takes what no BERT
    takes.
    """
    if type(model).__name__ != name:
        raise UnsupportedError(
            f"'{source}' is a {name}, of which transformers loads a {type(model).__name__} only: its head is not known. "
            f"{ENCODER_ALONE}"
        )
    takes = list(inspect.signature(model.forward).parameters)[: len(inputs)]
    if takes != inputs or getattr(model.config, "is_encoder_decoder", False):
        raise UnsupportedError(
            f"'{source}' is a {name}, no encoder of BERT's kind: those take {', '.join(inputs)}. "
            "Export it with torch.onnx or optimum, and compile the result."
        )


def _check_weights(model: Any, source: str, found: dict[str, Any], head: str) -> None:
    """Raises BadInputError for weights that would be random, or left out. A head decides which weights it needs: one
    for masked words has no pooler, though most checkpoints hold one.
    """
    kind = type(model).__name__
    missing = [k for k in sorted(found["missing_keys"]) if head or not k.startswith("pooler.")]
    if missing:
        raise BadInputError(
            f"'{source}' lacks weights of a {kind}: {_some(missing)}. Random ones are not exported; "
            "fine-tune the model, and save it whole with `save_pretrained`."
        )
    if found["unexpected_keys"] and not head:
        raise BadInputError(
            f"'{source}' is a {kind}, which has no place for some of its weights: "
            f"{_some(sorted(found['unexpected_keys']))}. Name the class of the whole model under 'architectures' in its config.json. "
            f"{ENCODER_ALONE}"
        )


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")


def check_source(source: str) -> None:
    """Refuse at once what is neither a directory nor a name on the hub, and keep the hub's client to its cache where
    the hub does not answer.

    Call it before transformers is imported. Raises BadInputError.
    """
    path = Path(source)
    if path.is_dir():
        return
    if path.suffix == ".onnx":
        raise BadInputError(f"'{source}' is ONNX already: compile it, `rcompile {source} --target NAME`.")
    if path.exists():
        raise BadInputError(f"'{source}' is a file. {WAY_OUT}")
    if not HUB_NAME.fullmatch(source) or ("/" in source and path.parent.is_dir()):
        raise BadInputError(f"no such directory: '{source}'. {WAY_OUT}")
    offline_unless_reachable()


@contextmanager
def loading(source: str) -> Iterator[None]:
    """Load a Hugging Face model in this context: quietly, and with BadInputError for all that can go wrong."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    except Exception as error:  # safetensors and transformers each raise their own
        elsewhere = "" if Path(source).is_dir() else "There is no such directory here, and from the hub: "
        raise BadInputError(f"cannot load '{source}'. {elsewhere}{_first_line(error)} {WAY_OUT}") from None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def is_classifier(config: Any) -> bool:
    """Whether the model of a Hugging Face configuration is a sequence classifier."""
    return any("SequenceClassification" in a for a in config.architectures or [])


def model_inputs(config: Any) -> list[str]:
    """The inputs that the model of a Hugging Face configuration takes."""
    return [n for n in INPUT_NAMES if n != "token_type_ids" or getattr(config, "type_vocab_size", 0) > 1]


def _export(loaded: Loaded, source: str, out: Path, exporter: Exporter) -> None:
    """Run an exporter of torch. Raises UnsupportedError for a model that it cannot export."""
    import torch

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            _run_exporter(torch, loaded, out, exporter)
    except OSError:
        raise
    except Exception as error:  # exporters raise what they like
        other = "torchscript" if exporter == "dynamo" else "dynamo"
        raise UnsupportedError(
            f"torch's exporter '{exporter}' cannot export '{source}', a {type(loaded.model).__name__}: {_first_line(error)}. "
            f"Try --exporter {other}; `rcompile --debug export ...` shows where it fails."
        ) from error


def _run_exporter(torch: Any, loaded: Loaded, out: Path, exporter: Exporter) -> None:
    model, names, outputs = loaded.model, list(loaded.inputs), list(loaded.outputs)
    arguments = tuple(torch.ones(2, 16, dtype=torch.long) for _ in names)
    large = sum(p.numel() * p.element_size() for p in model.parameters()) > PROTOBUF_LIMIT_BYTES
    if exporter == "dynamo":
        dynamic = ({0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")},) * len(names)
        torch.onnx.export(
            model, arguments, str(out), dynamo=True, input_names=names, output_names=outputs, dynamic_shapes=dynamic, opset_version=OPSET,
            external_data=large, verbose=False,
        )  # fmt: skip
    else:
        axes = {n: {0: "batch", 1: "tokens"} for n in names} | {o: {0: "batch"} for o in outputs}
        torch.onnx.export(
            model, arguments, str(out), dynamo=False, input_names=names, output_names=outputs, dynamic_axes=axes, opset_version=17,
        )  # fmt: skip


def _labels(config: Any) -> list[str]:
    """The names of the labels in the order of the logits; none where a configuration has those that transformers makes
    up.
    """
    names = [str(name) for _, name in sorted((getattr(config, "id2label", None) or {}).items())]
    return [] if names == [f"LABEL_{number}" for number in range(len(names))] else names


def _strip(path: Path, labels: list[str]) -> None:
    """Drop docstrings and metadata, which hold stack traces with absolute paths; keep the module paths, which name the
    layers, and put in the names of the labels.
    """
    import onnx

    model = onnx.load(path, load_external_data=False)
    del model.metadata_props[:], model.graph.metadata_props[:]
    if labels:
        onnx.helper.set_model_props(model, {LABELS: json.dumps(labels)})
    for node in model.graph.node:
        node.ClearField("doc_string")
        kept = [p for p in node.metadata_props if p.key == NAME_SCOPES]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]
    onnx.save(model, path)


def tokenizer_file(source: str) -> Path:
    """The tokenizer.json of a directory or of a name on the hub. Raises BadInputError if there is none."""
    import transformers

    local = Path(source) / "tokenizer.json"
    try:
        found = local if local.is_file() else transformers.utils.cached_file(source, "tokenizer.json")
    except OSError:
        found = None
    if found is None:
        raise BadInputError(
            f"'{source}' has no tokenizer.json: transformers.AutoTokenizer.from_pretrained(...).save_pretrained(DIR) writes one."
        )
    return Path(found)
