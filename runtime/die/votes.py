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


TICKETS = 4


def tickets_of(combiner: Combiner, replicas: int) -> int:
    """Bitlines that a group of so many replicas is computed from, its first ones; each is worth an equal part of the
    digit. `median` and `mean` vote in each read instead.
    """
    return 1 if combiner != "subset" or replicas == 1 else 2 if replicas < TICKETS else TICKETS


def resolve(levels: U8 | F64, place: Placement, target: Target, combiner: Combiner) -> U8 | F64:
    """Levels [T, rows, cols] in which the first bitlines of every group (`tickets_of`) hold what the combiner computes
    from; the others are not read any more.

    The levels as they are for `none`, and for `median` and `mean`, which vote in each read. `cell` reads all cells
    back: its levels are whole.
    """
    if combiner not in ("cell", "select", "subset"):
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
            errors = replicas.astype(np.int64) - decided[:, :, None]
            tickets = tickets_of(combiner, members.shape[1])
            for unit in operation_units(place, t, target):
                for ticket, chosen in enumerate(handed_out(errors[unit], tickets)):
                    source = np.take_along_axis(members, chosen[:, None], 1)[:, 0]
                    resolved[t][np.ix_(unit, members[:, ticket])] = levels[t][np.ix_(unit, source)]
    return resolved


def handed_out(errors: I64, tickets: int) -> I64:
    """The replica of each ticket, [tickets, groups], of the replicas' errors [wordlines, groups, R] in one operation
    unit.

    One by one, to the replica that leaves the least damage of the sum, the first of equals; then, of the first one,
    two, .., the fewest whose mean has the least damage, as often as there are tickets.
    """
    given, sums, damages = [], np.zeros(errors.shape[:2], np.int64), []
    for _ in range(tickets):
        damage = ((sums[:, :, None] + errors) ** 2).sum(axis=0)
        given.append(damage.argmin(axis=1))
        sums = sums + np.take_along_axis(errors, given[-1][None, :, None], axis=2)[:, :, 0]
        damages.append(damage.min(axis=1))
    counts = [n for n in range(1, tickets + 1) if tickets % n == 0]
    kept = np.array(counts)[np.argmin([damages[n - 1] * (tickets // n) ** 2 for n in counts], axis=0)]
    which = np.arange(tickets)[:, None] % kept
    return np.take_along_axis(np.array(given), which, axis=0)
