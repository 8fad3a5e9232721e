"""Moments: how the inputs of each linear go together on samples, run through the source model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from rcompile.errors import BadInputError
from rcompile.onnx_in.linears import Linear
from rcompile.onnx_in.samples import activations


def input_moments(
    model: ir.Model, source: Path, linears: Sequence[Linear], samples: Path
) -> dict[str, npt.NDArray[np.float32]]:
    """The second moments of each linear's inputs, by its name: the sum of `x x^T` over the tokens of the samples,
    float32 [K, K]. Linears that share an input share the array.

    model, source, samples: as `activations` takes them. Raises BadInputError.
    """
    names = {linear.name: tuple(sorted({str(use.x.name) for use in linear.uses})) for linear in linears}
    sizes = {names[linear.name]: linear.inputs for linear in linears}
    moments = {values: np.zeros((size, size), np.float32) for values, size in sizes.items()}
    for batch in activations(model, source, linears, samples):
        for values, sums in moments.items():
            for value in values:
                rows = batch.rows(value)
                with np.errstate(over="ignore", invalid="ignore"):  # said below
                    sums += rows.T @ rows
    for values, sums in moments.items():
        if not 0 < np.trace(sums) < np.inf or not np.isfinite(sums).all():
            raise BadInputError(
                f"samples '{samples}' give no usable moments of {values[0]}: its values are all zero, or NaN or Inf."
            )
    return {name: moments[values] for name, values in names.items()}
