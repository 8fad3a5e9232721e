"""Compare bundles cell by cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rcompile.bundle.reader import Bundle


@dataclass(frozen=True)
class TileDifference:
    """Cells of one tile that a re-programming from bundle A to bundle B would change."""

    layer: str
    tile: int
    cells: int
    levels_up: int
    levels_down: int


@dataclass(frozen=True)
class Difference:
    """What differs between two bundles: layers that only one has or whose tiles differ in number or maps, and tiles
    whose cells change.
    """

    only_in_a: tuple[str, ...]
    only_in_b: tuple[str, ...]
    reshaped: tuple[str, ...]
    remapped: tuple[str, ...]
    tiles: tuple[TileDifference, ...]

    @property
    def same(self) -> bool:
        """True if programming A or B gives the same cells, read in the same way."""
        return not (self.only_in_a or self.only_in_b or self.reshaped or self.remapped or self.tiles)


def diff(a: Bundle, b: Bundle) -> Difference:
    """Compare two bundles cell by cell."""
    in_a, in_b = ({e.name: e for e in bundle.manifest.layers} for bundle in (a, b))
    reshaped, remapped, tiles = [], [], []
    for name in (n for n in in_a if n in in_b):
        for bundle, entry in ((a, in_a[name]), (b, in_b[name])):
            bundle.verify([entry.file])
        old, new = a.layer(in_a[name]).tiles, b.layer(in_b[name]).tiles
        if old.levels.shape != new.levels.shape:
            reshaped.append(name)
            continue
        if any(not np.array_equal(x, new.tensors()[k]) for k, x in old.tensors().items() if k != "levels"):
            remapped.append(name)
        change = new.levels.astype(np.int16) - old.levels
        for t in np.flatnonzero(change.any(axis=(1, 2))):
            up, down = int(change[t].clip(0).sum()), int((-change[t]).clip(0).sum())
            tiles.append(TileDifference(name, int(t), int(np.count_nonzero(change[t])), up, down))
    only_a, only_b = (tuple(n for n in x if n not in y) for x, y in ((in_a, in_b), (in_b, in_a)))
    return Difference(only_a, only_b, tuple(reshaped), tuple(remapped), tuple(tiles))
