"""What Linux can do to a process: another user, a small disk, namespaces of its own. All of it in a child that ends."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

from children import Skipped, Work

LIBC = ctypes.CDLL(None, use_errno=True)
NEW_MOUNTS, NEW_PROCESSES = 0x00020000, 0x20000000  # of unshare(2)
PRIVATE_ALL = 0x40000 | 0x4000  # of mount(2)
PARENT_DEATH_SIGNAL = 1  # of prctl(2)
NOBODY = 65534


def be_nobody(readable: Path) -> None:
    """Be another user, who may not write anywhere."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    if not os.access(readable, os.R_OK):
        raise Skipped("another user may not read temporary files here")


def mount_small_disk(place: Path, size_bytes: int) -> None:
    """A file system of that size, which this process alone sees."""
    _unshare(NEW_MOUNTS)
    _mount(b"tmpfs", place, b"tmpfs", f"size={size_bytes}".encode())


def in_container(work: Work) -> None:
    """Work as process 1 of a container; it dies with its parent."""
    _unshare(NEW_MOUNTS | NEW_PROCESSES)
    pid = os.fork()
    if pid:
        os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 0xFF)
    LIBC.prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
    _mount(b"proc", Path("/proc"), b"proc", b"")
    assert os.getpid() == 1
    work()


def _unshare(flags: int) -> None:
    if LIBC.unshare(flags):
        raise Skipped(f"no namespaces here: {os.strerror(ctypes.get_errno())}")


def _mount(source: bytes, at: Path, kind: bytes, options: bytes) -> None:
    LIBC.mount(b"none", b"/", None, PRIVATE_ALL, None)
    if LIBC.mount(source, bytes(at), kind, 0, options):
        raise Skipped(f"no mounts here: {os.strerror(ctypes.get_errno())}")
