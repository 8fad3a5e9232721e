"""Constant matrices of a graph: what a value holds, followed through the nodes that exporters put in between."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass, replace

import ml_dtypes  # noqa: F401  (bfloat16 for NumPy)
import numpy as np
import onnx_ir as ir

from rcompile.errors import BadInputError

FLOATS = {ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE}
STANDARD_DOMAINS = ("", "ai.onnx")
QUANTIZED = {ir.DataType.INT8, ir.DataType.UINT8, ir.DataType.INT32}
Steps = tuple[Hashable, ...]


@dataclass(frozen=True, eq=False)
class WeightValues:
    """The numbers of a constant matrix: float32 values, or int8 codes with one scale a column.

    values: float32 or int8 [K, N]. scale: float32 [N] with int8 values, else None.
    """

    values: np.ndarray
    scale: np.ndarray | None = None

    def dequantized(self) -> np.ndarray:
        """float32, same shape."""
        if self.scale is None:
            return self.values
        return self.values.astype(np.float32) * self.scale


@dataclass(frozen=True, eq=False)
class ConstantWeight:
    """A constant reached through Identity, Cast, Transpose and DequantizeLinear, not yet read.

    dtype is that of the value as the product sees it. origin: the initializer at the start of the chain; steps: what
    the chain does to it.
    """

    value: ir.Value
    origin: ir.Value
    steps: Steps
    shape: tuple[int, ...]
    dtype: ir.DataType
    transpose: bool = False
    alpha: float = 1.0

    @property
    def name(self) -> str:
        """The name of the stored tensor."""
        return str(self.origin.name)

    def likeness(self) -> Hashable:
        """The same for equal matrices, and another for most that differ: the stored tensor's first row, and what is
        done to it.
        """
        stored = _stored(self.origin)
        likeness = self.steps, self.transpose, self.alpha, str(stored.dtype), stored.shape, stored[:1].tobytes()
        del stored
        self.release()
        return likeness

    def equals(self, other: ConstantWeight) -> bool:
        """True if two of one likeness hold the same numbers, stored once or twice: exporters fold a transpose once for
        each use of a tied weight.
        """
        return self.origin is other.origin or np.array_equal(_stored(self.origin), _stored(other.origin))

    def transposed(self) -> ConstantWeight:
        """The matrix with its axes exchanged."""
        return replace(self, shape=self.shape[::-1], transpose=not self.transpose)

    def scaled(self, alpha: float) -> ConstantWeight:
        """The matrix times alpha."""
        return replace(self, alpha=self.alpha * alpha)

    def read(self) -> WeightValues:
        """The numbers. Raises BadInputError for NaN or Inf."""
        found = _evaluate(self.value)
        if isinstance(found, np.ndarray):
            values = found.T if self.transpose else found
            if self.alpha != 1.0:
                values = values * np.float32(self.alpha)
            values = np.ascontiguousarray(values, np.float32)
            _require_finite(values, self.name)
            return WeightValues(values)
        return self._quantized(*found)

    def release(self) -> None:
        """Let go of the mapped file that `read` left open, so that memory is bounded by one layer and not by the
        model.
        """
        tensor = _tensor(self.origin)
        if isinstance(tensor, ir.ExternalTensor):
            with suppress(BufferError):  # codes that are kept as they were still lie there
                tensor.release()

    def _quantized(self, codes: np.ndarray, scale: np.ndarray, axis: int | None) -> WeightValues:
        if self.transpose:
            codes, axis = codes.T, None if axis is None else 1 - axis
        scale = scale * np.float32(self.alpha)
        _require_finite(scale, self.name)
        per_output = axis in (None, 1)
        if codes.ndim == 2 and per_output and codes.min() >= -127 and codes.max() <= 127 and (scale > 0).all():
            return WeightValues(np.ascontiguousarray(codes, np.int8), np.broadcast_to(scale, codes.shape[1]).copy())
        if axis is not None:
            scale = scale.reshape([-1 if i == axis else 1 for i in range(codes.ndim)])
        return WeightValues((codes.astype(np.float32) * scale).astype(np.float32))


def constant_weight(value: ir.Value) -> ConstantWeight | None:
    """The constant that `value` always holds, or None if it depends on an input or is made in a way that is not
    followed.
    """
    origin, steps = _origin(value)
    tensor = _tensor(origin)
    if tensor is None or tensor.dtype not in FLOATS | QUANTIZED:
        return None
    dtype = _dtype(value)
    if dtype not in FLOATS:
        return None
    shape = tuple(int(d) for d in tensor.shape.numpy())
    shape = shape[::-1] if steps.count("T") % 2 else shape
    return ConstantWeight(value, origin, steps, shape, dtype)


def _tensor(value: ir.Value) -> ir.TensorProtocol | None:
    """The tensor of an initializer. Constant nodes are initializers by then: reading lifts them."""
    return value.const_value if value.producer() is None and value.is_initializer() else None


def _origin(value: ir.Value) -> tuple[ir.Value, Steps]:
    """The value at the start of the chain, and what each node from there does to it; equal steps do the same."""
    steps: list[Hashable] = []
    while (node := value.producer()) is not None and node.domain in STANDARD_DOMAINS and node.inputs:
        step = _step(node)
        if step is None or node.inputs[0] is None or (_is(step, "Q") and any(map(_hides_codes, steps))):
            break
        if step != "I":
            steps.append(step)
        value = node.inputs[0]
    return value, tuple(reversed(steps))


def _is(step: Hashable, kind: str) -> bool:
    return isinstance(step, tuple) and step[0] == kind


def _hides_codes(step: Hashable) -> bool:
    """True if the codes before this step are not those of what comes after: quantized again, or cast to an integer."""
    return _is(step, "Q") or (isinstance(step, tuple) and step[0] == "C" and ir.DataType(step[1]) not in FLOATS)


def _step(node: ir.Node) -> Hashable | None:
    """What a node does to its first input; None if that is not followed."""
    if node.op_type == "Identity":
        return "I"
    if node.op_type == "Cast":
        return ("C", node.attributes["to"].as_int())
    if node.op_type == "Transpose":
        plain = "perm" not in node.attributes or tuple(node.attributes["perm"].as_ints()) == (1, 0)
        return "T" if plain else None
    if (
        node.op_type != "DequantizeLinear"
        or len(node.inputs) < 2
        or ("block_size" in node.attributes and node.attributes["block_size"].as_int())
    ):
        return None
    parameters: list[Hashable] = []
    for source in node.inputs[1:]:
        origin, path = (None, ()) if source is None else _origin(source)
        if origin is not None and (_tensor(origin) is None or any(_is(s, "Q") for s in path)):
            return None  # a scale or zero point that is computed or depends on an input
        parameters.append((id(origin), path))
    axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 1
    return ("Q", *parameters, axis)


def _dtype(value: ir.Value) -> ir.DataType:
    """The element type at the end of a constant chain."""
    node = value.producer()
    if node is None:
        tensor = _tensor(value)
        assert tensor is not None
        return tensor.dtype
    if node.op_type == "Cast":
        return ir.DataType(node.attributes["to"].as_int())
    source = node.inputs[1] if node.op_type == "DequantizeLinear" else node.inputs[0]
    assert source is not None
    return _dtype(source)


Quantized = tuple[np.ndarray, np.ndarray, int | None]


def _evaluate(value: ir.Value) -> np.ndarray | Quantized:
    """The numbers of a constant chain: a float array, or (codes, scale, axis) of a DequantizeLinear."""
    node = value.producer()
    if node is None:
        return _stored(value)
    assert node.inputs[0] is not None
    if node.op_type == "DequantizeLinear":
        return _dequantize(node)
    inner = _evaluate(node.inputs[0])
    if isinstance(inner, tuple):
        codes, scale, axis = inner
        if node.op_type == "Transpose":
            return codes.T, scale, None if axis is None else codes.ndim - 1 - axis
        return inner  # a Cast between float types leaves the codes alone
    if node.op_type == "Transpose":
        return inner.T
    if node.op_type == "Cast":
        return inner.astype(ir.DataType(node.attributes["to"].as_int()).numpy())
    assert node.op_type == "Identity", node.op_type
    return inner


def _stored(value: ir.Value) -> np.ndarray:
    tensor = _tensor(value)
    assert tensor is not None
    try:
        return tensor.numpy()
    except (OSError, ValueError) as error:
        raise BadInputError(
            f"cannot read tensor '{value.name}': {error}. The model or its external data are truncated; export it again."
        ) from None


def _dequantize(node: ir.Node) -> Quantized:
    """Codes less their zero point, float32 scales, and the axis of the scales (None: one scale)."""

    def given(index: int) -> np.ndarray | None:
        source = node.inputs[index] if len(node.inputs) > index else None
        found = None if source is None else _evaluate(source)
        assert not isinstance(found, tuple)
        return found

    codes, scale, zero = given(0), given(1), given(2)
    assert codes is not None and scale is not None
    scale = np.atleast_1d(scale).astype(np.float32).reshape(-1)
    axis = (node.attributes["axis"].as_int() if "axis" in node.attributes else 1) % max(codes.ndim, 1)
    for name, given_one in (("scale", scale), ("zero point", zero)):
        if given_one is not None and given_one.size not in (1, *codes.shape[axis : axis + 1]):
            raise BadInputError(
                f"node '{node.name}': the {name} has {given_one.size} values for codes {list(codes.shape)} "
                f"along axis {axis}. The model is broken; export a sound one."
            )
    if zero is not None and np.any(zero):
        shape = [-1 if i == axis else 1 for i in range(codes.ndim)] if zero.size > 1 else [1]
        codes = codes.astype(np.int32) - zero.astype(np.int32).reshape(shape)
    return codes, scale, axis if scale.size > 1 else None


def _require_finite(values: np.ndarray, name: str) -> None:
    if not np.isfinite(values).all():
        at = np.argwhere(~np.isfinite(values))[0].tolist()
        raise BadInputError(
            f"weight '{name}' holds NaN or Inf, first at {at}. The model is broken (diverged training, fp16 overflow?); export a sound one."
        )
