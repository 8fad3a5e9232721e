"""What appears whole or not at all; directories under a lock that other processes see: in other containers, and on
other hosts that share the file system.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rcompile.bundle.manifest import MANIFEST
from rcompile.errors import BadInputError, UsageError

FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def held(out: Path) -> Iterator[None]:
    """Keep `out`, a file or a directory, from other runs while the block runs. What runs that were killed left beside
    it is cleared. Raises UsageError where another has it, or where nothing can be written.
    """
    place = out.absolute()
    try:
        if not place.parent.is_dir():
            raise UsageError(
                f"cannot write '{out}': its parent directory does not exist. Make it, or choose another -o."
            )
        lock = _lock(place)
    except OSError as error:
        raise UsageError(f"cannot write '{out}': {error.strerror}. Choose another -o.") from None
    try:
        _clear_abandoned(place)
        yield
    finally:
        try:
            _clear_abandoned(place)  # an interruption may have stopped the clearing, too
        finally:
            with suppress(OSError):
                _lock_file(place).unlink()
            os.close(lock)


@contextmanager
def claimed(out: Path, force: bool) -> Iterator[None]:
    """Hold `out` for a bundle while the block runs, and refuse, before any work is done, to write where something is
    that must not be lost.
    """
    with held(out):
        _check(out, force)
        yield


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """An empty directory beside a held `out`, which vanishes when the block ends."""
    scratch = _beside(out.absolute(), "partial")
    try:
        scratch.mkdir()
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def new_bundle(out: Path) -> Iterator[Path]:
    """A scratch directory beside a claimed `out` that takes its place when the block ends well, and vanishes when it
    does not.
    """
    out = out.absolute()
    try:
        with new_folder(out) as scratch:
            (scratch / "tiles").mkdir()
            yield scratch
            _put_in_place(scratch, out)
    except OSError as error:
        if error.errno in FULL:
            raise BadInputError(
                f"the disk is full: '{out}' was not written, and nothing is left behind. Free space, or choose another -o."
            ) from error
        raise BadInputError(f"cannot write '{out}': {error}. Choose another -o.") from error


@contextmanager
def new_file(out: Path, force: bool) -> Iterator[Path]:
    """A scratch file beside `out` that takes its place when the block ends well, and vanishes when it does not.

    Raises UsageError for a file that exists, unless `force`; BadInputError for one that cannot be written.
    """
    if out.exists() and not force:
        raise UsageError(f"'{out}' exists. Choose another -o, or --force to replace it.")
    partial = out.with_name(f".{out.name}.partial")
    try:
        yield partial
        partial.replace(out)
    except OSError as error:
        raise BadInputError(f"cannot write '{out}': {error.strerror}. Choose another -o.") from None
    finally:
        partial.unlink(missing_ok=True)


def _check(out: Path, force: bool) -> None:
    if out.is_symlink():
        raise UsageError(f"'{out}' is a symbolic link. Give the directory that it names.")
    if not out.exists():
        return
    if not force:
        raise UsageError(f"'{out}' exists. Choose another -o, or --force to replace a bundle.")
    if not out.is_dir() or (any(out.iterdir()) and not (out / MANIFEST).is_file()):
        raise UsageError(
            f"'{out}' is not a bundle; --force replaces bundles only. Remove it yourself, or choose another -o."
        )


def _put_in_place(scratch: Path, out: Path) -> None:
    if not out.exists():
        scratch.rename(out)
        return
    previous = _beside(out, "previous")
    try:
        out.rename(previous)
        scratch.rename(out)
    except BaseException:
        if previous.exists() and not out.exists():
            previous.rename(out)
        raise
    _discard(previous, out)


def _discard(previous: Path, out: Path) -> None:
    """Remove a bundle that has its successor. Under another name first: half of it must never come back."""
    doomed = _beside(out, "partial")
    previous.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def _beside(out: Path, what: str) -> Path:
    """A name of our own: process numbers repeat in every container."""
    return out.parent / f".{out.name}.{what}-{secrets.token_hex(8)}"


def _lock_file(out: Path) -> Path:
    return out.parent / f".{out.name}.lock"


def _lock(out: Path) -> int:
    """The lock of `out`, an open file: it ends with its owner, however that ends. Raises UsageError if another has it,
    OSError if there can be none.
    """
    while True:
        lock = os.open(_lock_file(out), os.O_RDWR | os.O_CREAT, 0o666)
        try:
            # Unlike lockf it also holds between threads of one process; Linux sends both to an NFS server.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _still_there(lock, _lock_file(out)):
                return lock
        except BlockingIOError:
            os.close(lock)
            raise UsageError(
                f"another run is writing '{out}'. Wait until it has ended, or choose another -o."
            ) from None
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)  # its owner removed it between our opening and our locking


def _still_there(lock: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(lock), path.stat())
    except FileNotFoundError:
        return False


def _clear_abandoned(out: Path) -> None:
    """Clear up after runs to the same place that were killed: half-written directories, and a bundle set aside for
    its successor. Whoever holds the lock knows that none of them lives.
    """
    name = glob.escape(out.name)
    for path in out.parent.glob(f".{name}.previous-*"):
        if not out.exists():
            path.rename(out)
        else:
            _discard(path, out)
    for path in out.parent.glob(f".{name}.partial-*"):
        shutil.rmtree(path, ignore_errors=True)
