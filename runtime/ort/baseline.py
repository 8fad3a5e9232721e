"""What a user would run instead: the source model, dynamically quantized to int8 by ONNX Runtime itself."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import onnxruntime as ort

from rcompile.errors import UnsupportedError


def int8_session(source: Path, threads: int = 0) -> ort.InferenceSession:
    """A session of `source` after onnxruntime.quantization.quantize_dynamic with its default settings.

    The model is constant-folded first, so that weights stored as fp16 or behind Transpose are quantized too.
    """
    import onnx
    from onnxruntime.quantization import quantize_dynamic

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    quiet = logging.getLogger().level
    with tempfile.TemporaryDirectory() as scratch:
        folded, quantized = Path(scratch) / "folded.onnx", Path(scratch) / "int8.onnx"
        fold = ort.SessionOptions()
        fold.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        fold.optimized_model_filepath = str(folded)
        try:
            ort.InferenceSession(str(source), fold, providers=["CPUExecutionProvider"])
            # The quantizer logs a suggestion through the root logger on every call.
            logging.getLogger().setLevel(logging.ERROR)
            model = onnx.load(folded)
            # Shapes from before the folding contradict the quantizer's transposed weights.
            del model.graph.value_info[:]
            quantize_dynamic(model, quantized)
            return ort.InferenceSession(str(quantized), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises one class a status code, its quantizer plain exceptions
            raise UnsupportedError(f"ONNX Runtime cannot quantize '{source}' to int8: {error}") from None
        finally:
            logging.getLogger().setLevel(quiet)
