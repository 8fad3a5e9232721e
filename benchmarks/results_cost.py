"""What a bundle takes of the crossbars, and what a product in it costs."""

from __future__ import annotations

from dataclasses import dataclass

from safetensors import safe_open

from rcompile.bundle.reader import Bundle
from rcompile.hardware.target import Target
from rcompile.layout.normal_form import MAPS, Placement
from rcompile.vocabulary import Combiner
from runtime.die.votes import operation_units, tickets_of


@dataclass(frozen=True)
class Cost:
    """cells: that hold weights. conversions: by ADCs, of one input plane in every layer; None where cells are read back
    and multiplied elsewhere. layer_share: most crossbars of a layer over what it takes dense.
    """

    crossbars: int
    cells: int
    conversions: int | None
    layer_share: float


def cost(bundle: Bundle) -> Cost:
    """Of a bundle as it is compiled."""
    manifest = bundle.manifest
    total = manifest.total()
    share = max(row.crossbars / row.crossbars_dense for row in manifest.ledger)
    if manifest.combiner == "cell":
        return Cost(total.crossbars, total.cells_used, None, round(share, 4))
    conversions = 0
    for entry in manifest.layers:
        with safe_open(bundle.path(entry.file), "numpy") as file:
            place = Placement(entry.encoding, **{name: file.get_tensor(name) for name in MAPS})
        conversions += _conversions(place, manifest.target, manifest.combiner)
    return Cost(total.crossbars, total.cells_used, conversions, round(share, 4))


def _conversions(place: Placement, target: Target, combiner: Combiner) -> int:
    """Of one input plane in a layer: a conversion of each bitline that is read, in each operation unit that is driven.
    Of a group whose replicas were chosen at power-on only what is chosen is converted.
    """
    found = 0
    for tile in range(place.tiles):
        units = sum(len(unit) > 0 for unit in operation_units(place, tile, target))
        for members in place.vote_groups(tile):
            groups, replicas = members.shape
            chosen = combiner in ("select", "subset")
            found += units * groups * (tickets_of(combiner, replicas) if chosen else replicas)
    return found
