"""Compare bundles cell by cell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rcompile.bundle.reader import Bundle, Layer
from rcompile.layout.normal_form import U8


@dataclass(frozen=True)
class TileDifference:
    """Cells of one crossbar that a re-programming from bundle A to bundle B would change. layer, tile: what B has
    there.
    """

    crossbar: int
    layer: str
    tile: int
    cells: int
    levels_up: int
    levels_down: int


@dataclass(frozen=True)
class Difference:
    """What differs between two bundles: layers that only one has or whose tiles differ in number, size or maps;
    crossbars that only one uses; and, of those of both, the tiles of B whose cells change.
    """

    only_in_a: tuple[str, ...]
    only_in_b: tuple[str, ...]
    reshaped: tuple[str, ...]
    remapped: tuple[str, ...]
    crossbars_only_in_a: tuple[int, ...]
    crossbars_only_in_b: tuple[int, ...]
    tiles: tuple[TileDifference, ...]

    @property
    def same(self) -> bool:
        """True if programming A or B gives the same cells, read in the same way."""
        return not any(vars(self).values())


def diff(a: Bundle, b: Bundle) -> Difference:
    """Compare two bundles by the cells of crossbars, whatever is on them, and by how layers are read. A is in memory, a
    byte a cell, and a layer of B at a time. Raises BadInputError for a damaged one.
    """
    old = {layer.entry.name: layer for layer in _layers(a)}
    cells = {crossbar: levels for layer in old.values() for crossbar, levels in _crossbars(layer)}
    names, used = [], set()
    reshaped, remapped, tiles = [], [], []
    for layer in _layers(b):
        name = layer.entry.name
        names.append(name)
        if name in old and old[name].tiles.levels.shape != layer.tiles.levels.shape:
            reshaped.append(name)
        elif name in old and not _read_alike(old[name], layer):
            remapped.append(name)
        for tile, (crossbar, levels) in enumerate(_crossbars(layer)):
            used.add(crossbar)
            before = cells.get(crossbar, levels)
            if before.shape == levels.shape and (before != levels).any():
                change = levels.astype(np.int16) - before
                up, down = int(change.clip(0).sum()), int((-change).clip(0).sum())
                tiles.append(TileDifference(crossbar, name, tile, int(np.count_nonzero(change)), up, down))
    return Difference(
        tuple(name for name in old if name not in names),
        tuple(name for name in names if name not in old),
        tuple(reshaped),
        tuple(remapped),
        tuple(sorted(cells.keys() - used)),
        tuple(sorted(used - cells.keys())),
        tuple(tiles),
    )


def _layers(bundle: Bundle) -> Iterator[Layer]:
    for entry in bundle.manifest.layers:
        bundle.verify([entry.file])
        yield bundle.layer(entry)


def _crossbars(layer: Layer) -> Iterator[tuple[int, U8]]:
    """The crossbar of each tile, and its levels."""
    return zip(layer.tiles.placement.crossbar.tolist(), layer.tiles.levels, strict=True)


def _read_alike(a: Layer, b: Layer) -> bool:
    """Whether two layers of as many tiles differ in levels alone."""
    old, new = a.tiles.tensors(), b.tiles.tensors()
    same = all(np.array_equal(array, new[name]) for name, array in old.items() if name != "levels")
    return same and a.entry.encoding == b.entry.encoding
