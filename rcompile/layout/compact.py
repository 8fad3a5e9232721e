"""Compact: leave out the inputs and outputs that pruning has set to zero, so that their wordlines and bitlines are
free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rcompile.layout.normal_form import I32, BlockCodes
from rcompile.layout.quantize import QuantizedLinear


@dataclass(frozen=True, eq=False)
class UsedLines:
    """The inputs and outputs of a layer that need cells, each in rising order: i32 [<= K], i32 [<= N]."""

    inputs: I32
    outputs: I32


def used_lines(blocks: Sequence[BlockCodes]) -> UsedLines:
    """As `compact`, of codes that were decoded."""
    none = [np.empty(0, np.int32)]
    inputs = np.unique(np.concatenate(none + [b.inputs[b.codes.any(axis=1)] for b in blocks]))
    outputs = np.unique(np.concatenate(none + [b.outputs[b.codes.any(axis=0)] for b in blocks]))
    return UsedLines(inputs, outputs) if len(inputs) else UsedLines(np.zeros(1, np.int32), np.zeros(1, np.int32))


def placed_lines(blocks: Sequence[BlockCodes]) -> UsedLines:
    """The inputs and outputs that have cells, whatever the codes in them."""
    none = [np.empty(0, np.int32)]
    inputs, outputs = ([getattr(block, of) for block in blocks] for of in ("inputs", "outputs"))
    return UsedLines(np.unique(np.concatenate(none + inputs)), np.unique(np.concatenate(none + outputs)))


def compact(linear: QuantizedLinear) -> UsedLines:
    """The inputs and outputs that have a weight code other than zero; a layer of zeros keeps its first of each."""
    used = linear.codes != 0
    inputs, outputs = (np.flatnonzero(used.any(axis=axis)).astype(np.int32) for axis in (1, 0))
    return UsedLines(inputs, outputs) if len(inputs) else UsedLines(np.zeros(1, np.int32), np.zeros(1, np.int32))
