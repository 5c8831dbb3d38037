"""A finished run trained further: a new run that begins where its training ended."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from genlat.errors import RequestError
from genlat.runs.disk import directory, files, inventory, metrics
from genlat.runs.file import begun, config, source
from genlat.runs.file.sections import RunConfig

NOTE = "continues"
_MODEL = "model"  # the note with what a checkpoint does not hold
_SAME = ("seed", "theory", "model")


class Continuation(NamedTuple):
    """The checked run file of the longer training, and what it begins with."""

    config: RunConfig
    taken: dict[str, bytes]
    noted: dict[str, Any]


def plan(run_directory: Path, overrides: Sequence[str]) -> Continuation:
    """Take up model, optimiser, random numbers and log of a finished run.

    **Raises:** `RequestError` for a run that has no training to go on with, or
    overrides that make it another one; `DamagedError` if it is not what was written.
    """
    before = begun.read(run_directory)
    path = run_directory / "config.toml"
    after = config.load(path, overrides)
    if changed := [x for x in _SAME if getattr(after, x) != getattr(before, x)]:
        raise RequestError(f"--continue: {changed[0]} must stay as it is in {path}")
    if before.model is None or not files.read_json(run_directory / "results.json"):
        what = "has no model" if before.model is None else "is not finished"
        raise RequestError(f"--continue: {run_directory}: {what}")
    newest = source.checkpoint(run_directory)
    if newest is None:
        raise RequestError(f"--continue: {run_directory}: has no checkpoint")
    if after.train.on_own_draws:
        raise RequestError(
            'train.data = "own": the draws of the training so far are gone'
        )
    done = int(newest.stem.removeprefix("step-"))
    if after.train.steps is None or after.train.steps <= done:
        raise RequestError(
            f"train.steps: {done} steps are made: give all, more than that, as in "
            f"--set train.steps={2 * done or 1000}"
        )
    files.read_archive(newest)
    inventory.refuse_missing(run_directory, "checkpoint")
    notes = directory.notes(run_directory)
    inventory.refuse_other_log(run_directory, metrics.read(run_directory))
    log = run_directory / metrics.NAME
    taken = {f"checkpoints/{newest.name}": newest.read_bytes()}
    if log.exists():
        taken[metrics.NAME] = log.read_bytes()
    noted = {NOTE: {"run": str(run_directory.absolute()), "steps": done}}
    return Continuation(after, taken, {_MODEL: notes[_MODEL], **noted})
