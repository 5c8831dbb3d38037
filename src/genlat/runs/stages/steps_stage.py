"""Stage: the steps of an integrated model, with which it draws and is evaluated."""

import math

import numpy as np
from jaxtyping import Float, Num

from genlat.models.base import AbstractFlow, AbstractModel
from genlat.runs.disk import directory
from genlat.runs.stages import integrated, ledger, sampling, target_stage
from genlat.runs.stages.job import Job
from genlat.runs.stages.keys import Purpose
from genlat.verdict import integrator

PILOT = 4096


def run(job: Job, model: AbstractModel) -> AbstractModel:
    """Note the steps unless they are noted; returns the model that takes them.

    Those of the run file, or as many as ln Z wants and all samples of p: the step of a
    flow can be inverted where it is a contraction, and samples lie further out than
    draws. They are evaluated here, before any draw is made. Where no number inverts
    them all, what ln Z wants stands, and the verdict says what is missing.
    """
    steps = integrated.n_steps(model)
    if steps is not None and integrated.NOTE not in directory.notes(job.directory):
        choice = _for_draws(job, model, steps)
        if job.config.estimate.n_steps is None and target_stage.is_wanted(job):
            choice = _for_samples(job, model, choice)
        directory.note(job.directory, integrated.NOTE, choice._asdict())
    return integrated.as_sampled(job, model)


def _for_draws(job: Job, model: AbstractModel, start: int) -> integrator.Choice:
    estimate, stopwatch = job.config.estimate, job.clock.start()
    log_w_at = _pilot(job, model)
    if estimate.n_steps is not None:
        choice = integrator.measure(log_w_at, estimate.n_steps, estimate.samples)
    else:
        choice = integrator.choose(log_w_at, start, estimate.samples)
    ledger.book(job, "steps", stopwatch.read())
    return choice


def _for_samples(
    job: Job, model: AbstractModel, choice: integrator.Choice
) -> integrator.Choice:
    found = choice
    while True:
        target_stage.run(job, integrated.with_steps(model, found.steps))
        stopwatch = job.clock.start()
        phis = target_stage.not_inverted(job)
        if not len(phis):
            return found
        steps = _inverting(job, model, phis, found.steps)
        if steps is None:
            return choice
        samples = job.config.estimate.samples
        found = integrator.measure(_pilot(job, model), steps, samples)
        ledger.book(job, "steps", stopwatch.read())


def _inverting(
    job: Job, model: AbstractModel, phis: Num[np.ndarray, "n *lattice"], steps: int
) -> int | None:
    """The first larger number of steps that inverts these, by quarters more."""
    batch = min(len(phis), job.at_once)
    while steps < integrator.MOST_STEPS:
        steps = min(math.ceil(1.25 * steps), integrator.MOST_STEPS)
        finer: AbstractFlow = integrated.with_steps(model, steps)
        log_q = target_stage.evaluate(finer, job.action, phis, batch)["log_q"]
        if not np.any(np.isnan(log_q)):
            return steps
    return None


def _pilot(job: Job, model: AbstractModel) -> integrator.LogWeights:
    n, key = min(PILOT, job.config.estimate.samples), job.key(Purpose.PILOT)

    def log_w_at(steps: int) -> Float[np.ndarray, " n"]:
        finer = integrated.with_steps(model, steps)
        return sampling.draw(finer, job.action, key, 0, n, job.at_once).log_w

    return log_w_at
