"""Export a Hugging Face model to ONNX, ready to compile."""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rcompile.errors import BadInputError, UsageError
from rcompile.onnx_in.names import NAME_SCOPES
from rcompile.onnx_in.text import INPUT_NAMES
from rcompile.train.extras import require
from rcompile.vocabulary import Exporter
from runtime.scoring.hub import offline_unless_reachable

OPSET = 18
HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")  # NAME or OWNER/NAME
WAY_OUT = "Give a directory that `save_pretrained` wrote, or a name on the hub."
PROTOBUF_LIMIT_BYTES = 2**31 - 2**20


def export_model(source: str, out: Path, *, exporter: Exporter = "dynamo", force: bool = False) -> None:
    """Write `out` (fp32, dynamic batch and length) and tokenizer.json beside it.

    source: a directory that `save_pretrained` wrote, or a name on the hub. A sequence classifier is exported with its
    head, any other encoder with its last hidden state. Raises RcompileError.
    """
    check_source(source)
    require("torch", "transformers", "onnxscript")
    import torch
    import transformers

    if out.exists() and not force:
        raise UsageError(f"'{out}' exists. Choose another -o, or --force.")
    with loading(source):
        config = transformers.AutoConfig.from_pretrained(source)
        classifier = is_classifier(config)
        kind = transformers.AutoModelForSequenceClassification if classifier else transformers.AutoModel
        model = kind.from_pretrained(source, dtype=torch.float32, attn_implementation="eager").eval()
    model.config.return_dict = False  # both exporters take tuples
    names = model_inputs(config)
    output = "logits" if classifier else "last_hidden_state"
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=f".{out.name}.") as scratch:
        _export(torch, model, names, output, Path(scratch) / out.name, exporter)
        _strip(Path(scratch) / out.name)
        for path in Path(scratch).iterdir():
            os.replace(path, out.absolute().parent / path.name)
    beside = out.absolute().parent / "tokenizer.json"
    with suppress(BadInputError):  # a model without a tokenizer can be exported
        tokenizer = tokenizer_file(source)
        if tokenizer.resolve() != beside.resolve():
            shutil.copyfile(tokenizer, beside)


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
        raise BadInputError(f"cannot load '{source}'. {elsewhere}{str(error).splitlines()[0]} {WAY_OUT}") from None


def is_classifier(config: Any) -> bool:
    """Whether the model of a Hugging Face configuration is a sequence classifier."""
    return any("SequenceClassification" in a for a in config.architectures or [])


def model_inputs(config: Any) -> list[str]:
    """The inputs that the model of a Hugging Face configuration takes."""
    return [n for n in INPUT_NAMES if n != "token_type_ids" or getattr(config, "type_vocab_size", 0) > 1]


def _export(torch: Any, model: Any, names: list[str], output: str, out: Path, exporter: str) -> None:
    example = torch.ones(2, 16, dtype=torch.long)
    arguments = tuple(example.clone() for _ in names)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    large = sum(p.numel() * p.element_size() for p in model.parameters()) > PROTOBUF_LIMIT_BYTES
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        if exporter == "dynamo":
            dynamic = ({0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")},) * len(names)
            torch.onnx.export(
                model, arguments, str(out), dynamo=True, input_names=names, output_names=[output], dynamic_shapes=dynamic, opset_version=OPSET,
                external_data=large, verbose=False,
            )  # fmt: skip
        else:
            axes = {n: {0: "batch", 1: "tokens"} for n in names} | {output: {0: "batch"}}
            torch.onnx.export(
                model,
                arguments,
                str(out),
                dynamo=False,
                input_names=names,
                output_names=[output],
                dynamic_axes=axes,
                opset_version=17,
            )


def _strip(path: Path) -> None:
    """Drop docstrings and metadata, which hold stack traces with absolute paths; keep the module paths, which name the
    layers.
    """
    import onnx

    model = onnx.load(path, load_external_data=False)
    del model.metadata_props[:], model.graph.metadata_props[:]
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
