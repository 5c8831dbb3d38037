"""A run file from Python: the pipeline of `genlat run`, kills and all."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from genlat.api.finished import Run, load
from genlat.report import page
from genlat.runs import pipeline
from genlat.runs.disk import directory as directories
from genlat.runs.file import config
from genlat.runs.file.sections import RunConfig
from genlat.runs.stages.screen import Screen

Progress = Callable[[str, int, int], None]
"""Called with a stage, what is done of it and the total."""


def run(
    plan: Mapping[str, Any] | RunConfig | Path | str,
    directory: Path | str,
    *,
    progress: Progress | None = None,
) -> Run:
    """Carry out a run file in a new directory, and draw its page.

    **Arguments:** `plan`: the path of a run file, its content as a dictionary, or a
    `gl.Plan` made of sections.

    **Raises:** `RequestError` with every problem found; `DivergedError` as training
    does. A run that was stopped is continued with `genlat resume`.
    """
    checked = _checked(plan)
    directories.refuse_existing(Path(directory))
    pipeline.start(checked, directory, Screen(quiet=True, tell=progress))
    page.write(Path(directory))
    return load(directory)


def _checked(plan: Mapping[str, Any] | RunConfig | Path | str) -> RunConfig:
    if isinstance(plan, Path | str):
        return config.load(plan)
    if isinstance(plan, RunConfig):
        return config.check(plan.model_dump(exclude_none=True), "plan")
    return config.check(dict(plan), "plan")
