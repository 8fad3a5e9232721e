"""The rules of the normal form (docs/hardware.md), each written once. A rule's name is its code (`digit_twice` is
`digit-twice`), its docstring the message; what it returns, if anything, is the first place that breaks it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rcompile.layout.form import Form
from rcompile.layout.normal_form import MAX_REPLICAS, most_weights
from rcompile.onnx_in.linears import MAX_INPUTS, MAX_OUTPUTS

Rule = Callable[[Form], str]


@dataclass(frozen=True)
class Broken:
    """A rule that a layer breaks, and where."""

    code: str
    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message} [{self.code}]"


def broken_rules(form: Form) -> list[Broken]:
    """Every rule that a layer breaks, with the first place; none if it is sound. Each group takes for granted what the
    one before says, so that the first group with a broken rule is the last one looked at.
    """
    for rules in RULES:
        found = [Broken(code(r), place, message(r)) for r in rules if (place := r(form))]
        if found:
            return found
    return []


def code(rule: Rule) -> str:
    """The code of a rule."""
    return rule.__name__.replace("_", "-")


def message(rule: Rule) -> str:
    """What a rule says."""
    return str(rule.__doc__)


def array_type(form: Form) -> str:
    """levels, digits, replicas and inversions are uint8, crossbars and lines int32, scales and biases float32"""
    for name, array in _arrays(form).items():
        if array.dtype != (wanted := TYPES.get(name, np.dtype(np.float32))):
            return f"{name} is {array.dtype}, expected {wanted}"
    return ""


def array_shape(form: Form) -> str:
    """arrays are of the same tiles, of one tile at least, as many lines as the target's crossbar, and all outputs"""
    tiles = max(1, len(form.tiles.levels)) if form.tiles.levels.ndim else 1
    rows, cols = form.target.crossbar.rows, form.target.crossbar.cols
    shapes = {"levels": (tiles, rows, cols), "crossbar": (tiles,), "wordline_input": (tiles, rows)}
    for name, array in _arrays(form).items():
        otherwise = (tiles, cols) if name.startswith("bitline_") else (form.outputs,)
        if array.shape != (wanted := shapes.get(name, otherwise)):
            return f"{name} is {list(array.shape)}, expected {list(wanted)}"
    return ""


def layer_size(form: Form) -> str:
    """sums fit types, memory the file: at most 65536 inputs, 2^20 outputs, 2^31 weights, 64 a cell above 2^26"""
    inputs, outputs, cells = form.inputs, form.outputs, form.tiles.levels.size
    fits = inputs <= MAX_INPUTS and outputs <= MAX_OUTPUTS and inputs * outputs <= most_weights(cells)
    return "" if fits else f"{inputs} inputs, {outputs} outputs, {cells} cells"


def level_range(form: Form) -> str:
    """a cell holds a level from 0 to the top one"""
    return _outside("levels", form.tiles.levels, 0, form.target.top_level)


def crossbar_range(form: Form) -> str:
    """crossbars are numbered from 0"""
    return _outside("crossbar", form.tiles.placement.crossbar, 0, np.iinfo(np.int32).max)


def input_range(form: Form) -> str:
    """a wordline is driven by an input of the layer, or is -1"""
    return _outside("wordline_input", form.tiles.placement.wordline_input, -1, form.inputs - 1)


def output_range(form: Form) -> str:
    """a bitline belongs to an output of the layer, or is -1"""
    return _outside("bitline_output", form.tiles.placement.bitline_output, -1, form.outputs - 1)


def digit_range(form: Form) -> str:
    """a bitline's digit is one of the encoding's list"""
    place = form.tiles.placement
    return _outside("bitline_digit", place.bitline_digit, 0, len(place.encoding.digits) - 1)


def replica_range(form: Form) -> str:
    """a digit has at most 15 replicas in a tile, numbered from 0"""
    return _outside("bitline_replica", form.tiles.placement.bitline_replica, 0, MAX_REPLICAS - 1)


def inversion_range(form: Form) -> str:
    """a bitline is inverted, 1, or is not, 0"""
    return _outside("bitline_inverted", form.tiles.bitline_inverted, 0, 1)


def scale_range(form: Form) -> str:
    """weight scales are finite and above 0"""
    scale = form.weight_scale
    return _first("weight_scale", scale, ~(np.isfinite(scale) & (scale > 0)))


def bias_range(form: Form) -> str:
    """biases are finite"""
    return next((p for name, b in form.biases.items() if (p := _first(name, b, ~np.isfinite(b)))), "")


def crossbar_twice(form: Form) -> str:
    """no two tiles of a layer share a crossbar"""
    crossbar = np.sort(form.tiles.placement.crossbar)
    twice = crossbar[1:][crossbar[1:] == crossbar[:-1]]
    return f"crossbar {twice[0]}" if len(twice) else ""


def crossbar_shared(form: Form) -> str:
    """no two layers share a crossbar"""
    crossbar = form.tiles.placement.crossbar
    return _first("crossbar", crossbar, np.isin(crossbar, form.elsewhere))


def input_twice(form: Form) -> str:
    """an input drives one wordline of a tile"""
    driven = np.sort(form.tiles.placement.wordline_input, axis=1)
    wrong = np.argwhere((driven[:, 1:] == driven[:, :-1]) & (driven[:, 1:] >= 0))
    return f"input {driven[tuple(wrong[0])]} in tile {wrong[0, 0]}" if len(wrong) else ""


