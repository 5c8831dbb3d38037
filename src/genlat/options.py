"""Arguments and options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

RunFile = Annotated[Path, typer.Argument(metavar="FILE.toml", help="Run file.")]
RunDirectory = Annotated[Path, typer.Argument(metavar="DIR", help="Run directory.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="section.field=value", help="Override a field."),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress, no table.")]
Json = Annotated[bool, typer.Option("--json", help="Results as JSON on stdout.")]
