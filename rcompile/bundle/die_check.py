"""Check a bundle against the map of the die that it was made for."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from rcompile.bundle.manifest import LayerEntry
from rcompile.bundle.reader import Bundle
from rcompile.errors import BadInputError
from rcompile.hardware.faults import ChipMap, Fault, stuck_cells

GOOD = 255


def die_problems(bundle: Bundle, chip: ChipMap, sound: Iterable[LayerEntry]) -> list[str]:
    """Is this the map, and does every stuck cell that is used hold what it is stuck at? Only sound layers are compared,
    and of each the first such cell is named.
    """
    die = bundle.manifest.die
    if die is None:
        return ["the images are the same for every die, the manifest names none"]
    wrong = []
    if chip.sha256 != die.map_sha256:
        wrong.append(f"'{chip.path}' has SHA-256 {chip.sha256}, the map that the images are for {die.map_sha256}")
    stuck = cells = 0
    for entry in sound:
        tiles = bundle.layer(entry).tiles
        try:
            faults = chip.faults(tiles.placement.crossbar)
        except BadInputError as error:
            return [*wrong, str(error)]
        stuck, cells = stuck + int(np.count_nonzero(faults != Fault.GOOD)), cells + faults.size
        held = stuck_cells(faults, bundle.manifest.target.top_level, GOOD)
        used = (tiles.placement.wordline_input >= 0)[:, :, None] & (tiles.placement.bitline_output >= 0)[:, None]
        differ = used & (held != GOOD) & (held != tiles.levels)
        if differ.any():
            at = tuple(int(i) for i in np.unravel_index(differ.argmax(), differ.shape))
            wrong.append(
                f"layer '{entry.name}': levels{list(at)} is {tiles.levels[at]}, on the map the cell is stuck at {held[at]}"
            )
    if cells == sum(row.cells for row in bundle.manifest.ledger) and not np.isclose(stuck / cells, die.stuck_share):
        wrong.append(f"stuck_share is {die.stuck_share}, the map gives {stuck / cells}")
    return wrong
