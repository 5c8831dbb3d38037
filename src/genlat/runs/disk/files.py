"""Files that appear whole or not at all, and that know whether they are sound."""

import hashlib
import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from genlat.errors import DamagedError, DiskError, RequestError, refused

SEAL = "sha256"
"""Last entry of a JSON file: the SHA-256 of the others."""

RECORD = "record"
"""What a file of arrays calls the name that it was given."""

_REMEDIES = {
    "notes.json": "put a copy of it back, or begin the run anew",
    "scan.toml": "put a copy of it back, or begin the scan anew",
    "study.toml": "put a copy of it back, or begin the scans anew",
    "fluctuations.json": "delete it, and `genlat fluctuations` makes it again",
}


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary path to write to; it becomes `path` if the block ends without error.

    The bytes reach the disk before the name does. A leftover of a killed writer is
    overwritten by the next one.

    **Raises:** `DiskError` or `RequestError` where the system refuses.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        _remove(temporary)  # it may be what fills the disk
        raise refused(path, error) from error


@contextmanager
def whole_directory(path: Path) -> Iterator[Path]:
    """A temporary directory to fill; it becomes `path` if the block ends without error.

    A leftover of a killed writer is removed by the next one.

    **Raises:** as `whole`.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if temporary.exists():
            shutil.rmtree(temporary)
        temporary.mkdir()
        yield temporary
        _sync(temporary)
        temporary.rename(path)
        _sync(path.parent)
    except (OSError, DiskError, RequestError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError):
            raise refused(path, error) from error
        raise


def refuse_existing(path: Path, otherwise: str = "") -> None:
    """Nothing is ever overwritten; `otherwise` is what else may have been wanted.

    **Raises:** `RequestError` if there is something at `path`, or can never be, or
    nothing could say where it is.
    """
    try:
        str(path.absolute()).encode()  # records of others hold it
    except UnicodeEncodeError as error:
        raise RequestError(
            f"{path.absolute()}: a name on the way there is no UTF-8: rename it"
        ) from error
    try:
        path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise refused(path, error) from error
    raise RequestError(f"{path}: exists; choose another --out{otherwise}")


def try_room(path: Path, n_bytes: int) -> None:
    """Fill a new file with as many bytes and remove it: for writers that crash.

    HDF5 ends the program by a fault of memory where the disk is full.

    **Raises:** `OSError` if there is no room.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, n_bytes)
    finally:
        path.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole."""
    with whole(path) as temporary:
        temporary.write_bytes(content)


def write_sealed(path: Path, content: bytes, before: str = "") -> None:
    """Write a file whole, after a line with `before` and the SHA-256 of its content."""
    write_bytes(path, _seal_line(content, before) + content)


def read_sealed(path: Path, before: str = "") -> bytes:
    """The content of a file written by `write_sealed`.

    **Raises:** `DamagedError` if it is not what was written.
    """
    found = read_bytes(path)
    _, _, content = found.partition(b"\n")
    if found != _seal_line(content, before) + content:
        raise damaged(path)
    return content


def seal_of(path: Path) -> str:
    """What a file written by `write_sealed` says of itself, unread."""
    with path.open("rb") as file:
        return file.readline(200).decode(errors="replace").strip()


def _seal_line(content: bytes, before: str) -> bytes:
    return f"{before}{hashlib.sha256(content).hexdigest()}\n".encode()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file whole, with its seal."""
    plain = json.loads(json.dumps(content))  # as it will be read
    text = json.dumps({**plain, SEAL: seal(plain)}, indent=1, ensure_ascii=False)
    write_bytes(path, (text + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of a run directory, without its seal; empty if it is not there yet.

    **Raises:** `DamagedError` if it is not what was written.
    """
    if not path.exists():
        return {}
    try:
        content = json.loads(read_bytes(path).decode())
        if SEAL not in content:
            raise damaged(path, "damaged, or written before there were checksums")
        if content.pop(SEAL) == seal(content):
            return content
    # torn, or not an object
    except (ValueError, RecursionError, AttributeError, TypeError) as error:
        raise damaged(path) from error
    raise damaged(path)


def seal(content: Mapping[str, Any]) -> str:
    """SHA-256 of what a JSON object says, however it is spelt."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read_bytes(path: Path) -> bytes:
    """The bytes of a file that is there.

    **Raises:** `DiskError` or `RequestError` where the system refuses.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise refused(path, error) from error


def damaged(path: Path, what: str = "damaged") -> DamagedError:
    """What to say of a file that is not what was written, and what to do about it."""
    remedy = _REMEDIES.get(path.name, "delete it, and `genlat resume` makes it again")
    return DamagedError(f"{path}: {what}; {remedy}")


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return  # what was refused is said by the error that led here


def read_archive(path: Path) -> dict[str, Shaped[np.ndarray, "..."]]:
    """The arrays of a sealed npz archive, but for the one with the name it was given.

    **Raises:** `DamagedError` if the file is not what was written under this name.
    """
    try:
        with np.load(io.BytesIO(read_sealed(path))) as archive:
            found = dict(archive)
    # no archive, though sealed
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise DamagedError(f"{path}: damaged; delete it") from error
    record = str(found.pop(RECORD, path.stem))  # not noted before 2026-11-27
    if record != path.stem:
        raise DamagedError(f"{path}: is {record} under another name; delete it")
    return found
