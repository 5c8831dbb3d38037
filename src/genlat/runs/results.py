"""Stage: from the ensembles on disk to `results.json`."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float

from genlat import lattice
from genlat.estimators import autocorrelation, tails, weights
from genlat.models.cnf import CNF
from genlat.runs import (
    chain_stage,
    directory,
    environment,
    estimates,
    files,
    job,
    metrics,
    sample_stage,
    store,
    verdict,
)

SCHEMA = "genlat.results/1"

Json = dict[str, Any]


class _Findings(NamedTuple):
    """What one part of a run contributes to the results."""

    by_method: Mapping[str, estimates.Found]
    diagnostics: Json
    cost: Json


def write(run: job.Job, model: CNF | None) -> Json:
    """Estimate everything, judge it, write `results.json` whole, and return it."""
    parts = []
    if run.config.mcmc is not None:
        parts.append(_chain(run))
    if model is not None:
        parts.extend([_flow(run, model), _nmcmc(run)])
    notes = directory.notes(run.directory)
    diagnostics: Json = {"acceptance": {}, "tau_int": {}}
    diagnostics |= {
        name: notes[name] for name in ("prior", "integrator") if name in notes
    }
    cost: Json = {"ess_per_second": {}}
    for part in parts:
        _merge(diagnostics, part.diagnostics)
        _merge(cost, part.cost)
    found = _by_observable(parts)
    _merge(found, estimates.exactly(run.action))
    diagnostics["pulls"] = {name: estimates.pulls(found[name]) for name in found}
    trust, reasons = verdict.judge(diagnostics)
    results = {
        "schema": SCHEMA,
        "config": run.config.model_dump(exclude_none=True),
        "provenance": {
            **environment.provenance(),
            "seed": run.config.seed,
            "started": notes["started"],
            "finished": job.now(),
        },
        "estimates": found,
        "diagnostics": diagnostics,
        "verdict": {"trust": trust, "reasons": reasons},
        "cost": {**cost, "peak_memory_bytes": environment.peak_memory_bytes()},
    }
    results = _without_nan(results)
    files.write_json(run.directory / "results.json", results)
    return results


def _chain(run: job.Job) -> _Findings:
    name = chain_stage.name(run)
    blocks = chain_stage.read(run)
    arrays = store.joined(blocks, sample_axis=1)
    measured = _measured(arrays)
    names = run.config.estimate.observable_names
    found = estimates.chain(measured, names, run.config.theory.shape)
    acceptance = autocorrelation.mean(arrays["acceptance"]).to_json()
    seconds = _seconds(blocks)
    return _Findings(
        {name: found},
        {
            "acceptance": {name: acceptance},
            "tau_int": _tau_int(name, estimates.autocorrelation_times(measured, names)),
        },
        {"mcmc_seconds": seconds, "ess_per_second": {name: _rate(found, seconds)}},
    )


def _flow(run: job.Job, model: CNF) -> _Findings:
    blocks = sample_stage.read_flow(run)
    log_w = sample_stage.log_weights(blocks)
    measured = _measured(store.joined(blocks, sample_axis=0))
    shape, seconds = run.config.theory.shape, _seconds(blocks)
    lines = metrics.read(run.directory)
    parameters = jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))
    diagnostics: Json = {"non_finite": weights.non_finite(log_w)}
    cost: Json = {
        "train_seconds": lines[-1]["seconds"] if lines else 0.0,
        "sample_seconds": seconds,
        "parameters": sum(leaf.size for leaf in parameters),
    }
    if not sample_stage.usable(log_w):
        return _Findings({}, diagnostics, cost)
    ess, pareto_k = weights.ess_estimate(log_w).to_json(), tails.pareto_k(log_w)
    diagnostics |= {
        "ess": ess,
        "kl_per_site": weights.kl_reverse(log_w, lattice.volume(shape)).to_json(),
        "pareto_k": pareto_k,
        "weights": {
            "largest_share": weights.largest_share(log_w),
            "pareto_k": pareto_k,
        },
    }
    cost["ess_per_second"] = {"nis": weights.n_eff(log_w) / seconds}
    if "nis" not in run.config.estimate.methods:
        return _Findings({}, diagnostics, cost)
    names = run.config.estimate.observable_names
    return _Findings(
        {"nis": estimates.nis(log_w, measured, names, shape)}, diagnostics, cost
    )


def _nmcmc(run: job.Job) -> _Findings:
    blocks = store.read_all(run.directory, "nmcmc", sample_stage.fingerprint(run))
    if not blocks:
        return _Findings({}, {}, {})
    flow = sample_stage.read_flow(run)
    arrays = store.joined(blocks, sample_axis=1)
    draws = _measured(store.joined(flow, sample_axis=0))
    measured = estimates.gathered(draws, arrays["index"])
    names = run.config.estimate.observable_names
    found = estimates.chain(measured, names, run.config.theory.shape)
    accepted = autocorrelation.mean(arrays["accepted"].astype(np.float64)).to_json()
    return _Findings(
        {"nmcmc": found},
        {
            "acceptance": {"nmcmc": accepted},
            "tau_int": _tau_int(
                "nmcmc", estimates.autocorrelation_times(measured, names)
            ),
        },
        {"ess_per_second": {"nmcmc": _rate(found, _seconds(blocks) + _seconds(flow))}},
    )


def _measured(arrays: Mapping[str, Float[np.ndarray, "..."]]) -> estimates.Arrays:
    prefix = "observables/"
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def _seconds(blocks: Sequence[store.Block]) -> float:
    return sum(float(block.attributes["seconds"]) for block in blocks)


def _rate(found: estimates.Found, seconds: float) -> float:
    """Independent samples per second, of the observable that has the fewest.

    One whose error is not known has no number of its own.
    """
    n_eff = [float(np.min(estimate.n_eff)) for estimate in found.values()]
    return min(filter(math.isfinite, n_eff), default=math.nan) / seconds


def _tau_int(method: str, found: estimates.Found) -> Json:
    return {name: {method: estimate.to_json()} for name, estimate in found.items()}


def _by_observable(parts: Sequence[_Findings]) -> Json:
    by_observable: Json = {}
    for part in parts:
        for method, found in part.by_method.items():
            for name, estimate in found.items():
                _merge(by_observable, {name: {method: estimate.to_json()}})
    return by_observable


def _merge(target: Json, addition: Mapping[str, Any]) -> None:
    """Add `addition` to `target`, entering dictionaries that both have."""
    for name, value in addition.items():
        if isinstance(value, Mapping) and isinstance(target.get(name), dict):
            _merge(target[name], value)
        else:
            target[name] = value


def _without_nan(content: Any) -> Any:
    """JSON has neither NaN nor infinity: null."""
    if isinstance(content, Mapping):
        return {name: _without_nan(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    return (
        None if isinstance(content, float) and not math.isfinite(content) else content
    )
