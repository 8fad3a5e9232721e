"""Samples: the source model, run on inputs that are given, and what it then feeds its linears."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from rcompile.canonical import file_sha256
from rcompile.errors import BadInputError
from rcompile.onnx_in.linears import Linear
from rcompile.onnx_in.text import TOKENIZER, Feeds, ModelInput, TextEncoder, read_texts, session_inputs

BATCH = 16
MASK = "attention_mask"


@dataclass(frozen=True, eq=False)
class Activations:
    """What one batch feeds the linears. arrays: float32 [..., K] by the value's name. tokens: bool [batch, tokens],
    which are text and not padding; None for a model without such an input.
    """

    arrays: dict[str, npt.NDArray[np.float32]]
    tokens: npt.NDArray[np.bool_] | None

    def rows(self, name: str) -> npt.NDArray[np.float32]:
        """One activation as rows float32 [rows, K], those of padding left out."""
        array = self.arrays[name]
        if self.tokens is not None and array.ndim == 3 and array.shape[:2] == self.tokens.shape:
            return array[self.tokens]
        return array.reshape(-1, array.shape[-1])


def activations(model: ir.Model, source: Path, linears: Sequence[Linear], samples: Path) -> Iterator[Activations]:
    """Run the model on the samples, batch by batch, in ONNX Runtime on the CPU.

    model: as `read_model` gave it; source: its file. samples: a text file, one sentence a line or two parted by a tab
    (a tokenizer.json must lie beside the model), or .npz with one array per model input. Raises BadInputError.
    """
    values = {str(use.x.name): use.x for linear in linears for use in linear.uses}
    session = _session(model, source, [v for v in values.values() if not v.is_graph_input()])
    inputs = session_inputs(session)
    given = {i.name for i in inputs}
    computed = sorted(values.keys() - given)
    for count, feeds in _batches(samples, source, inputs):
        try:
            results = session.run(computed, feeds) if computed else []
        except Exception as error:  # onnxruntime raises one class a status code
            raise BadInputError(f"samples '{samples}' do not fit the model '{source}': {error}") from None
        found = dict(zip(computed, results, strict=True)) | {n: a for n, a in feeds.items() if n in values}
        tokens = feeds[MASK].astype(np.bool_) if MASK in feeds else None
        if tokens is not None:
            tokens[count:] = False
        yield Activations({n: a.astype(np.float32, copy=False) for n, a in found.items()}, tokens)


def _session(model: ir.Model, source: Path, values: Sequence[ir.Value]) -> Any:
    """A session of the model that gives these values, too."""
    import onnxruntime as ort

    outputs = model.graph.outputs
    added = [v for v in values if not v.is_graph_output()]
    outputs.extend(added)
    content = ir.to_proto(model).SerializeToString()
    for _ in added:
        outputs.pop()  # onnx_ir takes a deleted slice for outputs still
    options = ort.SessionOptions()
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(source.absolute().parent)
    )
    try:
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises one class a status code
        raise BadInputError(f"ONNX Runtime cannot run '{source}' on samples: {error}") from None


def _batches(samples: Path, source: Path, inputs: Sequence[ModelInput]) -> Iterator[tuple[int, Feeds]]:
    """The feeds of each batch, and how many of its rows are samples."""
    if samples.suffix == ".npz":
        try:
            with np.load(samples, allow_pickle=False) as stored:
                arrays = {k: stored[k] for k in stored.files}
        except (OSError, ValueError) as error:
            raise BadInputError(f"cannot read samples '{samples}': {error}.") from None
        if missing := [i.name for i in inputs if i.name not in arrays]:
            raise BadInputError(
                f"samples '{samples}' lack the model's input {', '.join(missing)}; it holds {', '.join(arrays) or 'nothing'}."
            )
        feeds = {i.name: arrays[i.name] for i in inputs}
        yield max((len(a) for a in feeds.values() if a.ndim), default=0), feeds
        return
    texts = read_texts(samples)
    encoder = TextEncoder(source.parent / TOKENIZER, inputs)
    yield from ((len(batch.rows), batch.feeds) for batch in encoder.batches(texts, range(len(texts)), BATCH))


def samples_digest(samples: Path | None) -> str | None:
    """SHA-256 of the samples file, None without one. Raises BadInputError if it cannot be read."""
    if samples is None:
        return None
    try:
        return file_sha256(samples)
    except OSError as error:
        raise BadInputError(
            f"cannot read samples '{samples}': {error.strerror}. Give a text file, or an .npz."
        ) from None
