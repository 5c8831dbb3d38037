"""What each ensemble of a run contributes: read here, judged in `verdict`."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from genlat.likelihood import EXACT
from genlat.models.base import AbstractModel
from genlat.runs.disk import store
from genlat.runs.stages import chain_stage, given_stage, ledger, sample_stage
from genlat.runs.stages.job import Job
from genlat.verdict import findings
from genlat.verdict.data import Arrays, Chain, Draws, Proposed
from genlat.verdict.findings import NOTHING, Findings

Json = dict[str, Any]
PREFIX = "observables/"


def history(job: Job) -> Chain:
    """The baseline chain."""
    blocks, name = _chain_blocks(job), job.config.chain_name
    assert name is not None
    series = measured(blocks, sample_axis=1)
    if job.config.mcmc is None:  # of samples made elsewhere nobody says
        return Chain(name, series, None)
    steps = store.joined(blocks, sample_axis=1, names=["acceptance"])
    return Chain(name, series, steps["acceptance"])


def draws(job: Job, model: AbstractModel) -> Draws:
    """The draws of the model."""
    blocks = sample_stage.read_flow(job)
    log_w = sample_stage.log_weights(blocks)
    series = measured(blocks, sample_axis=0)
    return Draws(log_w, series, roundoff(model), model.likelihood)


def chain(job: Job, history: Chain) -> Findings:
    """What the baseline chain says."""
    is_known = job.config.mcmc is not None
    seconds = ledger.spent_on(_chain_blocks(job)).running if is_known else None
    names, shape = job.config.observable_names, job.config.theory.shape
    return findings.of_chain(history, names, shape, seconds)


def flow(job: Job, model: AbstractModel, draws: Draws) -> Findings:
    """Draws of the model: their weights, and importance sampling."""
    config = job.config
    found = findings.of_draws(
        draws,
        config.methods,
        config.observable_names,
        config.theory.shape,
        seconds_of_draws(job),
    )
    cost = {"parameters": sum(leaf.size for leaf in _parameters(model))}
    return found._replace(cost={**found.cost, **cost})


def given_draws(job: Job) -> Draws:
    """Draws made elsewhere, whose log q is what their maker says."""
    blocks, section = sample_stage.read_flow(job), job.config.draws
    assert section is not None
    log_w = sample_stage.log_weights(blocks)
    series = measured(blocks, sample_axis=0)
    return Draws(log_w, series, section.roundoff, EXACT)


def given(job: Job, draws: Draws) -> Findings:
    """Their weights, and importance sampling."""
    config = job.config
    shape = config.theory.shape
    return findings.of_draws(
        draws, config.methods, config.observable_names, shape, None
    )


def nmcmc(job: Job, draws: Draws) -> Findings:
    """The neural Markov chain, where there is one."""
    blocks = job.blocks("nmcmc", sample_stage.fingerprint(job))
    if not blocks:
        return NOTHING
    arrays = store.joined(blocks, sample_axis=1)
    proposed = Proposed(arrays["index"], arrays["accepted"].astype(np.float64))
    spent = None
    if job.config.model is not None:
        spent = ledger.spent_on(blocks).running + seconds_of_draws(job)
    names, shape = job.config.observable_names, job.config.theory.shape
    return findings.of_proposed(draws, proposed, names, shape, spent)


def roundoff(model: AbstractModel) -> float:
    """Unit roundoff of the coarsest arithmetic in a model."""
    types = [leaf.dtype for leaf in _parameters(model)]
    return max((float(jnp.finfo(t).eps) / 2 for t in types), default=0.0)


def measured(blocks: list[store.Block], sample_axis: int) -> Arrays:
    """The observables of an ensemble, by their own names; nothing else is read."""
    first = blocks[0].arrays if blocks else {}
    names = [name for name in first if name.startswith(PREFIX)]
    found = store.joined(blocks, sample_axis=sample_axis, names=names)
    return {name.removeprefix(PREFIX): array for name, array in found.items()}


def _chain_blocks(job: Job) -> list[store.Block]:
    is_given = job.config.mcmc is None
    return given_stage.read_chain(job) if is_given else chain_stage.read(job)


def seconds_of_draws(job: Job) -> float:
    """Seconds of the draws, once compiled: the choice of their steps included."""
    blocks = sample_stage.read_flow(job)
    steps = ledger.of_steps(job.directory)
    return ledger.spent_on(blocks).plus(steps).running


def _parameters(model: AbstractModel) -> list[jax.Array]:
    return jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))
