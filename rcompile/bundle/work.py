"""A layer on its way through the pipeline."""

from __future__ import annotations

from dataclasses import dataclass

from rcompile.layout.compact import Kept
from rcompile.layout.normal_form import Placement, Tiles
from rcompile.layout.quantize import QuantizedLinear
from rcompile.onnx_in.linears import Linear


@dataclass(frozen=True, eq=False)
class LayerWork:
    """One layer on its way through the stages; None for what a stage that did not run would have made."""

    linear: Linear
    quantized: QuantizedLinear | None = None
    kept: Kept | None = None
    placement: Placement | None = None
    tiles: Tiles | None = None


@dataclass(frozen=True)
class LayerSummary:
    """One layer in numbers; None for stages that did not run."""

    name: str
    inputs: int
    outputs: int
    nodes: int
    crossbars: int | None
    cells_used: int | None
    inverted_bitlines: int | None


def summarize(work: LayerWork) -> LayerSummary:
    """The layer in numbers."""
    linear, placement, tiles = work.linear, work.placement, work.tiles
    return LayerSummary(
        linear.name,
        linear.inputs,
        linear.outputs,
        len(linear.uses),
        crossbars=placement.tiles if placement else None,
        cells_used=placement.cells_used if placement else None,
        inverted_bitlines=int(tiles.bitline_inverted.sum()) if tiles else None,
    )
