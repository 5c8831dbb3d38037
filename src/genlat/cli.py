"""The command line; `genlat --help` lists the commands.

Exit status: 0 success, 2 the request is wrong, 1 our fault or a failed run, 130
interrupted, 143 and 129 on SIGTERM and SIGHUP. Nothing heavy is imported before a
command needs it.
"""

import io
import json
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

import genlat
from genlat import given_commands, own_commands
from genlat.errors import (
    RequestError,
)
from genlat.exits import StoppedError, draw_page, finish, hush, one_line_errors
from genlat.options import Json, Overrides, Quiet, RunDirectory, RunFile
from genlat.runs.disk import directory
from genlat.runs.file import begun, config, continuation
from genlat.runs.scan import scan_request, study_request

app = typer.Typer(
    name="genlat",
    help="Generative samplers for lattice field theory, with honest error bars.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Entry point of the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may lack φ and σ
            stream.reconfigure(errors="backslashreplace")
    os.environ["MPLBACKEND"] = "agg"  # figures go to files, whatever is named there
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # not under nohup
            signal.signal(number, _stop)
    app()


def _stop(number: int, _: object) -> None:
    raise StoppedError(number)


def _show_version(is_asked: bool) -> bool:
    if is_asked:
        typer.echo(f"genlat {genlat.__version__}")
        raise typer.Exit
    return is_asked


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Version, and end."
        ),
    ] = False,
) -> None:
    """Options of the program itself."""


