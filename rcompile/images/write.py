"""Write a bundle's images in another format. A new format is a module that takes `CrossbarImage`s, and a line in
`FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rcompile.bundle.reader import Bundle
from rcompile.bundle.scratch import new_file
from rcompile.images.crossbars import CrossbarImage
from rcompile.images.npz import write_npz
from rcompile.vocabulary import ImageFormat

FORMATS: dict[ImageFormat, Callable[[Path, Iterable[CrossbarImage]], None]] = {"npz": write_npz}


@dataclass(frozen=True)
class Images:
    """What was written. crossbars: how many."""

    out: Path
    format: ImageFormat
    crossbars: int


def write_images(bundle: Bundle, out: str | Path, image_format: ImageFormat, *, force: bool = False) -> Images:
    """Every crossbar of a bundle, in rising order of its number, to the file `out`.

    Raises UsageError for a file that exists, BadInputError for a bundle that is damaged and a file that cannot be
    written.
    """
    out = Path(out)
    with new_file(out, force) as partial:
        bundle.verify(entry.file for entry in bundle.manifest.layers)
        FORMATS[image_format](partial, _crossbars(bundle))
    return Images(out, image_format, sum(entry.tiles for entry in bundle.manifest.layers))


def _crossbars(bundle: Bundle) -> Iterator[CrossbarImage]:
    target = bundle.manifest.target
    for entry in bundle.manifest.layers:
        tiles = bundle.layer(entry).tiles
        for t in range(entry.tiles):
            yield CrossbarImage(int(tiles.placement.crossbar[t]), entry.name, t, tiles.levels[t], target)
