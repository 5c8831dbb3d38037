"""The configuration that a run began with, from its directory."""

import tomllib
from pathlib import Path

from genlat.errors import DamagedError, RequestError, refused
from genlat.runs.disk.directory import notes, refuse_edited
from genlat.runs.file import catalogue
from genlat.runs.file.sections import NAMED, RunConfig


def read(directory: Path) -> RunConfig:
    """The configuration a run began with.

    **Raises:** `RequestError` if there is none, or if it was edited since.
    """
    try:
        content = (directory / "config.toml").read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RequestError(f"{directory}: not a run directory of genlat") from error
    except OSError as error:
        raise refused(directory / "config.toml", error) from error
    noted = notes(directory)
    if not noted and not _is_run_file(content, directory):
        raise RequestError(f"{directory}: not a run directory of genlat")
    if not noted:
        path = directory / "notes.json"
        raise DamagedError(f"{path}: is gone; put a copy of it back, or begin anew")
    refuse_edited(directory, content, noted)
    return resolved(content, directory)


def resolved(content: bytes, directory: Path) -> RunConfig:
    """The configuration of a run directory from the bytes of its `config.toml`.

    **Raises:** `ValueError` if these are no run file; `RequestError` if a file that it
    is made of has changed or gone.
    """
    data = catalogue.located(tomllib.loads(content.decode()), directory)
    for name, find in NAMED.items():
        if isinstance(given := data.get(name), dict):
            find(given)  # in the words of whoever knows it
    return RunConfig.model_validate(data)


def _is_run_file(content: bytes, directory: Path) -> bool:
    try:
        resolved(content, directory)
    except ValueError:  # no text, no TOML, or another program's
        return False
    return True
