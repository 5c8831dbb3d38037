"""A run from its configuration to `results.json`: one path for new and resumed runs.

Every stage looks at what is already on disk and does the rest, so that a run killed at
any moment ends with the numbers it would have had.
"""

from pathlib import Path
from typing import Any

from genlat.errors import RequestError
from genlat.families.flows import AbstractFlowSection
from genlat.models.base import AbstractModel
from genlat.runs import results
from genlat.runs.disk import directory, files, inventory
from genlat.runs.file import begun
from genlat.runs.file.continuation import Continuation
from genlat.runs.file.sections import RunConfig
from genlat.runs.stages import (
    chain_stage,
    environment,
    given_stage,
    integration_stage,
    ledger,
    own_draws,
    prior_stage,
    sample_stage,
    steps_stage,
    target_stage,
    trace,
    train_stage,
    training_data,
)
from genlat.runs.stages.job import Job
from genlat.runs.stages.screen import Screen
from genlat.runs.stages.stopwatch import Clock
from genlat.theories.base import AbstractTheorySection


def go_on(found: Continuation, path: Path | str, screen: Screen) -> dict[str, Any]:
    """Train a finished run further, in the new directory `path`; returns the results.

    **Raises:** as `start`.
    """
    path, clock = Path(path), Clock()
    directory.refuse_existing(path)
    rehearse(found.config)
    taken = {**found.taken, **found.config.source()}
    directory.create(path, found.config, taken, found.noted)
    return _carry_out(path, screen, clock)


def start(config: RunConfig, path: Path | str, screen: Screen) -> dict[str, Any]:
    """Carry out a checked run file in the new directory `path`; returns the results.

    **Raises:** `RequestError` if `path` exists or one well is asked of a theory that
    has but one, and as `resume`.
    """
    path, clock = Path(path), Clock()
    directory.refuse_existing(path)
    rehearse(config)
    directory.create(path, config, config.source())
    return _carry_out(path, screen, clock)


def rehearse(config: RunConfig) -> None:
    """Everything that can be known of a checked run file before it is carried out.

    **Raises:** `RequestError` for what cannot be.
    """
    given_stage.refuse_empty(config)
    environment.prepare()
    refuse_unsound(config.theory)
    prior_stage.refuse_unfit(config)
    training_data.refuse_foreign(config)
    trace.refuse_untraceable(config)


def refuse_unsound(theory: AbstractTheorySection) -> None:
    """What only the numbers of a theory show.

    **Raises:** `RequestError`.
    """
    if found := list(theory.faults()):
        raise RequestError(
            [f"{field} = {value}: {allowed}" for field, value, allowed in found]
        )


def resume(path: Path | str, screen: Screen) -> dict[str, Any]:
    """Continue a run wherever it stopped; returns the results.

    A finished run that has lost a record makes it again; its results stay.

    **Raises:** `RequestError` if `path` is not a run directory or in use;
    `DamagedError` for a record that is not what was written;
    `DivergedError` if training met a number that is not finite.
    """
    return _carry_out(Path(path), screen, Clock())


def _carry_out(path: Path, screen: Screen, clock: Clock) -> dict[str, Any]:
    config = begun.read(path)
    finished = files.read_json(path / "results.json")
    plain = config.model_dump(mode="json", exclude_none=True)
    inventory.refuse_foreign_results(path, finished, plain)
    lost = inventory.missing(path)
    if finished and not lost:  # which needs no lock, so nothing to write
        screen.say(f"{path}: already finished")
        return finished
    watching = environment.watching_compilation(screen.compiling)
    with directory.held(path), watching:
        directory.furnish(path)
        environment.prepare()
        screen.plan(_stages(config))
        clock.earlier = ledger.earlier(path)
        job = Job(path, config, config.theory.theory(), screen, clock)
        ledger.book(job, "check", clock.spent())
        if finished:
            screen.say(inventory.lost_line(path, lost))
            _records(job)
            return finished
        model = _records(job)
        inventory.note(path, job.opened.look_into)
        found = results.write(job, model)
        own_draws.forget(path)
        return found


def _stages(config: RunConfig) -> list[str]:
    """The titles of the bars to come."""
    found = [] if config.mcmc is None else [chain_stage.name_of(config.mcmc)]
    if config.samples is not None and config.samples.is_given:
        found.append(f"{given_stage.TITLE} samples")
    if config.draws is not None:
        found.append(f"{given_stage.TITLE} draws")
    if config.model is not None:
        found.append("training")
        if config.needs_samples:
            found.append(target_stage.TITLE)
        found.append("sampling")
    is_integrated = "hmc_integration" in config.methods
    return [*found, "integration"] if is_integrated else found


def _records(job: Job) -> AbstractModel | None:
    """Whatever is not on disk of what the results are made of; returns the model."""
    model = None
    if job.config.mcmc is not None:
        chain_stage.run(job)
    if job.config.draws is not None or job.config.samples is not None:
        _given(job)
    if job.config.model is not None:
        if isinstance(job.config.model, AbstractFlowSection):
            prior_stage.run(job, job.config.model)
        model = train_stage.run(job)
        sampled = steps_stage.run(job, model)
        if target_stage.is_wanted(job):
            target_stage.run(job, sampled)
        sample_stage.run(job, sampled)
    if "hmc_integration" in job.config.methods:
        integration_stage.run(job)
    return model


def _given(job: Job) -> None:
    """What others have drawn, with a neural chain over it."""
    given_stage.run(job)
    if job.config.draws is not None:
        sample_stage.propose(job)
        if job.config.mcmc is not None:
            given_stage.leave_samples(job)
