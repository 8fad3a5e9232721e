"""Quantize: a linear's float weights become integer codes with one scale per output."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rcompile.errors import BadInputError
from rcompile.hardware.encoding import Encoding
from rcompile.hardware.target import Target
from rcompile.layout.normal_form import F32, I8, I32, U8
from rcompile.onnx_in.linears import Linear


@dataclass(frozen=True, eq=False)
class QuantizedLinear:
    """codes: int8 [K, N] in [-(2^(W-1)-1), 2^(W-1)-1]. weight_scale: float32 [N], > 0; weight ~ codes *
    weight_scale.
    """

    name: str
    codes: I8
    weight_scale: F32


def code_steps(replicas: U8, encoding: Encoding) -> I32:
    """What the codes of each output are multiples of, the smallest digit that it keeps: i32 [N] of replicas u8 [N,
    digits].
    """
    magnitudes = np.abs(np.array(encoding.digits, np.int32))
    return np.where(replicas > 0, magnitudes, magnitudes.max()).min(axis=1)


def quantize(linear: Linear, target: Target, step: I32 | None = None) -> QuantizedLinear:
    """Symmetric, per output, to the nearest code (ties to even); int8 codes that came with the model are kept as they
    are.

    step: i32 [N], the codes of an output are multiples of it; None for 1 throughout. An output whose weights are all
    zero gets scale 1. Raises BadInputError for NaN or Inf weights or biases.
    """
    if not all(np.isfinite(use.bias).all() for use in linear.uses if use.bias is not None):
        raise BadInputError(f"the bias of '{linear.name}' holds NaN or Inf. The model is broken; export a sound one.")
    limit = target.weight_code_max
    weight = linear.weight.read()
    steps = np.ones(weight.values.shape[1], np.int32) if step is None else step
    given = weight.scale is not None and int(np.abs(weight.values.astype(np.int16)).max()) <= limit
    if given and (steps == 1).all():
        assert weight.scale is not None
        return QuantizedLinear(linear.name, weight.values, weight.scale)
    codes, scale = _nearest_codes(weight.dequantized(), limit // steps)
    codes *= steps.astype(np.int8)
    scale /= steps.astype(np.float32)
    if given:  # only outputs that give up digits get codes of their own
        assert weight.scale is not None
        codes, scale = np.where(steps == 1, weight.values, codes), np.where(steps == 1, weight.scale, scale)
    del weight
    linear.weight.release()
    return QuantizedLinear(linear.name, codes, scale)


def _nearest_codes(values: F32, limit: int | I32) -> tuple[I8, F32]:
    """Codes int8 [K, N] and scales float32 [N] of weights float32 [K, N]. limit: the largest code, of all outputs or of
    each.
    """
    largest = np.maximum(values.max(axis=0), -values.min(axis=0))
    # A scale below the smallest normal float would divide by zero; such an output is zero at any precision.
    scale = (largest / np.asarray(limit, np.float32)).astype(np.float32)
    scale[scale < np.finfo(np.float32).tiny] = 1.0
    codes = values / scale
    np.rint(codes, out=codes)
    np.clip(codes, -limit, limit, out=codes)
    return codes.astype(np.int8), scale
