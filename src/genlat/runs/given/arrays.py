"""Arrays in files of others, read piece by piece: .npz, .npy and HDF5. No JAX here."""

import contextlib
import io
import math
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped

from genlat.errors import RequestError, refused

_ZIP, _NPY, _HDF5 = b"PK\x03\x04", b"\x93NUMPY", b"\x89HDF\r\n\x1a\n"
_WRONG = (ValueError, TypeError, LookupError, EOFError, RuntimeError, SyntaxError)


class Place(NamedTuple):
    """An array in a file: of a .npy the only one, of others that called `name`."""

    path: Path
    name: str

    def __str__(self) -> str:
        return f"{self.path}: {self.name}"


class Header(NamedTuple):
    """What an array is, before anything of it is read."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def native(self) -> np.dtype:
        """The type in memory, whatever the order of bytes on disk."""
        return self.dtype.newbyteorder("=")


class AbstractStream(ABC):
    """An array of which rows are read one after another, from the first on.

    What a row is is said by `axes`: how many axes, from the first on, count rows.
    """

    header: Header
    axes: int

    @property
    def row_shape(self) -> tuple[int, ...]:
        return self.header.shape[self.axes :]

    @property
    def n_rows(self) -> int:
        return math.prod(self.header.shape[: self.axes])

    @abstractmethod
    def read(self, n: int) -> Shaped[np.ndarray, "n *row"]:
        """The next rows, in the machine's order of bytes."""

    @abstractmethod
    def skip(self, n: int) -> None:
        """Leave out the next rows."""


class _Bytes(AbstractStream):
    """Of a .npy file, or a member of an .npz archive, compressed or not."""

    def __init__(self, place: Place, file: io.BufferedIOBase, axes: int):
        self._place, self._file, self.axes = place, file, axes
        self.header = _npy_header(place, file)

    @property
    def _row_bytes(self) -> int:
        return math.prod(self.row_shape) * self.header.dtype.itemsize

    def read(self, n: int) -> Shaped[np.ndarray, "n *row"]:
        content = self._read(n * self._row_bytes)
        found = np.frombuffer(content, self.header.dtype).reshape(n, *self.row_shape)
        return found.astype(self.header.native, copy=False)

    def skip(self, n: int) -> None:
        left = n * self._row_bytes
        if self._place.path.suffix == ".npy" and self._file.seekable():
            self._file.seek(left, io.SEEK_CUR)
            return
        while left:
            left -= len(self._read(min(left, 2**24)))

    def _read(self, n_bytes: int) -> bytes:
        try:
            content = self._file.read(n_bytes)
        except (zipfile.BadZipFile, OSError, EOFError) as error:
            raise RequestError(f"{self._place}: damaged: {error}") from error
        if len(content) < n_bytes:
            raise RequestError(
                f"{self._place} ends early: shape {self.header.shape} wants more"
            )
        return content


class _Dataset(AbstractStream):
    """Of an HDF5 file."""

    def __init__(self, place: Place, dataset: Any, axes: int):
        self._place, self._dataset, self.axes = place, dataset, axes
        self.header = Header(tuple(dataset.shape), dataset.dtype)
        self._at = 0

    def read(self, n: int) -> Shaped[np.ndarray, "n *row"]:
        if self.axes == 0:
            return np.asarray(self._dataset[()])[None]
        parts, last = [], self._at + n
        while self._at < last:
            parts.append(self._part(last))
        empty = np.empty((0, *self.row_shape), self.header.native)
        found = np.concatenate(parts) if parts else empty
        return found.astype(self.header.native, copy=False)

    def skip(self, n: int) -> None:
        self._at += n

    def _part(self, last: int) -> np.ndarray:
        """As many rows as the last axis that counts them has in sequence."""
        lengths = self.header.shape[: self.axes]
        *outer, inner = np.unravel_index(self._at, lengths)
        stop = min(int(inner) + last - self._at, lengths[-1])
        self._at += stop - int(inner)
        try:
            return self._dataset[(*map(int, outer), slice(int(inner), stop))]
        except (OSError, RuntimeError) as error:
            raise RequestError(f"{self._place}: damaged: {error}") from error


