"""Immutable HDF5 blocks: what a run measured, written once and checked when read."""

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from jaxtyping import Shaped

from genlat.errors import DamagedError, refused
from genlat.estimators.brief import brief
from genlat.runs.disk import files

Attribute = str | int | float
KEPT = frozenset({"log_q", "action", "fraction", "energy"})
"""Arrays that several stages ask for, of a number or two a sample: kept once read."""


class Block(NamedTuple):
    """Arrays by name (`observables/mag`, `log_q`, ...) and attributes."""

    arrays: Mapping[str, Shaped[np.ndarray, "..."]]
    attributes: dict[str, Attribute]

    __repr__ = brief


Look = Callable[[Path], Block]
"""How a block is looked into: `look_into`, or that of `Opened`."""


def path(directory: Path, name: str, index: int) -> Path:
    """Block `index` of ensemble `name` in a run directory."""
    return directory / "ensembles" / f"{name}-{index:05d}.h5"


def paths(directory: Path, name: str) -> list[Path]:
    """The blocks of ensemble `name` that are on disk, in order."""
    return sorted((directory / "ensembles").glob(f"{name}-?????.h5"))


def write(path: Path, block: Block) -> None:
    """Write a block whole; there is one writer per block.

    Every dataset carries HDF5's own checksum and the SHA-256 of its content; the root
    attribute `sha256` covers these digests and the attributes, with them `record`, the
    name of the file: a block in the place of another is sound, but not what it says.
    The file is built in memory: HDF5 itself crashes the program where the disk is full.

    **Raises:** as `files.whole`.
    """
    digests = {name: _digest(array) for name, array in block.arrays.items()}
    attributes = {**block.attributes, files.RECORD: path.stem}
    with h5py.File("block", "w", driver="core", backing_store=False) as file:
        for name, array in block.arrays.items():
            # an empty dataset cannot be chunked, and has nothing to check
            options = {"fletcher32": True, "chunks": True} if array.size else {}
            dataset = file.create_dataset(name, data=array, **options)
            dataset.attrs["sha256"] = digests[name]
        for name, value in attributes.items():
            file.attrs[name] = value
        file.attrs["sha256"] = _root_digest(digests, attributes)
        file.flush()
        content = file.id.get_file_image()
    files.write_bytes(path, content)


def read(path: Path, names: Collection[str] | None = None) -> Block:
    """Read the named arrays of a block, or all, and verify them.

    **Raises:** `DamagedError` if anything read differs from what was written.
    """
    stored, attributes = look_into(path)
    wanted = [name for name in stored if names is None or name in names]
    return Block({name: stored[name] for name in wanted}, attributes)


def look_into(path: Path) -> Block:
    """A block whose arrays are read, and verified, one by one when they are asked for.

    **Raises:** `DamagedError` if what is read differs from what was written.
    """
    digests, attributes = _header(path)
    return Block(_Stored(path, digests), attributes)


class Opened:
    """The blocks that a command has looked into: each once, as long as it is that file.

    What a block says of itself and its arrays in `KEPT` are then read and hashed once,
    however many stages ask. Of the others, configurations above all, none is kept.
    """

    def __init__(self):
        self._known: dict[Path, tuple[tuple[int, int], Block]] = {}

    def look_into(self, path: Path) -> Block:
        """As the function of this name."""
        with _reading(path):
            status = path.stat()
        file = status.st_ino, status.st_mtime_ns
        known = self._known.get(path)
        if known is None or known[0] != file:
            known = self._known[path] = file, look_into(path)
        return known[1]


def _header(path: Path) -> tuple[dict[str, str], dict[str, Attribute]]:
    """The digests of a block's arrays, and its attributes."""
    with _reading(path), h5py.File(path, "r") as file:
        attributes = {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in file.attrs.items()
        }
        expected = attributes.pop("sha256")
        digests = {
            name: str(item.attrs["sha256"]) for name, item in _datasets(file).items()
        }
        is_sound = _root_digest(digests, attributes) == expected
    if not is_sound:
        raise DamagedError(_advice(path))
    record = attributes.pop(files.RECORD, path.stem)  # not noted before 2026-11-27
    if record != path.stem:
        raise DamagedError(_advice(path, f"is {record} under another name"))
    return digests, attributes


