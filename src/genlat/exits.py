"""What a user can cause, as lines on stderr and an exit status: see `genlat.cli`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from genlat.errors import (
    DamagedError,
    DiskError,
    DivergedError,
    RequestError,
    one_line,
    refused,
)


class StoppedError(KeyboardInterrupt):
    """A signal asked the program to end; as Ctrl-C, with a status of its own."""

    def __init__(self, number: int):
        self.status = 128 + number
        super().__init__()


@contextmanager
def one_line_errors(run_directory: Path | None) -> Iterator[None]:
    """Turn what a user can cause into lines on stderr and an exit status."""
    try:
        yield
    except RequestError as error:
        _leave(error.lines, 2)
    except (DamagedError, DivergedError) as error:
        _leave((str(error),), 1)
    except DiskError as error:
        _leave((f"{error}{_advice(run_directory)}",), 1)
    except KeyboardInterrupt as error:
        status = error.status if isinstance(error, StoppedError) else 130
        _leave((f"interrupted{_advice(run_directory)}",), status)
    except BrokenPipeError:
        raise  # whoever read the output has had enough
    except OSError as error:
        path = Path(str(error.filename)) if error.filename else None
        found = refused(path, error)
        is_disk = isinstance(found, DiskError)
        advice = _advice(run_directory) if is_disk else ""
        _leave((f"{found}{advice}",), 1 if is_disk else 2)


def _advice(run_directory: Path | None) -> str:
    """How to go on, of a run or scan that has begun."""
    if run_directory is None:
        return ""
    if not run_directory.is_dir():
        return "; nothing was begun"
    return f"; continue with: genlat resume {run_directory}"


def _leave(lines: tuple[str, ...], status: int) -> None:
    for line in lines:
        typer.echo(one_line(line), err=True)
    sys.exit(status)