@contextlib.contextmanager
def opened(place: Place, axes: int) -> Iterator[AbstractStream]:
    """An array, to be read from the first row on.

    **Raises:** `RequestError` if there is no such file or array, or of a kind that is
    not read here.
    """
    try:
        with contextlib.ExitStack() as stack:
            stream = _open(place, axes, stack)
            if len(stream.header.shape) < axes:
                shape = stream.header.shape
                raise RequestError(f"{place} has shape {shape}: too few axes")
            yield stream
    except OSError as error:
        raise refused(place.path, error) from error


def _open(place: Place, axes: int, stack: contextlib.ExitStack) -> AbstractStream:
    file = stack.enter_context(place.path.open("rb"))
    start = file.read(8)
    file.seek(0)
    if start.startswith(_NPY):
        return _Bytes(place, file, axes)
    if start.startswith(_ZIP):
        member = _member(place, stack.enter_context(_archive(place.path, file)))
        return _Bytes(place, stack.enter_context(member), axes)
    if start == _HDF5:
        import h5py

        content = stack.enter_context(h5py.File(place.path, "r"))
        return _Dataset(place, _dataset(place, content), axes)
    raise RequestError(f"{place.path}: neither .npz nor .npy nor HDF5")


def _archive(path: Path, file: io.BufferedIOBase) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except zipfile.BadZipFile as error:
        raise RequestError(f"{path}: damaged: {error}") from error


def _member(place: Place, archive: zipfile.ZipFile) -> io.BufferedIOBase:
    names = [name.removesuffix(".npy") for name in archive.namelist()]
    if place.name not in names:
        raise RequestError(_absent(place, names))
    try:
        member = archive.open(f"{place.name}.npy")
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise RequestError(f"{place}: damaged: {error}") from error
    assert isinstance(member, io.BufferedIOBase)
    return member


def _dataset(place: Place, content: Any) -> Any:
    found = content.get(place.name)
    if found is None or not hasattr(found, "dtype"):
        raise RequestError(_absent(place, list(content)))
    return found


def _absent(place: Place, names: list[str]) -> str:
    there = ", ".join(names[:8]) or "nothing"
    return f"{place.path}: has no {place.name}: it has {there}"


def names(path: Path) -> list[str]:
    """What the arrays of a file are called; of a .npy they have no name.

    **Raises:** as `opened`.
    """
    try:
        with path.open("rb") as file:
            start = file.read(8)
            file.seek(0)
            if start.startswith(_ZIP):
                with _archive(path, file) as archive:
                    return [x.removesuffix(".npy") for x in archive.namelist()]
        if start == _HDF5:
            import h5py

            with h5py.File(path, "r") as content:
                return list(content)
    except OSError as error:
        raise refused(path, error) from error
    return []


def whole(place: Place) -> Shaped[np.ndarray, "..."]:
    """All of an array, for one that is small."""
    with opened(place, 0) as stream:
        if stream.header.dtype.hasobject:
            raise RequestError(f"{place} holds Python objects: save plain arrays")
        return np.asarray(stream.read(1)[0])


def header(place: Place) -> Header:
    """What an array is."""
    with opened(place, 0) as stream:
        return stream.header


def _npy_header(place: Place, file: io.BufferedIOBase) -> Header:
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        version = np.lib.format.read_magic(file)
        shape, is_fortran, dtype = readers[version](file)
    except _WRONG as error:
        raise RequestError(f"{place}: no array that NumPy wrote: {error}") from error
    if is_fortran and len(shape) > 1:
        raise RequestError(
            f"{place} is in Fortran's order: save np.ascontiguousarray({place.name})"
        )
    return Header(tuple(shape), dtype)
