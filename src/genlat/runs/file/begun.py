"""The configuration that a run began with, from its directory."""

import tomllib
from pathlib import Path

from genlat.errors import DamagedError, RequestError, refused
from genlat.runs.disk.directory import notes, refuse_edited
from genlat.runs.file.sections import RunConfig


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
    if not noted and not _is_run_file(content):
        raise RequestError(f"{directory}: not a run directory of genlat")
    if not noted:
        path = directory / "notes.json"
        raise DamagedError(f"{path}: is gone; put a copy of it back, or begin anew")
    refuse_edited(directory, content, noted)
    return RunConfig.model_validate(tomllib.loads(content.decode()))


def _is_run_file(content: bytes) -> bool:
    try:
        RunConfig.model_validate(tomllib.loads(content.decode()))
    except ValueError:  # no text, no TOML, or another program's
        return False
    return True
