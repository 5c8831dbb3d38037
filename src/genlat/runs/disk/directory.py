"""A run directory: made once, held by one process at a time, and its small notes."""

import datetime
import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tomli_w

from genlat.errors import RequestError, refused
from genlat.runs.disk import files
from genlat.schema import AbstractSection


def create(
    directory: Path,
    config: AbstractSection,
    taken: Mapping[str, bytes] | None = None,
    noted: Mapping[str, Any] | None = None,
) -> None:
    """Make a run directory with its resolved `config.toml` and its first notes.

    With the files `taken` and the notes `noted` of a run that it goes on from.

    It appears with all of that or not at all, so that there is no moment at which a
    run can be neither begun nor resumed.

    **Raises:** `RequestError` if it exists: nothing is ever overwritten.
    """
    refuse_existing(directory)
    content = tomli_w.dumps(config.model_dump(exclude_none=True)).encode()
    with files.whole_directory(directory) as temporary:
        furnish(temporary)
        files.write_bytes(temporary / "config.toml", content)
        for name, found in (taken or {}).items():
            files.write_bytes(temporary / name, found)
        first = {"config": _digest(content), "started": now(), **(noted or {})}
        files.write_json(temporary / "notes.json", first)


def furnish(directory: Path) -> None:
    """Make the folders of a run directory that are not there.

    **Raises:** `RequestError` or `DiskError` where the system refuses.
    """
    for name in ("ensembles", "checkpoints"):
        try:
            (directory / name).mkdir(exist_ok=True)
        except OSError as error:
            raise refused(directory / name, error) from error


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def refuse_existing(directory: Path) -> None:
    """Nothing is ever overwritten.

    **Raises:** `RequestError` if there is something at `directory`, or can never be.
    """
    files.refuse_existing(directory, f", or continue it with genlat resume {directory}")


def refuse_edited(directory: Path, content: bytes, noted: dict[str, Any]) -> None:
    """A run is what it began as.

    **Raises:** `RequestError` if `content` is not the `config.toml` that was noted.
    """
    if noted.get("config") != _digest(content):
        raise RequestError(
            f"{directory / 'config.toml'}: edited or damaged, not the one the run "
            "began with: put that back; to change anything, start another run"
        )


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Keep other processes out of a run directory; a killed process lets go by itself.

    **Raises:** `RequestError` if another process is at work there, or nothing may be
    written there.
    """
    path = directory / ".lock"
    try:
        lock = path.open("w")
    except OSError as error:
        raise refused(path, error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RequestError(
                f"{directory}: another process is running here"
            ) from error
        except OSError as error:  # a file system without locks
            raise refused(path, error) from error
        yield


def notes(directory: Path) -> dict[str, Any]:
    """`notes.json`: what was decided or found once, at a stage that is not repeated."""
    return files.read_json(directory / "notes.json")


def note(directory: Path, name: str, content: Any) -> None:
    """Add one entry to `notes.json`."""
    files.write_json(directory / "notes.json", {**notes(directory), name: content})


def fingerprint(seed: int, *sections: AbstractSection | None) -> str:
    """SHA-256 of everything that determines an ensemble, for its blocks."""
    content = [seed, *(section and section.model_dump() for section in sections)]
    return _digest(json.dumps(content, sort_keys=True).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
