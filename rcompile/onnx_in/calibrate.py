"""Calibrate: static input scales from sample inputs, run through the source model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir

from rcompile.errors import BadInputError, UnsupportedError
from rcompile.hardware.target import Target
from rcompile.onnx_in.linears import Linear
from rcompile.onnx_in.samples import activations
from rcompile.vocabulary import InputScale


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

    model, source, samples: as `activations` takes them. Raises BadInputError.
    """
    names = {use.name: str(use.x.name) for linear in linears for use in linear.uses}
    largest = dict.fromkeys(names.values(), 0.0)
    for batch in activations(model, source, linears, samples):
        for name, array in batch.arrays.items():
            largest[name] = max(largest[name], float(np.abs(array).max(initial=0.0)))
    bad = sorted(n for n, v in largest.items() if not 0 < v < np.inf)
    if bad:
        raise BadInputError(
            f"calibration with '{samples}' gives no usable range for {', '.join(bad[:3])}: its values are all zero, or NaN or Inf."
        )
    qmax = (1 << (target.input.bits - 1)) - 1
    return {node: float(np.float32(largest[x]) / np.float32(qmax)) for node, x in names.items()}
