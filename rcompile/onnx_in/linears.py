"""Find linears: every product of an activation and a constant matrix.

Takes MatMul, MatMul + Add and Gemm (either transpose, any alpha and beta), with the weight an initializer or a
Constant, directly or behind Identity, Cast, Transpose and DequantizeLinear. What stays on the host is listed with its
reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from rcompile.errors import BadInputError, UnsupportedError
from rcompile.onnx_in.constants import STANDARD_DOMAINS, ConstantWeight, constant_weight
from rcompile.onnx_in.names import layer_name, unique

# Sums of 8-bit products fit 32 bits up to this many inputs.
MAX_INPUTS, MAX_OUTPUTS = 1 << 16, 1 << 20
PRODUCTS = {
    "MatMul",
    "Gemm",
    "MatMulInteger",
    "QLinearMatMul",
    "FusedMatMul",
    "MatMulNBits",
    "DynamicQuantizeMatMul",
    "MatMulIntegerToFloat",
    "QGemm",
    "Attention",
    "QAttention",
    "Einsum",
    "Conv",
    "LSTM",
    "GRU",
}


@dataclass(frozen=True, eq=False)
class Use:
    """One place in the graph that multiplies by a linear's weight.

    node: the product; tail: the bias Add that it absorbs, if any. result: the value that it stands for. bias: float32
    [N] or None. dtype: of activation and result.
    """

    node: ir.Node
    tail: ir.Node | None
    result: ir.Value
    bias: np.ndarray | None
    dtype: ir.DataType

    @property
    def x(self) -> ir.Value:
        """The activation: whatever feeds the product now, since rewriting one linear changes the input of the next."""
        value = self.node.inputs[0]
        assert value is not None
        return value

    @property
    def name(self) -> str:
        """The node's name, which reading has made its own."""
        return str(self.node.name)


Group = list[tuple[Use, ConstantWeight]]  # whose weights are equal


@dataclass(frozen=True, eq=False)
class Linear:
    """A constant matrix and every node that multiplies by it (tied weights: several).

    weight.read() gives float32 [inputs, outputs] or the stored int8 codes with their scales; it is read once, when its
    turn comes.
    """

    name: str
    inputs: int
    outputs: int
    weight: ConstantWeight
    uses: tuple[Use, ...]


@dataclass(frozen=True)
class Unmapped:
    """A product that stays on the host, and why."""

    node: str
    op: str
    reason: str


@dataclass(frozen=True, eq=False)
class Found:
    """What `find_linears` found, in graph order."""

    linears: tuple[Linear, ...]
    unmapped: tuple[Unmapped, ...]


def find_linears(model: ir.Model, stay: Callable[[Sequence[str]], Collection[str]] = lambda names: ()) -> Found:
    """Every linear of the main graph. stay(the names of all layers): those that are left on the CPU.

    Raises UnsupportedError if there is none.
    """
    groups: list[Group] = []
    alike: dict[Hashable, list[Group]] = {}  # by likeness, so that most pairs need no comparison
    unmapped: list[Unmapped] = []
    for node in model.graph.all_nodes():
        if node.op_type not in PRODUCTS:
            continue
        use = _use(node) if node.graph is model.graph else "it lies in a subgraph"
        if isinstance(use, str):
            unmapped.append(Unmapped(str(node.name), node.op_type, use))
        else:
            candidates = alike.setdefault(use[1].likeness(), [])
            tied = next((group for group in candidates if group[0][1].equals(use[1])), None)
            if tied is None:
                candidates.append([use])
                groups.append(candidates[-1])
            else:
                tied.append(use)
    linears: list[Linear] = []
    taken: set[str] = set()
    names = [unique(layer_name(group[0][0].node, group[0][0].name, group[0][1].name), taken) for group in groups]
    staying = stay(names)
    for name, group in zip(names, groups, strict=True):
        uses, weight = tuple(u for u, _ in group), group[0][1]
        if name in staying:
            unmapped.extend(Unmapped(u.name, u.node.op_type, "kept on the host as asked") for u in uses)
        else:
            linears.append(Linear(name, weight.shape[0], weight.shape[1], weight, uses))
    if not linears:
        listed = "".join(f"\n  {u.op} {u.node}: {u.reason}" for u in unmapped[:20])
        raise UnsupportedError(f"the model has no linear layer to map.{listed}")
    return Found(tuple(linears), tuple(unmapped))