def input_in_two_blocks(form: Form) -> str:
    """an input belongs to one row block: tiles that it drives have all their wordlines alike"""
    firsts = np.unique(form.block_of, return_index=True)[1]
    driven = form.tiles.placement.wordline_input[firsts].astype(np.int64)
    held = np.unique((driven * len(firsts) + np.arange(len(firsts))[:, None])[driven >= 0])
    inputs, blocks = held // len(firsts), held % len(firsts)
    wrong = np.flatnonzero(inputs[1:] == inputs[:-1])
    if not len(wrong):
        return ""
    both = sorted(firsts[blocks[wrong[0] : wrong[0] + 2]].tolist())
    return f"input {inputs[wrong[0]]} in tiles {both[0]} and {both[1]}"


def digit_twice(form: Form) -> str:
    """a row block holds a digit of an output in one tile only"""
    votes, place = form.votes, form.tiles.placement
    lead = (votes.number == 0) & (place.bitline_replica[votes.tile, votes.col] == 0)
    tile, col = votes.tile[lead], votes.col[lead]
    output, digit = place.bitline_output[tile, col].astype(np.int64), place.bitline_digit[tile, col]
    key = (form.block_of[tile] * form.outputs + output) * len(place.encoding.digits) + digit
    order = np.argsort(key, kind="stable")
    wrong = np.flatnonzero(key[order][1:] == key[order][:-1])
    if not len(wrong):
        return ""
    a, b = order[wrong[0] : wrong[0] + 2]
    return f"digit {digit[a]} of output {output[a]} in tiles {tile[a]} and {tile[b]}"


def bitline_without_inputs(form: Form) -> str:
    """a used bitline lies in a tile that some input drives"""
    place = form.tiles.placement
    used = (place.bitline_output >= 0) & ~(place.wordline_input >= 0).any(axis=1, keepdims=True)
    return _first("bitline_output", place.bitline_output, used)


def unused_cell(form: Form) -> str:
    """a cell on a wordline or a bitline that is not used holds level 0"""
    place = form.tiles.placement
    for t, levels in enumerate(form.tiles.levels):
        rows, cols = place.wordline_input[t] < 0, place.bitline_output[t] < 0
        if levels[rows].any() or levels[:, cols].any():
            row, col = np.argwhere((levels > 0) & (rows[:, None] | cols))[0]
            return f"levels[{t}, {row}, {col}] is {levels[row, col]}"
    return ""


def replica_numbers(form: Form) -> str:
    """the replicas of a digit lie in one tile and are numbered 0, 1, and so on"""
    votes = form.votes
    return votes.place(form.tiles.placement.bitline_replica[votes.tile, votes.col] != votes.number)


def replica_inversion(form: Form) -> str:
    """the replicas of a digit are all inverted or all not"""
    votes, inverted = form.votes, form.tiles.bitline_inverted
    return votes.place(inverted[votes.tile, votes.col] != inverted[votes.tile, votes.first])


def replica_levels(form: Form) -> str:
    """the replicas of a digit hold the same levels"""
    votes, place = form.votes, form.tiles.placement
    wrong = np.zeros(len(votes.tile), np.bool_)
    copies = np.flatnonzero(votes.number)
    for t in np.unique(votes.tile[copies]):
        of_tile = copies[votes.tile[copies] == t]
        driven = form.tiles.levels[t][place.wordline_input[t] >= 0]
        wrong[of_tile] = (driven[:, votes.col[of_tile]] != driven[:, votes.first[of_tile]]).any(axis=0)
    return votes.place(wrong)


def _arrays(form: Form) -> dict[str, npt.NDArray[Any]]:
    return {**form.tiles.tensors(), "weight_scale": form.weight_scale, **form.biases}


def _outside(name: str, array: npt.NDArray[Any], low: int, high: int) -> str:
    if low <= array.min() and array.max() <= high:
        return ""
    return f"{_first(name, array, (array < low) | (array > high))}, outside {low} .. {high}"


def _first(name: str, array: npt.NDArray[Any], wrong: npt.NDArray[np.bool_]) -> str:
    if not wrong.any():
        return ""
    at = [int(i) for i in np.unravel_index(wrong.argmax(), wrong.shape)]
    return f"{name}{at} is {array[tuple(at)]}"


TYPES = {
    **dict.fromkeys(("levels", "bitline_digit", "bitline_replica", "bitline_inverted"), np.dtype(np.uint8)),
    **dict.fromkeys(("crossbar", "wordline_input", "bitline_output"), np.dtype(np.int32)),
}
SHAPES: tuple[Rule, ...] = (array_type, array_shape, layer_size)
RANGES: tuple[Rule, ...] = (
    level_range,
    crossbar_range,
    input_range,
    output_range,
    digit_range,
    replica_range,
    inversion_range,
    scale_range,
    bias_range,
)
RELATIONS: tuple[Rule, ...] = (
    crossbar_twice,
    crossbar_shared,
    input_twice,
    input_in_two_blocks,
    digit_twice,
    bitline_without_inputs,
    unused_cell,
    replica_numbers,
    replica_inversion,
    replica_levels,
)
RULES: Sequence[tuple[Rule, ...]] = (SHAPES, RANGES, RELATIONS)
