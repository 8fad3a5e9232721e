"""A layer on its way from weights to cells: one type for each step that it has reached."""

from __future__ import annotations

from dataclasses import dataclass

from rcompile.errors import UnsupportedError
from rcompile.hardware.encoding import Encoding
from rcompile.hardware.target import Target
from rcompile.layout.compact import UsedLines, compact
from rcompile.layout.encode import encode
from rcompile.layout.form import Form
from rcompile.layout.normal_form import I8, I16, I32, U8, Placement, Tiles, most_weights
from rcompile.layout.place import place
from rcompile.layout.quantize import QuantizedLinear, code_steps, quantize
from rcompile.onnx_in.linears import Linear


@dataclass(frozen=True, eq=False)
class Planned:
    """A linear whose lines have their places."""

    linear: Linear
    quantized: QuantizedLinear
    lines: UsedLines
    placement: Placement


@dataclass(frozen=True, eq=False)
class Encoded:
    """A linear whose cells have their levels. held: i16 [K, N], the weight codes that the cells of a known die let them
    stand for; None where they are as quantized.
    """

    planned: Planned
    tiles: Tiles
    held: I16 | None = None

    @property
    def codes(self) -> I8 | I16:
        """The weight codes that the levels stand for: int8 [K, N] as they were quantized, or int16 what a die holds."""
        return self.planned.quantized.codes if self.held is None else self.held

    def form(self, target: Target, elsewhere: I32) -> Form:
        """As the rules look at it. elsewhere: the crossbars of the layers before."""
        linear, scale = self.planned.linear, self.planned.quantized.weight_scale
        biases = {f"the bias of {use.name}": use.bias for use in linear.uses if use.bias is not None}
        return Form(self.tiles, scale, biases, linear.inputs, linear.outputs, target, elsewhere)


def plan(linear: Linear, replicas: U8, encoding: Encoding, target: Target, first_crossbar: int) -> Planned:
    """Quantize, compact, place. replicas: u8 [N, digits], bitlines that hold each digit of each output; where one gives
    up digits, its codes are multiples of the smallest that it keeps. Raises UnsupportedError for a layer of more
    weights than its cells allow.
    """
    quantized = quantize(linear, target, None if replicas.all() else code_steps(replicas, encoding))
    lines = compact(quantized)
    placement = place(lines, replicas, encoding, target, first_crossbar)
    cells = placement.tiles * target.crossbar.rows * target.crossbar.cols
    if linear.inputs * linear.outputs > most_weights(cells):
        raise UnsupportedError(
            f"layer '{linear.name}' has {linear.inputs} x {linear.outputs} weights, more than the {most_weights(cells)} that a layer of {cells} cells may have: "
            f"it is too large, or pruned almost whole. Leave it on the CPU: --keep-on-host '{linear.name}'."
        )
    return Planned(linear, quantized, lines, placement)


def program(planned: Planned, target: Target) -> Encoded:
    """The levels of a planned layer's cells."""
    return Encoded(planned, encode(planned.quantized, planned.placement, target))


@dataclass(frozen=True)
class LayerSummary:
    """One layer in numbers; None for what its steps have not made yet."""

    name: str
    inputs: int
    outputs: int
    nodes: int
    crossbars: int | None = None
    cells_used: int | None = None
    inverted_bitlines: int | None = None


def summarize(step: Linear | Planned | Encoded) -> LayerSummary:
    """The layer in numbers."""
    planned = step.planned if isinstance(step, Encoded) else step
    linear = planned.linear if isinstance(planned, Planned) else planned
    placement = planned.placement if isinstance(planned, Planned) else None
    return LayerSummary(
        linear.name,
        linear.inputs,
        linear.outputs,
        len(linear.uses),
        crossbars=placement.tiles if placement else None,
        cells_used=placement.cells_used if placement else None,
        inverted_bitlines=int(step.tiles.bitline_inverted.sum()) if isinstance(step, Encoded) else None,
    )
