"""Soft errors in a model's numbers: embedding tables and biases with flipped bits, put into a session when it is
loaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from rcompile.bundle.host_graph import DOMAIN, OP_TYPE
from rcompile.bundle.manifest import MODEL
from rcompile.bundle.reader import Bundle
from rcompile.errors import UsageError
from rcompile.onnx_in.guard import guarded
from rcompile.onnx_in.read import OWN_PREFIX, load_checked
from runtime.die.any_die import AnyDie
from runtime.die.flips import bit_flips
from runtime.die.randomness import Purpose, crossbar_key

Numbers = npt.NDArray[np.generic]


@dataclass(frozen=True)
class NumberErrors:
    """Which numbers of a model a die flips: rates of numbers with one flipped bit. bit: None for any."""

    seed: int
    embedding_rate: float
    bias_rate: float
    bit: int | None


def number_errors(die: AnyDie | None) -> NumberErrors | None:
    """The soft errors of a die in embeddings and biases; None if it has none."""
    soft = die.effects.soft_errors if die else None
    if die is None or soft is None or not (soft.embedding_rate or soft.bias_rate):
        return None
    return NumberErrors(die.seed, soft.embedding_rate, soft.bias_rate, soft.number_bit)


def flipped_numbers(bundle: Bundle, errors: NumberErrors) -> dict[str, Numbers]:
    """The initializers of the bundle's host graph that soft errors change, by name, as they become.

    Raises UsageError for a bit that a number has not, and where there is no table to flip.
    """
    path = bundle.path(MODEL)
    with guarded(path):
        changed = dict(_flips(load_checked(path), errors))
    if errors.embedding_rate and all(name.startswith(OWN_PREFIX) for name in changed):
        raise UsageError(
            f"effects.soft_errors.embedding_rate: bundle '{bundle.folder}' has no embedding table of a KiB or more, which a Gather reads."
        )
    return changed


def _flips(model: ir.Model, errors: NumberErrors) -> Iterator[tuple[str, Numbers]]:
    for tensor, rate in _exposed(model, errors):
        if rate and isinstance(tensor, ir.ExternalTensor):
            name = str(tensor.name)
            numbers = flipped(tensor.numpy(), name, rate, errors)
            yield name, saturated(numbers) if name.startswith(OWN_PREFIX) else numbers


def _exposed(model: ir.Model, errors: NumberErrors) -> Iterator[tuple[ir.TensorProtocol, float]]:
    """Embedding tables, what a Gather reads rows of, and the biases of crossbars. Tables of less than a KiB lie in the
    graph, and are left out.
    """
    for node in model.graph.all_nodes():
        data = node.inputs[0] if node.inputs else None
        if (node.domain, node.op_type) == (DOMAIN, OP_TYPE):
            bias = node.inputs[-1] if node.inputs else None
            if bias is not None and bias.const_value is not None:
                yield bias.const_value, errors.bias_rate
            continue
        table = data.const_value if node.op_type == "Gather" and data is not None else None
        if table is not None and table.dtype.is_floating_point() and len(table.shape) == 2:
            yield table, errors.embedding_rate


def flipped(numbers: Numbers, name: str, rate: float, errors: NumberErrors) -> Numbers:
    """An array of floats in which a share `rate` of the numbers has one flipped bit; `name` tells arrays apart."""
    bits = 8 * numbers.itemsize
    if errors.bit is not None and errors.bit >= bits:
        raise UsageError(
            f"effects.soft_errors.number_bit is {errors.bit}, but '{name}' holds numbers of {bits} bits: give 0 .. {bits - 1}."
        )
    tile = int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "little")
    key = crossbar_key(errors.seed, Purpose.NUMBERS, tile)
    flips = bit_flips(key, np.arange(numbers.size), rate, -1 if errors.bit is None else errors.bit, bits)
    words = np.ascontiguousarray(numbers).view(f"u{numbers.itemsize}").reshape(-1)
    return (words ^ flips.astype(words.dtype)).view(numbers.dtype).reshape(numbers.shape)


def saturated(biases: Numbers) -> Numbers:
    """Float32 biases as an adder that saturates takes them: NaN and Inf are the largest finite number of their sign."""
    largest = np.copysign(np.finfo(np.float32).max, biases.astype(np.float32))
    return np.where(np.isfinite(biases), biases, largest)
