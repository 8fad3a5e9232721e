"""Order for a known die: which crossbars a model lies on, which wordline an input drives, which bitline holds what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from rcompile.hardware.faults import Fault
from rcompile.layout.normal_form import I32, I64, MAPS, U8, Placement

F64 = npt.NDArray[np.float64]
BITLINE_MAPS = tuple(name for name in MAPS if name.startswith("bitline_"))


def cleanest_crossbars(stuck: I64, needed: int) -> I32:
    """The crossbars with the fewest stuck cells, as many as are needed, in rising order: of equally bad ones the first.
    stuck: i64 [crossbars], stuck cells of each.
    """
    return np.sort(np.argsort(stuck, kind="stable")[:needed]).astype(np.int32)


def heaviest_first(placement: Placement, faults: U8, weight: F64) -> Placement:
    """The wordlines of each row block with the fewest stuck cells on used bitlines are driven by the inputs of most
    weight, the worst ones by none or by those of least; a row block without stuck cells stays as it is. faults: u8 [T,
    rows, cols] of `Fault`. weight: f64 [K], of each input.
    """
    driven_by = placement.wordline_input.copy()
    for tiles in placement.row_blocks():
        used = placement.bitline_output[tiles] >= 0
        stuck = ((faults[tiles] != Fault.GOOD) & used[:, None, :]).sum(axis=(0, 2))
        if stuck.any():
            inputs = driven_by[tiles.start]
            heaviest = np.argsort(np.where(inputs >= 0, -weight[inputs], np.inf), kind="stable")
            driven_by[tiles, np.argsort(stuck, kind="stable")] = inputs[heaviest]
    return replace(placement, wordline_input=driven_by)


def cleanest_first(placement: Placement, faults: U8) -> Placement:
    """The bitlines of each tile with the fewest stuck cells hold the largest digits, the worst ones nothing or the
    smallest; a tile without stuck cells stays as it is. faults: u8 [T, rows, cols] of `Fault`, of its crossbars.

    Digits of one magnitude take turns: where the outputs of one had the cleaner bitlines in their order, those of the
    next have them the other way round, so that no output has only bad ones.
    """
    cols = placement.bitline_output.shape[1]
    driven = placement.wordline_input >= 0
    stuck = ((faults != Fault.GOOD) & driven[:, :, None]).sum(axis=1)
    digits = np.abs(np.array(placement.encoding.digits))
    turn = np.array([(digits[:i] == digit).sum() for i, digit in enumerate(digits)])
    used = placement.bitline_output >= 0
    magnitude = np.where(used, digits[placement.bitline_digit], 0)
    of_digit = turn[placement.bitline_digit]
    place = np.where(of_digit % 2, np.arange(cols)[::-1], np.arange(cols))
    content = np.argsort(((digits.max() - magnitude) * len(digits) + of_digit) * cols + place, axis=1, kind="stable")
    bitline = np.argsort(stuck, axis=1, kind="stable")
    content = np.where(stuck.any(axis=1, keepdims=True), content, bitline)

    from_bitline = np.empty_like(content)
    np.put_along_axis(from_bitline, bitline, content, axis=1)
    maps: dict[str, Any] = {
        name: np.take_along_axis(getattr(placement, name), from_bitline, axis=1) for name in BITLINE_MAPS
    }
    return replace(placement, **maps)
