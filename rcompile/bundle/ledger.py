"""The ledger of a bundle and the summary of its protection, made of the arrays: when it is written, and again when it
is checked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rcompile.bundle.manifest import AllocationEntry, LedgerRow
from rcompile.hardware.target import Target
from rcompile.layout.compact import UsedLines
from rcompile.layout.normal_form import I64, Placement
from rcompile.layout.place import plain_crossbars


@dataclass(frozen=True, eq=False)
class Copies:
    """How many bitlines hold each digit of each output over a row block: i64 [n, digits], of outputs i64 [n]. An output
    that has not as many in every row block is there more than once.
    """

    outputs: I64
    counts: I64


def ledger_row(layer: str, shape: tuple[int, int], lines: UsedLines, placement: Placement, target: Target) -> LedgerRow:
    """What a layer takes. shape: inputs and outputs of the dense layer. lines: those that pruning left."""
    width = target.bitlines_per_output
    kept = len(lines.inputs), len(lines.outputs)
    return LedgerRow(
        layer=layer,
        crossbars_dense=plain_crossbars(*shape, target),
        crossbars_pruned=plain_crossbars(*kept, target),
        crossbars=placement.tiles,
        cells_dense=shape[0] * shape[1] * width,
        cells_pruned=kept[0] * kept[1] * width,
        cells_used=placement.cells_used,
        cells=placement.tiles * target.crossbar.rows * target.crossbar.cols,
    )


def held_copies(placement: Placement) -> Copies:
    """The copies of every output that has bitlines."""
    blocks: dict[bytes, int] = {}
    block_of = np.array([blocks.setdefault(row.tobytes(), len(blocks)) for row in placement.wordline_input], np.int64)
    tile, col = np.nonzero(placement.bitline_output >= 0)
    output = placement.bitline_output[tile, col].astype(np.int64)
    outputs = int(output.max(initial=0)) + 1
    places, which = np.unique(block_of[tile] * outputs + output, return_inverse=True)
    digits = len(placement.encoding.digits)
    counts = np.bincount(
        which.reshape(-1) * digits + placement.bitline_digit[tile, col], minlength=len(places) * digits
    )
    held = np.unique(np.column_stack([places % outputs, counts.reshape(-1, digits)]), axis=0)
    return Copies(held[:, 0], held[:, 1:])


def allocation_entries(copies: Copies) -> tuple[AllocationEntry, ...]:
    """How many outputs hold their digits in how many copies."""
    distinct, outputs = np.unique(copies.counts, axis=0, return_counts=True)
    pairs = zip(distinct.tolist(), outputs.tolist(), strict=True)
    return tuple(AllocationEntry(copies=tuple(c), outputs=n) for c, n in pairs)
