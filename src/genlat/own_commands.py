"""Commands for a theory or a model of one's own: `genlat new` and `genlat doctor`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from genlat.errors import RequestError
from genlat.exits import one_line_errors
from genlat.options import Overrides, RunFile
from genlat.runs.file import config


def new(
    kind: Annotated[Literal["theory"], typer.Argument(help="What to begin.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="SineGordon, say.")],
) -> None:
    """Write a commented starting point: a theory of your own and a run file."""
    with one_line_errors(None):
        from genlat.runs.file import template

        for path in template.write(name, Path()):
            typer.echo(path)


def doctor(file: RunFile, overrides: Overrides = None) -> None:
    """Exactness gates on theory and model: exit status 2 if one does not pass."""
    with one_line_errors(None):
        run_config = config.load(file, overrides or [])
        from genlat.runs import pipeline
        from genlat.runs.doctor import examine

        pipeline.rehearse(run_config)
        failed = 0
        for of, gate in examine.gates(run_config):
            typer.echo(f"{gate.line()} ({of})")
            failed += not gate.is_passed
        if failed:
            raise RequestError(f"{file}: {failed} of the gates do not pass")
