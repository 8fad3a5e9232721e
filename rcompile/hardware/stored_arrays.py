"""Arrays in .npz, safetensors and HDF5 files: their headers at once, their numbers when they are asked for."""

from __future__ import annotations

import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import safetensors

from rcompile.errors import UnsupportedError

Numbers = npt.NDArray[Any]
# Endings of HDF5 files, and the largest chunk of one: a chunk is unpacked whole.
HDF5 = (".h5", ".hdf5")
MOST_CHUNK_BYTES = 1 << 26
TENSOR_DTYPES: dict[str, np.dtype[Any]] = {"U8": np.dtype(np.uint8), "F32": np.dtype(np.float32)}
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@dataclass(frozen=True, eq=False)
class StoredArray(ABC):
    """An array in a file. dtype: of NumPy, or the file's own name of one that no map holds."""

    path: Path
    name: str
    dtype: np.dtype[Any] | str
    shape: tuple[int, ...]

    @abstractmethod
    def read(self) -> Numbers:
        """All of it. A dtype of NumPy only, as `parts`."""

    @abstractmethod
    def parts(self, count: int, step: int) -> Iterator[Numbers]:
        """The first `count` of the first axis, `step` at a time, never more of them in memory."""


def stored_arrays(path: Path) -> Iterator[StoredArray]:
    """The arrays of a file, of which kind its ending says. Raises what safetensors, zipfile, h5py and NumPy raise, and
    UnsupportedError for an HDF5 file where h5py is not installed.
    """
    if path.suffix in HDF5:
        yield from _hdf5(path)
    else:
        yield from _npz(path) if path.suffix == ".npz" else _safetensors(path)


@dataclass(frozen=True, eq=False)
class _Member(StoredArray):
    """Of an .npz file. data: where its numbers begin in the member."""

    member: str
    data: int
    by_column: bool

    def read(self) -> Numbers:
        with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as file:
            return np.lib.format.read_array(file, allow_pickle=False)

    def parts(self, count: int, step: int) -> Iterator[Numbers]:
        if self.by_column:
            raise ValueError(f"'{self.name}' is stored in Fortran order; save `numpy.ascontiguousarray` of it")
        dtype = np.dtype(self.dtype)
        with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as file:
            _exactly(file, self.data)
            for first in range(0, count, step):
                rows = min(step, count - first)
                held = _exactly(file, rows * prod(self.shape[1:]) * dtype.itemsize)
                yield np.frombuffer(held, dtype).reshape(rows, *self.shape[1:])


def _exactly(file: IO[bytes], count: int) -> bytes:
    held = file.read(count)
    if len(held) != count:
        raise ValueError("the file ends within an array")
    return held


def _npz(path: Path) -> Iterator[StoredArray]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            with archive.open(member) as file:
                shape, by_column, dtype = HEADERS[np.lib.format.read_magic(file)](file)
                one_dimension = sum(extent > 1 for extent in shape) < 2
                name = member.removesuffix(".npy")
                yield _Member(path, name, dtype, shape, member, file.tell(), by_column and not one_dimension)


@dataclass(frozen=True, eq=False)
class _Tensor(StoredArray):
    """Of a safetensors file, which is mapped."""

    def read(self) -> Numbers:
        with safetensors.safe_open(self.path, framework="np") as stored:
            return stored.get_tensor(self.name)

    def parts(self, count: int, step: int) -> Iterator[Numbers]:
        with safetensors.safe_open(self.path, framework="np") as stored:
            held = stored.get_slice(self.name)
            yield from (held[first : min(first + step, count)] for first in range(0, count, step))


def _safetensors(path: Path) -> Iterator[StoredArray]:
    with safetensors.safe_open(path, framework="np") as stored:
        for name in stored.keys():  # noqa: SIM118 -- it is no dict
            held = stored.get_slice(name)
            yield _Tensor(path, name, TENSOR_DTYPES.get(held.get_dtype(), held.get_dtype()), tuple(held.get_shape()))


@dataclass(frozen=True, eq=False)
class _Dataset(StoredArray):
    """Of an HDF5 file."""

    def read(self) -> Numbers:
        import h5py

        with h5py.File(self.path) as stored:
            return stored[self.name][()]

    def parts(self, count: int, step: int) -> Iterator[Numbers]:
        import h5py

        with h5py.File(self.path) as stored:
            held = stored[self.name]
            yield from (held[first : min(first + step, count)] for first in range(0, count, step))


def _hdf5(path: Path) -> Iterator[StoredArray]:
    try:
        import h5py
    except ImportError:
        raise UnsupportedError(f"'{path}' is an HDF5 file: pip install 'rcompile[hdf5]' to read it.") from None

    found: list[StoredArray] = []

    def add(name: str, held: h5py.Dataset | h5py.Group) -> None:
        if isinstance(held, h5py.Dataset):
            if held.is_virtual or held.external:
                raise ValueError(f"'{name}' is virtual or external, its numbers are elsewhere")
            if held.chunks and prod(held.chunks) * held.dtype.itemsize > MOST_CHUNK_BYTES:
                raise ValueError(f"'{name}' is stored in chunks of more than {MOST_CHUNK_BYTES >> 20} MiB")
            found.append(_Dataset(path, name, held.dtype, held.shape or ()))

    with h5py.File(path) as stored:
        stored.visititems(add)  # follows no link to another file
    yield from found
