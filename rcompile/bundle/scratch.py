"""Directories that appear whole or not at all."""

from __future__ import annotations

import errno
import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rcompile.bundle.manifest import MANIFEST
from rcompile.errors import BadInputError, UsageError


def check_output(out: Path, force: bool) -> None:
    """Refuse, before any work is done, to write where something is that must not be lost."""
    try:
        _remove_abandoned(out.absolute())
        out.exists()
    except OSError as error:
        raise UsageError(f"cannot write '{out}': {error.strerror}. Choose another -o.") from None
    if out.is_symlink():
        raise UsageError(f"'{out}' is a symbolic link. Give the directory that it names.")
    if not out.exists():
        if not out.absolute().parent.is_dir():
            raise UsageError(
                f"cannot write '{out}': its parent directory does not exist. Make it, or choose another -o."
            )
        return
    if not force:
        raise UsageError(f"'{out}' exists. Choose another -o, or --force to replace a bundle.")
    if not out.is_dir() or (any(out.iterdir()) and not (out / MANIFEST).is_file()):
        raise UsageError(
            f"'{out}' is not a bundle; --force replaces bundles only. Remove it yourself, or choose another -o."
        )


@contextmanager
def new_bundle(out: Path, force: bool) -> Iterator[Path]:
    """A scratch directory beside `out` that takes its place when the block ends well, and vanishes when it does not."""
    out = out.absolute()
    scratch = out.parent / f".{out.name}.partial-{os.getpid()}"
    try:
        scratch.mkdir()
        (scratch / "tiles").mkdir()
        yield scratch
        _put_in_place(scratch, out, force)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BadInputError(
                f"the disk is full: '{out}' was not written, and nothing is left behind. Free space, or choose another -o."
            ) from error
        raise BadInputError(f"cannot write '{out}': {error}. Choose another -o.") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _put_in_place(scratch: Path, out: Path, force: bool) -> None:
    check_output(out, force)
    if not out.exists():
        scratch.rename(out)
        return
    previous = out.parent / f".{out.name}.previous-{os.getpid()}"
    out.rename(previous)
    try:
        scratch.rename(out)
    except BaseException:
        previous.rename(out)
        raise
    shutil.rmtree(previous)


def _remove_abandoned(out: Path) -> None:
    """Clear up after compiles to the same place that were killed: half-written directories, and a bundle set aside for
    its successor.
    """
    name = glob.escape(out.name)
    for path in [*out.parent.glob(f".{name}.partial-*"), *out.parent.glob(f".{name}.previous-*")]:
        pid = path.name.rpartition("-")[2]
        if not pid.isdecimal() or not Path("/proc").is_dir() or Path(f"/proc/{pid}").exists():
            continue
        if ".previous-" in path.name and not out.exists():
            path.rename(out)
        else:
            shutil.rmtree(path, ignore_errors=True)
