"""What each ensemble of a run contributes: read here, judged in `verdict`."""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from genlat.models.base import AbstractModel
from genlat.runs import chain_stage, metrics, sample_stage, store
from genlat.runs.job import Job
from genlat.verdict import findings
from genlat.verdict.data import Arrays, Chain, Draws, Proposed
from genlat.verdict.findings import NOTHING, Findings

Json = dict[str, Any]


def chain(job: Job) -> Findings:
    """The baseline chain."""
    blocks = chain_stage.read(job)
    arrays = store.joined(blocks, sample_axis=1)
    history = Chain(chain_stage.name(job), measured(arrays), arrays["acceptance"])
    names, shape = job.config.observable_names, job.config.theory.shape
    return findings.of_chain(history, names, shape, seconds(blocks))


def flow(job: Job, model: AbstractModel) -> Findings:
    """Draws of the model: their weights, and importance sampling."""
    config = job.config
    found = findings.of_draws(
        draws(job, model),
        config.methods,
        config.observable_names,
        config.theory.shape,
        seconds(sample_stage.read_flow(job)),
    )
    lines = metrics.read(job.directory)
    cost = {
        "train_seconds": lines[-1]["seconds"] if lines else 0.0,
        "parameters": sum(leaf.size for leaf in _parameters(model)),
    }
    return found._replace(cost={**found.cost, **cost})


def nmcmc(job: Job, model: AbstractModel) -> Findings:
    """The neural Markov chain, where there is one."""
    blocks = store.read_all(job.directory, "nmcmc", sample_stage.fingerprint(job))
    if not blocks:
        return NOTHING
    arrays = store.joined(blocks, sample_axis=1)
    proposed = Proposed(arrays["index"], arrays["accepted"].astype(np.float64))
    spent = seconds(blocks) + seconds(sample_stage.read_flow(job))
    names, shape = job.config.observable_names, job.config.theory.shape
    return findings.of_proposed(draws(job, model), proposed, names, shape, spent)


def draws(job: Job, model: AbstractModel) -> Draws:
    """The draws of the model."""
    blocks = sample_stage.read_flow(job)
    arrays = store.joined(blocks, sample_axis=0)
    log_w = sample_stage.log_weights(blocks)
    return Draws(log_w, measured(arrays), roundoff(model))


def roundoff(model: AbstractModel) -> float:
    """Unit roundoff of the coarsest arithmetic in a model."""
    types = [leaf.dtype for leaf in _parameters(model)]
    return max((float(jnp.finfo(t).eps) / 2 for t in types), default=0.0)


def measured(arrays: Mapping[str, Float[np.ndarray, "..."]]) -> Arrays:
    """The observables among the arrays of an ensemble, by their own names."""
    prefix = "observables/"
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def seconds(blocks: Sequence[store.Block]) -> float:
    """Wall time that an ensemble took."""
    return sum(float(block.attributes["seconds"]) for block in blocks)


def _parameters(model: AbstractModel) -> list[jax.Array]:
    return jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))
