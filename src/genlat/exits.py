"""How a command ends: table and page, or lines on stderr and an exit status."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from genlat.errors import (
    DamagedError,
    DiskError,
    DivergedError,
    RequestError,
    is_read_only,
    one_line,
    refused,
)
from genlat.runs.scan import scan_request, study_request


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


def hush(is_quiet: bool) -> None:
    """Keep XLA's alarms of slow operations off the screen; before JAX is imported."""
    if is_quiet:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what ends a run still ends


def finish(results: dict[str, Any], out: Path, *, quiet: bool, as_json: bool) -> None:
    page = page_if_allowed(out)
    if as_json:
        typer.echo(json.dumps(results, indent=1, ensure_ascii=False))
    elif not quiet:
        from genlat.runs import table
        from genlat.runs.scan import scan_table

        if study_request.is_study(out):
            scan_table.show_study(results)
        else:
            (scan_table if scan_request.is_scan(out) else table).show(results)
        typer.echo(f"report: {page or f'not drawn, {out} cannot be written'}")


def page_if_allowed(run_directory: Path) -> Path | None:
    """The page drawn anew; None where nothing may be written, as in an archive."""
    try:
        return draw_page(run_directory)
    except OSError as error:
        if is_read_only(error):
            return None
        raise


def draw_page(run_directory: Path) -> Path:
    if study_request.is_study(run_directory):
        from genlat.report import study_page

        return study_page.write(run_directory)
    if scan_request.is_scan(run_directory):
        from genlat.report import scan_page

        return scan_page.write(run_directory)
    from genlat.report import page

    return page.write(run_directory)
