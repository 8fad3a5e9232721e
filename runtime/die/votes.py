"""Voting in NumPy: what a self-test finds, and the bitline that each vote group resolves to. docs/hardware.md is its
prose.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rcompile.hardware.target import Target
from rcompile.layout.normal_form import I64, U8, Placement
from rcompile.vocabulary import Combiner
from runtime.die.cells import F64, read_back


def operation_units(place: Placement, tile: int, target: Target) -> Iterator[I64]:
    """The driven wordlines of each operation unit of a tile."""
    for first in range(0, target.crossbar.rows, target.crossbar.active_rows):
        unit = np.arange(first, min(first + target.crossbar.active_rows, target.crossbar.rows))
        yield unit[place.wordline_input[tile, unit] >= 0]


def decide(replicas: U8, target: Target) -> U8:
    """The true level of each cell, as a self-test decides from its replicas: u8 [...] of u8 [..., R]."""
    top = target.top_level
    votes = np.stack([(replicas == level).sum(axis=-1) for level in range(top + 1)], axis=-1)
    winners = votes == votes.max(axis=-1, keepdims=True)
    between = winners.copy()
    between[..., [0, top]] = False
    ends = np.where(winners[..., 0] & winners[..., top], target.likelier_level, np.where(winners[..., 0], 0, top))
    return np.where(between.any(axis=-1), between.argmax(axis=-1), ends).astype(np.uint8)


def resolve(levels: U8 | F64, place: Placement, target: Target, combiner: Combiner) -> U8 | F64:
    """Levels [T, rows, cols] in which replica 0 of every group holds what the combiner computes from; the others are
    not read any more.

    The levels as they are for `none`, and for `median` and `mean`, which vote in each read. `cell` reads all cells
    back: its levels are whole.
    """
    if combiner not in ("cell", "select"):
        return levels
    found = read_back(levels, target.top_level)
    resolved = (found if combiner == "cell" else levels).copy()
    for t in range(place.tiles):
        for members in place.vote_groups(t):
            replicas = found[t][:, members]  # [rows, groups, R]
            decided = decide(replicas, target)
            if combiner == "cell":
                resolved[t][:, members[:, 0]] = decided
                continue
            damage = (replicas.astype(np.int64) - decided[:, :, None]) ** 2
            for unit in operation_units(place, t, target):
                best = damage[unit].sum(axis=0).argmin(axis=1)
                chosen = np.take_along_axis(members, best[:, None], 1)[:, 0]
                resolved[t][np.ix_(unit, members[:, 0])] = levels[t][np.ix_(unit, chosen)]
    return resolved