def _use(node: ir.Node) -> tuple[Use, ConstantWeight] | str:
    """The use of a constant weight that `node` is, or the reason why it is none."""
    if node.domain not in STANDARD_DOMAINS or node.op_type not in ("MatMul", "Gemm"):
        return (
            f"{node.op_type} hides its product from this compiler; export the model without that fusion or quantization"
        )
    if len(node.inputs) < 2:  # what a function that is called with too little leaves behind
        raise BadInputError(f"'{node.name}' multiplies {len(node.inputs)} values, not two: export it again.")
    x, w = node.inputs[0], node.inputs[1]
    if x is None or w is None:
        return "an operand is missing"
    weight = constant_weight(w)
    if weight is None:
        return _why_not_constant(x, w)
    if len(weight.shape) != 2:
        return f"the constant has rank {len(weight.shape)}, not 2"
    if 0 in weight.shape:
        return "the constant is empty"
    if weight.shape[0] > MAX_INPUTS or weight.shape[1] > MAX_OUTPUTS:
        return (
            f"the matrix {list(weight.shape)} exceeds what 32-bit sums hold: {MAX_INPUTS} inputs, {MAX_OUTPUTS} outputs"
        )
    if node.op_type == "Gemm":
        return _gemm_use(node, x, weight)
    _check_activation(node, x, weight, 1)
    tail, bias = _following_bias(node, weight.shape[1])
    result = (tail or node).outputs[0]
    return Use(node, tail, result, bias, weight.dtype), weight


def _why_not_constant(x: ir.Value, w: ir.Value) -> str:
    """Why the right operand of a product is no weight that could be mapped."""
    if _depends_on_input(w):
        return "the constant is the left operand" if constant_weight(x) is not None else "both operands are activations"
    maker = w.producer()
    stored = "is stored in a type" if maker is None else f"is made by {maker.op_type} in a way"
    return f"the weight {stored} that this compiler does not read: float32, float16, bfloat16, or int8 a tensor or a channel"


def _depends_on_input(value: ir.Value) -> bool:
    """True if a path of nodes leads from an input of the graph to the value."""
    waiting, seen = [value], set()
    while waiting:
        value = waiting.pop()
        node = value.producer()
        if node is None and not value.is_initializer():
            return True
        if node is not None and node not in seen:
            seen.add(node)
            waiting.extend(v for v in node.inputs if v is not None)
    return False


def _check_activation(node: ir.Node, x: ir.Value, weight: ConstantWeight, rank: int) -> None:
    """The activation, as far as the file says what it is, must fit the weight: ONNX Runtime would refuse the bundle, or
    find out when it runs. rank: the least; of Gemm, the only one. Raises BadInputError.
    """
    shape, inputs = x.shape, weight.shape[0]
    if x.dtype is not None and x.dtype != weight.dtype:
        raise BadInputError(
            f"'{node.name}' multiplies '{x.name}', of {x.dtype.name}, by a weight of {weight.dtype.name}: export it again."
        )
    if shape is None:
        return
    fits = len(shape) == rank if node.op_type == "Gemm" else len(shape) >= rank
    if not fits or (isinstance(shape[-1], int) and shape[-1] != inputs):
        raise BadInputError(
            f"'{node.name}' multiplies '{x.name}', of shape {shape}, by a weight of {inputs} rows: export it again."
        )


def _gemm_use(node: ir.Node, x: ir.Value, weight: ConstantWeight) -> tuple[Use, ConstantWeight] | str:
    def attribute(name: str, default: float) -> float:
        return node.attributes[name].as_float() if name in node.attributes else default

    def flag(name: str) -> bool:
        return name in node.attributes and node.attributes[name].as_int() != 0

    if flag("transA"):
        return "Gemm transposes its activation"
    weight = weight.transposed() if flag("transB") else weight
    weight = weight.scaled(attribute("alpha", 1.0))
    _check_activation(node, x, weight, 2)
    bias: np.ndarray | None = None
    if len(node.inputs) > 2 and node.inputs[2] is not None and attribute("beta", 1.0) != 0:
        constant = constant_weight(node.inputs[2])
        if constant is None:
            return "the bias of Gemm is an activation"
        if math.prod(constant.shape) not in (1, weight.shape[1]) or math.prod(constant.shape[:-1]) != 1:
            return f"the bias of Gemm has shape {list(constant.shape)}, not one value an output"
        bias = _per_output(constant, weight.shape[1]) * np.float32(attribute("beta", 1.0))
    return Use(node, None, node.outputs[0], bias, weight.dtype), weight


def _following_bias(node: ir.Node, outputs: int) -> tuple[ir.Node | None, np.ndarray | None]:
    """The Add of a constant vector that alone consumes the product, and that vector. Raises BadInputError."""
    product = node.outputs[0]
    users = list(product.uses())
    if len(users) != 1 or product.is_graph_output():
        return None, None
    add = users[0].node
    if add.graph is not node.graph or add.op_type != "Add" or add.domain not in STANDARD_DOMAINS:
        return None, None
    if len(add.inputs) != 2:
        raise BadInputError(f"'{add.name}' adds {len(add.inputs)} values, not two: export it again.")
    other = add.inputs[1 - users[0].idx]
    constant = constant_weight(other) if other is not None else None
    if (
        constant is None
        or constant.shape not in ((outputs,), (1, outputs))
        or (len(constant.shape) == 2 and not _rank_at_least_2(product))
    ):
        return None, None
    return add, _per_output(constant, outputs)


def _rank_at_least_2(value: ir.Value) -> bool:
    return value.shape is not None and len(value.shape) >= 2


def _per_output(constant: ConstantWeight, outputs: int) -> np.ndarray:
    return np.ascontiguousarray(np.broadcast_to(constant.read().dequantized().reshape(-1), outputs), np.float32)
