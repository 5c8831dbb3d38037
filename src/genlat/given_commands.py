"""Commands for what was made elsewhere: `genlat judge` and `genlat import`."""

from pathlib import Path
from typing import Annotated

import typer

from genlat.errors import RequestError
from genlat.exits import finish, hush, one_line_errors
from genlat.options import Json, Overrides, Quiet, RunFile
from genlat.runs.disk import directory


def judge(
    file: RunFile,
    draws: Annotated[
        Path,
        typer.Option(
            "--draws", metavar="FILE", help="phi and log_q: .npz, HDF5; .npy of phi."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="New directory.")],
    log_q: Annotated[
        Path | None, typer.Option("--log-q", metavar="FILE", help="A .npy of log_q.")
    ] = None,
    samples: Annotated[
        Path | None,
        typer.Option("--samples", metavar="FILE", help="Samples of p, as the draws."),
    ] = None,
    samples_log_q: Annotated[
        Path | None,
        typer.Option("--samples-log-q", metavar="FILE", help="A .npy of log_q there."),
    ] = None,
    overrides: Overrides = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Estimates, verdict and report of draws made anywhere."""
    with one_line_errors(out):
        directory.refuse_existing(out)
        from genlat.runs.given import request

        if samples is None and samples_log_q is not None:
            raise RequestError("--samples-log-q: of which --samples?")
        of_samples = None if samples is None else (samples, samples_log_q)
        found, remarks = request.judged(
            file, (draws, log_q), of_samples, overrides or []
        )
        hush(quiet or as_json)
        from genlat.runs import pipeline
        from genlat.runs.stages.screen import Screen

        screen = Screen(quiet=quiet or as_json)
        for remark in remarks:
            screen.say(f"{file}: {remark}")
        results = pipeline.start(found, out, screen)
        finish(results, out, quiet=quiet, as_json=as_json)


def import_(
    samples: Annotated[
        Path, typer.Argument(metavar="FILE", help="phi: .npz, HDF5, or a .npy.")
    ],
    file: Annotated[
        Path, typer.Option("--theory", metavar="FILE.toml", help="Run file.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="New directory.")],
    overrides: Overrides = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Make an ensemble for train.data and p_samples of chains made elsewhere."""
    with one_line_errors(out):
        directory.refuse_existing(out)
        from genlat.runs.given import request

        found = request.imported(file, samples, overrides or [])
        hush(quiet or as_json)
        from genlat.runs import pipeline
        from genlat.runs.stages.screen import Screen

        results = pipeline.start(found, out, Screen(quiet=quiet or as_json))
        finish(results, out, quiet=quiet, as_json=as_json)