class _Stored(Mapping[str, Shaped[np.ndarray, "..."]]):
    """The arrays of a block on disk; in memory are those of `KEPT` that were read."""

    def __init__(self, path: Path, digests: dict[str, str]):
        self._path, self._digests = path, digests
        self._kept: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> Shaped[np.ndarray, "..."]:
        if name in self._kept:
            return self._kept[name]
        array = _array(self._path, name, self._digests[name])
        if name in KEPT:
            self._kept[name] = array
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._digests)

    def __len__(self) -> int:
        return len(self._digests)


def _array(path: Path, name: str, digest: str) -> Shaped[np.ndarray, "..."]:
    """The only place where what a block holds is read, and hashed."""
    with _reading(path), h5py.File(path, "r") as file:
        dataset = file[name]
        assert isinstance(dataset, h5py.Dataset)
        array = dataset[()]
    if _digest(array) != digest:
        raise DamagedError(_advice(path))
    return array


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """What HDF5 raises depends on which of its structures was hit."""
    try:
        yield
    except (
        *(OSError, RuntimeError, LookupError, ValueError, TypeError),
        *(MemoryError, ArithmeticError, AssertionError),  # a size is what was hit
    ) as error:
        if isinstance(error, PermissionError):
            raise refused(path, error) from error
        raise DamagedError(_advice(path)) from error


def read_all(
    directory: Path,
    name: str,
    fingerprint: str | None = None,
    count: int | None = None,
    look: Look = look_into,
) -> list[Block]:
    """All blocks of an ensemble, in order: `count` of them, if that is given.

    Of the arrays none is in memory before it is asked for, as in `look_into`.

    **Raises:** `DamagedError` for a block that is not what was written or is gone, or
    that another run wrote: its attribute `fingerprint` differs from the one given.
    """
    found = paths(directory, name)
    if count is not None:
        _refuse_another_count(directory, name, found, count)
    return [own(path, look(path), fingerprint) for path in found]


def _refuse_another_count(
    directory: Path, name: str, found: list[Path], count: int
) -> None:
    wanted = [path(directory, name, index) for index in range(count)]
    for gone in sorted({*wanted} - {*found}):
        raise DamagedError(f"{gone}: gone; `genlat resume` makes it again, the same")
    for foreign in sorted({*found} - {*wanted}):
        raise DamagedError(f"{foreign}: not of this run; remove it")


def own(path: Path, block: Block, fingerprint: str | None) -> Block:
    """The block that was found at `path`, which is of this run.

    **Raises:** as `read_all`.
    """
    if fingerprint not in (None, block.attributes.get("fingerprint")):
        raise DamagedError(f"{path}: belongs to another run; remove it")
    return block


def joined(
    blocks: Sequence[Block], *, sample_axis: int, names: Collection[str] | None = None
) -> dict[str, Shaped[np.ndarray, "..."]]:
    """The arrays of an ensemble's blocks, joined along the axis of samples.

    One after another, so that what is in memory twice is one of them alone. Without
    `names` all but `state/...`, which only a resumed run needs.
    """
    first = blocks[0].arrays if blocks else {}
    if names is None:
        names = [name for name in first if not name.startswith("state/")]
    return {
        name: np.concatenate([block.arrays[name] for block in blocks], axis=sample_axis)
        for name in names
    }


def _advice(path: Path, what: str = "damaged") -> str:
    return f"{path}: {what}; delete it and `genlat resume` makes it again"


def _datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    found: dict[str, h5py.Dataset] = {}

    def visit(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item

    file.visititems(visit)
    return found


def _digest(array: Shaped[np.ndarray, "..."]) -> str:
    content = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    content.update(np.ascontiguousarray(array).tobytes())
    return content.hexdigest()


def _root_digest(
    digests: Mapping[str, str], attributes: Mapping[str, Attribute]
) -> str:
    text = json.dumps([digests, attributes], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
