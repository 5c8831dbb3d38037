"""A run directory: made once, held by one process at a time, and its small notes."""

import fcntl
import hashlib
import json
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydantic
import tomli_w

from genlat.runs import files
from genlat.runs.errors import RequestError
from genlat.runs.sections import AbstractSection, RunConfig


def create(directory: Path, config: RunConfig) -> None:
    """Make a run directory with its resolved `config.toml`.

    **Raises:** `RequestError` if it exists: nothing is ever overwritten.
    """
    refuse_existing(directory)
    try:
        directory.mkdir(parents=True)
    except OSError as error:
        raise RequestError(f"{directory}: {error.strerror}") from error
    for name in ("ensembles", "checkpoints"):
        (directory / name).mkdir()
    text = tomli_w.dumps(config.model_dump(exclude_none=True))
    files.write_bytes(directory / "config.toml", text.encode())
    note(directory, "config", hashlib.sha256(text.encode()).hexdigest())


def refuse_existing(directory: Path) -> None:
    """Nothing is ever overwritten.

    **Raises:** `RequestError` if there is something at `directory`.
    """
    if directory.exists():
        raise RequestError(
            f"{directory}: exists; choose another --out, or continue it with "
            f"genlat resume {directory}"
        )


def read_config(directory: Path) -> RunConfig:
    """The configuration a run began with.

    **Raises:** `RequestError` if there is none, or if it was edited since.
    """
    try:
        content = (directory / "config.toml").read_bytes()
        config = RunConfig.model_validate(tomllib.loads(content.decode()))
    except OSError as error:
        raise RequestError(f"{directory}: not a run directory of genlat") from error
    except (ValueError, pydantic.ValidationError) as error:
        raise RequestError(f"{directory}: its config.toml is damaged") from error
    if notes(directory).get("config") != hashlib.sha256(content).hexdigest():
        raise RequestError(
            f"{directory}: its config.toml is not the one the run began with; "
            "to change anything, start another run"
        )
    return config


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Keep other processes out of a run directory; a killed process lets go by itself.

    **Raises:** `RequestError` if another process is at work there.
    """
    with (directory / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RequestError(
                f"{directory}: another process is running here"
            ) from error
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
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
