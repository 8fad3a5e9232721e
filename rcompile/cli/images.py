"""The command that writes images in other formats, `rcompile images`. No logic, as in main.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rcompile.cli.arguments import DIRECTORY, PATH
from rcompile.cli.terminal import JSON, force_option
from rcompile.vocabulary import ImageFormat, words


@click.command()
@click.argument("bundle", type=DIRECTORY)
@click.option("--format", "image_format", type=click.Choice(words(ImageFormat)), default="npz", show_default=True, help="Format.")  # fmt: skip
@click.option("-o", "--output", "out", type=PATH, required=True, metavar="FILE", help="File to write.")
@force_option("file")
@JSON
def images(bundle: Path, image_format: Any, out: Path, force: bool, as_json: bool) -> None:
    """Write the images of BUNDLE for a bench: the level of every cell, crossbar by crossbar, and the conductance of
    each level.
    """
    from rcompile.bundle.reader import Bundle
    from rcompile.cli import show
    from rcompile.images.write import write_images

    written = write_images(Bundle.open(bundle), out, image_format, force=force)
    click.echo(show.to_json(written) if as_json else f"{written.crossbars:,} crossbars -> {written.out}")
