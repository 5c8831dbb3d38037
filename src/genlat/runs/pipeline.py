"""A run from its configuration to `results.json`: one path for new and resumed runs.

Every stage looks at what is already on disk and does the rest, so that a run killed at
any moment ends with the numbers it would have had.
"""

from pathlib import Path
from typing import Any

from genlat.runs import (
    chain_stage,
    directory,
    environment,
    files,
    gaussian_prior,
    integration_stage,
    own_draws,
    prior_stage,
    results,
    sample_stage,
    target_stage,
    theory,
    train_stage,
    training_data,
)
from genlat.runs.job import Job, now
from genlat.runs.model_sections import AbstractFlowSection
from genlat.runs.screen import Screen
from genlat.runs.sections import RunConfig


def start(config: RunConfig, path: Path, screen: Screen) -> dict[str, Any]:
    """Carry out a checked run file in the new directory `path`; returns the results.

    **Raises:** `RequestError` if `path` exists or one well is asked of a theory that
    has but one, and as `resume`.
    """
    directory.refuse_existing(path)
    environment.prepare()
    gaussian_prior.refuse_single_well(config)
    training_data.refuse_foreign(config)
    directory.create(path, config)
    directory.note(path, "started", now())
    return resume(path, screen)


def resume(path: Path, screen: Screen) -> dict[str, Any]:
    """Continue a run wherever it stopped; returns the results.

    **Raises:** `RequestError` if `path` is not a run directory or in use;
    `DamagedError` for a block that is not what was written;
    `DivergedError` if training met a number that is not finite.
    """
    config = directory.read_config(path)
    with directory.held(path):
        finished = files.read_json(path / "results.json")
        if finished:
            screen.say(f"{path}: already finished")
            return finished
        environment.prepare()
        return _stages(Job(path, config, theory.build(config.theory), screen))


def _stages(job: Job) -> dict[str, Any]:
    model = None
    if job.config.mcmc is not None:
        chain_stage.run(job)
    if job.config.model is not None:
        if isinstance(job.config.model, AbstractFlowSection):
            prior_stage.run(job, job.config.model)
        model = train_stage.run(job)
        sample_stage.run(job, model)
        if target_stage.is_wanted(job):
            target_stage.run(job, model)
    if "hmc_integration" in job.config.methods:
        integration_stage.run(job)
    found = results.write(job, model)
    own_draws.forget(job.directory)
    return found