@app.command()
def run(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="New directory.")],
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE.toml", help="Run file.")
    ] = None,
    before: Annotated[
        Path | None,
        typer.Option(
            "--continue",
            metavar="RUN",
            help="Instead of a run file: a finished run, trained further to "
            "--set train.steps=N.",
        ),
    ] = None,
    overrides: Overrides = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train, sample, estimate, report."""
    with one_line_errors(out):
        if before is not None and file is None:
            found = continuation.plan(before, overrides or [])
        elif file is not None and before is None:
            found = config.load(file, overrides or [])
        else:
            raise RequestError("give either FILE.toml or --continue RUN")
        directory.refuse_existing(out)
        hush(quiet or as_json)
        from genlat.runs import pipeline
        from genlat.runs.stages.screen import Screen

        screen = Screen(quiet=quiet or as_json)
        if isinstance(found, continuation.Continuation):
            results = pipeline.go_on(found, out, screen)
        else:
            results = pipeline.start(found, out, screen)
        finish(results, out, quiet=quiet, as_json=as_json)


@app.command()
def scan(
    file: RunFile,
    over: Annotated[
        list[str],
        typer.Option(
            "--over",
            metavar="section.field=start:stop:step",
            help="What to scan; or a list, section.field=a,b,c, or lattices, "
            "theory.shape=8x8,16x16. Lattices and a coupling, each with --over: a "
            "scan on every lattice.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="New directory.")],
    overrides: Overrides = None,
    warm_steps: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Training steps of points that start from another; 0 for one "
            "conditional model.",
        ),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """One run after another along a coupling or over lattices, each from another."""
    with one_line_errors(out):
        asked = (overrides or [], warm_steps)
        request = (
            scan_request.plan(file, over[0], *asked)
            if len(over) == 1
            else study_request.plan(file, over, *asked)
        )
        directory.refuse_existing(out)
        hush(quiet or as_json)
        from genlat.runs.scan import scan as scans
        from genlat.runs.scan import study as studies
        from genlat.runs.stages.screen import Screen

        screen = Screen(quiet=quiet or as_json)
        if isinstance(request, study_request.Study):
            results = studies.start(request, out, screen, draw_page)
        else:
            results = scans.start(request, out, screen, draw_page)
        finish(results, out, quiet=quiet, as_json=as_json)


@app.command()
def resume(
    run_directory: RunDirectory, quiet: Quiet = False, as_json: Json = False
) -> None:
    """Continue a killed run, scan or scans to the same final numbers."""
    with one_line_errors(run_directory):
        hush(quiet or as_json)
        from genlat.runs import pipeline
        from genlat.runs.scan import scan as scans
        from genlat.runs.scan import study as studies
        from genlat.runs.stages.screen import Screen

        screen = Screen(quiet=quiet or as_json)
        if study_request.is_study(run_directory):
            results = studies.resume(run_directory, screen, draw_page)
        elif scan_request.is_scan(run_directory):
            results = scans.resume(run_directory, screen, draw_page)
        else:
            results = pipeline.resume(run_directory, screen)
        finish(results, run_directory, quiet=quiet, as_json=as_json)


@app.command()
def report(run_directory: RunDirectory) -> None:
    """Redraw the page from records."""
    with one_line_errors(run_directory):
        if study_request.is_study(run_directory):
            study_request.read(run_directory)
        elif scan_request.is_scan(run_directory):
            scan_request.read(run_directory)
        else:
            begun.read(run_directory)
        typer.echo(draw_page(run_directory))


@app.command()
def export(
    run_directory: RunDirectory,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="New file.")],
    observables: Annotated[
        str, typer.Option(metavar="a,b,c", help="These alone; all by default.")
    ] = "",
) -> None:
    """Write a finished run for xarray and ArviZ (.nc) or pyerrors (.json.gz)."""
    with one_line_errors(None):
        from genlat.runs.export import export

        names = [name.strip() for name in observables.split(",") if name.strip()]
        export.write(run_directory, out, names)
        typer.echo(out)


@app.command()
def fluctuations(
    run_directories: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Finished runs.")
    ],
    repetitions: Annotated[
        int, typer.Option("--repetitions", min=2, help="Disjoint parts of the draws.")
    ] = 9,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="New directory.")
    ] = None,
) -> None:
    """Bias and variance of ln Z against N, and its scatter between repetitions."""
    with one_line_errors(None):
        from genlat.report import fluctuations as drawing
        from genlat.runs.disk import files
        from genlat.runs.export import fluctuations as study

        root = study.write(run_directories, out, repetitions)
        study.show(files.read_json(root / study.NAME))
        for path in drawing.write(root):
            typer.echo(path)


@app.command()
def check(
    file: RunFile,
    overrides: Overrides = None,
    trace: Annotated[
        bool, typer.Option("--trace", help="Build and trace it too, as `run` does.")
    ] = False,
) -> None:
    """Validate only: exit status 2 and one line per problem."""
    with one_line_errors(None):
        run_config = config.load(file, overrides or [])
        if trace:
            from genlat.runs import pipeline

            pipeline.rehearse(run_config)
        elif run_config.source():
            from genlat.runs import pipeline
            from genlat.runs.stages import environment

            environment.prepare()
            pipeline.refuse_unsound(run_config.theory)
        typer.echo(f"{file}: fine")


@app.command()
def exact(file: RunFile, overrides: Overrides = None) -> None:
    """Exact values known for this theory, as JSON; on stderr why ln Z is not."""
    with one_line_errors(None):
        run_config = config.load(file, overrides or [])
        from genlat.runs import reference
        from genlat.runs.stages import environment

        environment.prepare()
        action = run_config.theory.theory().action
        found = reference.exactly(action)
        known = {name: methods["exact"] for name, methods in found.items()}
        if "log_z" not in known:
            typer.echo(f"ln Z is not known: {reference.why_unknown(action)}", err=True)
        typer.echo(json.dumps(known, indent=1, ensure_ascii=False))


@app.command(name="list")
def list_(
    topic: Annotated[
        str | None,
        typer.Argument(
            metavar="[TOPIC]", help="theories, models, ..., or a section: mcmc."
        ),
    ] = None,
) -> None:
    """Theories, models, objectives, observables, estimators, and every field."""
    with one_line_errors(None):
        from genlat.runs.file import listing

        listing.show(topic)


app.command()(given_commands.judge)
app.command()(own_commands.new)
app.command()(own_commands.doctor)
app.command(name="import")(given_commands.import_)
