"""Calibrate: static input scales from sample inputs, run through the source model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx_ir as ir

from rcompile.canonical import file_sha256
from rcompile.errors import BadInputError, UnsupportedError
from rcompile.hardware.target import Target
from rcompile.onnx_in.linears import Linear
from rcompile.onnx_in.text import TOKENIZER, Feeds, TextEncoder, read_samples, session_inputs
from rcompile.vocabulary import InputScale

BATCH = 16


def input_scale_mode(target: Target, samples: Path | None) -> InputScale:
    """`static` if samples are given, else `dynamic`. Raises UnsupportedError if the target cannot apply such scales."""
    mode: InputScale = "dynamic" if samples is None else "static"
    if mode not in target.input.scales:
        way_out = "give sample inputs with --calibrate" if mode == "dynamic" else "leave --calibrate out"
        raise UnsupportedError(
            f"target '{target.name}' has no {mode} input scales (input.scales = {list(target.input.scales)}): {way_out}."
        )
    return mode


def calibrate(
    model: ir.Model, source: Path, linears: tuple[Linear, ...], samples: Path, target: Target
) -> dict[str, float]:
    """The input scale of each node by its name: max |x| over the samples, over the largest input code.

    model: as `read_model` gave it; source: its file. samples: a text file, one sentence a line (a tokenizer.json must
    lie beside the model), or .npz with one array per model input.
    """
    import onnxruntime as ort

    names = {use.name: str(use.x.name) for linear in linears for use in linear.uses}
    activations = {str(use.x.name): use.x for linear in linears for use in linear.uses}
    inside = [v for v in activations.values() if not v.is_graph_input() and not v.is_graph_output()]
    outputs, wanted = model.graph.outputs, sorted(activations)
    before = len(outputs)
    outputs.extend(inside)
    proto = ir.to_proto(model)
    del outputs[before:]
    options = ort.SessionOptions()
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(source.absolute().parent)
    )
    try:
        session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises one class a status code
        raise BadInputError(f"ONNX Runtime cannot run '{source}' to calibrate: {error}") from None
    del proto
    largest = dict.fromkeys(wanted, 0.0)
    inputs = {i.name for i in session.get_inputs()}
    computed = [n for n in wanted if n not in inputs]
    for feeds in _batches(samples, source, session):
        try:
            arrays = session.run(computed, feeds) if computed else []
        except Exception as error:  # onnxruntime raises one class a status code
            raise BadInputError(f"samples '{samples}' do not fit the model '{source}': {error}") from None
        for name, array in [*zip(computed, arrays, strict=True), *feeds.items()]:
            if name in largest:
                largest[name] = max(largest[name], float(np.abs(array.astype(np.float32)).max(initial=0.0)))
    bad = [n for n, v in largest.items() if not 0 < v < np.inf]
    if bad:
        raise BadInputError(
            f"calibration with '{samples}' gives no usable range for {', '.join(bad[:3])}: its values are all zero, or NaN or Inf."
        )
    qmax = (1 << (target.input.bits - 1)) - 1
    return {node: float(np.float32(largest[x]) / np.float32(qmax)) for node, x in names.items()}


def _batches(samples: Path, source: Path, session: object) -> Iterator[Feeds]:
    inputs = session_inputs(session)
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
        yield {i.name: arrays[i.name] for i in inputs}
        return
    content = read_samples(samples, "Give a text file with one sentence a line, or an .npz.")
    lines = [line for line in content.splitlines() if line.strip()]
    if not lines:
        raise BadInputError(f"samples '{samples}' hold no sentence.")
    encoder = TextEncoder(source.parent / TOKENIZER, inputs)
    yield from (batch.feeds for batch in encoder.batches(lines, range(len(lines)), BATCH))


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
