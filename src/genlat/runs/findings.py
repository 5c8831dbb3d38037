"""What each ensemble of a run contributes to its results: chain, flow, neural chain."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float

from genlat import lattice
from genlat.estimators import autocorrelation, tails, weights
from genlat.models.base import AbstractModel
from genlat.runs import (
    catalogue,
    chain_stage,
    metrics,
    sample_stage,
    store,
)
from genlat.runs.job import Job
from genlat.verdict import estimates

Json = dict[str, Any]


class Findings(NamedTuple):
    """Estimates by method, and entries of `diagnostics` and `cost`."""

    by_method: Mapping[str, estimates.Found]
    diagnostics: Json
    cost: Json


NOTHING = Findings({}, {}, {})


def chain(job: Job) -> Findings:
    """The baseline chain."""
    name = chain_stage.name(job)
    blocks = chain_stage.read(job)
    arrays = store.joined(blocks, sample_axis=1)
    measured_ = measured(arrays)
    names = job.config.observable_names
    found = estimates.chain(measured_, names, job.config.theory.shape)
    spent, every = seconds(blocks), _every(job)
    return Findings(
        {name: found},
        {
            "acceptance": {name: _acceptance(arrays["acceptance"])},
            "tau_int": _tau_int(
                name, estimates.autocorrelation_times(measured_, every)
            ),
            "replicas": {name: estimates.disagreement(measured_, every)},
        },
        {"mcmc_seconds": spent, "ess_per_second": {name: _rate(found, spent)}},
    )


def flow(job: Job, model: AbstractModel) -> Findings:
    """Draws of the model: their weights, and importance sampling."""
    blocks = sample_stage.read_flow(job)
    log_w = sample_stage.log_weights(blocks)
    measured_ = measured(store.joined(blocks, sample_axis=0))
    shape, spent = job.config.theory.shape, seconds(blocks)
    lines = metrics.read(job.directory)
    parameters = jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))
    diagnostics: Json = {"non_finite": weights.non_finite(log_w)}
    cost: Json = {
        "train_seconds": lines[-1]["seconds"] if lines else 0.0,
        "sample_seconds": spent,
        "parameters": sum(leaf.size for leaf in parameters),
    }
    if not sample_stage.usable(log_w):
        return Findings({}, diagnostics, cost)
    pareto_k, share = tails.pareto_k(log_w), weights.largest_share(log_w)
    diagnostics |= {
        "ess": weights.ess_estimate(log_w).to_json(),
        "kl_per_site": weights.kl_reverse(log_w, lattice.volume(shape)).to_json(),
        "pareto_k": pareto_k,
        "weights": {"largest_share": share, "pareto_k": pareto_k},
    }
    cost["ess_per_second"] = {"nis": weights.n_eff(log_w) / spent}
    made_by = {"nis": estimates.nis, "variational": estimates.variational}
    names = job.config.observable_names
    found = {
        method: make(log_w, measured_, names, shape)
        for method, make in made_by.items()
        if method in job.config.methods
    }
    return Findings(found, diagnostics, cost)


def nmcmc(job: Job) -> Findings:
    """The neural Markov chain, where there is one."""
    blocks = store.read_all(job.directory, "nmcmc", sample_stage.fingerprint(job))
    if not blocks:
        return NOTHING
    flow_blocks = sample_stage.read_flow(job)
    arrays = store.joined(blocks, sample_axis=1)
    draws = measured(store.joined(flow_blocks, sample_axis=0))
    measured_ = estimates.gathered(draws, arrays["index"])
    names = job.config.observable_names
    found = estimates.chain(measured_, names, job.config.theory.shape)
    times = estimates.autocorrelation_times(measured_, _every(job))
    spent = seconds(blocks) + seconds(flow_blocks)
    return Findings(
        {"nmcmc": found},
        {
            "acceptance": {"nmcmc": _acceptance(arrays["accepted"].astype(np.float64))},
            "tau_int": _tau_int("nmcmc", times),
        },
        {"ess_per_second": {"nmcmc": _rate(found, spent)}},
    )


def measured(arrays: Mapping[str, Float[np.ndarray, "..."]]) -> estimates.Arrays:
    """The observables among the arrays of an ensemble, by their own names."""
    prefix = "observables/"
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def _every(job: Job) -> tuple[str, ...]:
    """Chains are judged by all that was measured."""
    return catalogue.primary_of(job.config.theory.name)


def seconds(blocks: Sequence[store.Block]) -> float:
    """Wall time that an ensemble took."""
    return sum(float(block.attributes["seconds"]) for block in blocks)


def _acceptance(accepted: Float[np.ndarray, "chains n"]) -> Json:
    """A kernel that always accepts is no fault."""
    estimate = autocorrelation.mean(accepted)
    return dataclasses.replace(estimate, flaw="").to_json()


def _rate(found: estimates.Found, spent: float) -> float:
    """Independent samples per second, of the observable that has the fewest.

    One whose error is not known has no number of its own.
    """
    n_eff = [float(np.min(estimate.n_eff)) for estimate in found.values()]
    return min(filter(math.isfinite, n_eff), default=math.nan) / spent


def _tau_int(method: str, found: estimates.Found) -> Json:
    return {name: {method: estimate.to_json()} for name, estimate in found.items()}
