"""Stage: from the ensembles on disk to `results.json`."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from genlat import lattice
from genlat.models.base import AbstractModel
from genlat.runs import (
    chain_stage,
    conditioning,
    costs,
    directory,
    environment,
    estimates,
    evidence,
    files,
    findings,
    job,
    target_stage,
    training_data,
    verdict,
)

SCHEMA = "genlat.results/1"

Json = dict[str, Any]


def write(run: job.Job, model: AbstractModel | None) -> Json:
    """Estimate everything, judge it, write `results.json` whole, and return it."""
    parts = []
    if run.config.mcmc is not None:
        parts.append(findings.chain(run))
    if model is not None:
        parts.extend([findings.flow(run, model), findings.nmcmc(run)])
    if target_stage.is_wanted(run):
        parts.append(evidence.target(run))
    if "hmc_integration" in run.config.methods:
        parts.append(evidence.path(run))
    notes = directory.notes(run.directory)
    diagnostics: Json = {"acceptance": {}, "tau_int": {}}
    diagnostics |= {
        name: notes[name] for name in ("prior", "integrator") if name in notes
    }
    diagnostics |= training_data.diagnostics(run.directory)
    cost: Json = {"ess_per_second": {}}
    for part in parts:
        _merge(diagnostics, part.diagnostics)
        _merge(cost, part.cost)
    by_method = _by_method(run, parts)
    found = _by_observable(by_method)
    diagnostics["consistency"] = [
        *diagnostics.get("consistency", []),
        *evidence.identities(by_method),
    ]
    cost |= costs.at_unit_error(found, cost, chain=_chain_name(run))
    _merge(found, estimates.exactly(run.action))
    diagnostics["pulls"] = {name: estimates.pulls(found[name]) for name in found}
    diagnostics["bounds"] = _bounds(found)
    diagnostics["volume"] = lattice.volume(run.config.theory.shape)
    if run.config.model is not None and run.config.model.nodes:
        nodes, theory = run.config.model.nodes, run.config.theory
        diagnostics["outside"] = conditioning.outside(nodes, theory)
    trust, reasons = verdict.judge(_without_nan(diagnostics))
    results = {
        "schema": SCHEMA,
        "config": run.config.model_dump(exclude_none=True),
        "provenance": {
            **environment.provenance(),
            "seed": run.config.seed,
            "started": notes["started"],
            "finished": directory.now(),
        },
        "estimates": found,
        "diagnostics": diagnostics,
        "verdict": {"trust": trust, "reasons": reasons},
        "cost": {**cost, "peak_memory_bytes": environment.peak_memory_bytes()},
    }
    results = _without_nan(results)
    files.write_json(run.directory / "results.json", results)
    return results


def _chain_name(run: job.Job) -> str | None:
    return None if run.config.mcmc is None else chain_stage.name(run)


def _by_method(
    run: job.Job, parts: Sequence[findings.Findings]
) -> dict[str, estimates.Found]:
    """All estimates, with their bias taken off where the run file asks for it."""
    by_method: dict[str, estimates.Found] = {}
    for part in parts:
        by_method |= part.by_method
    if run.config.estimate.correct_bias:
        return {name: estimates.corrected(found) for name, found in by_method.items()}
    return by_method


def _by_observable(by_method: Mapping[str, estimates.Found]) -> Json:
    by_observable: Json = {}
    for method, found in by_method.items():
        for name, estimate in found.items():
            _merge(by_observable, {name: {method: estimate.to_json()}})
    return by_observable


def _bounds(found: Json) -> Json:
    """The bounds on -ln Z/V from q and from p, where there are both."""
    keys = {
        "upper": ("free_energy_density_upper", "nis"),
        "lower": ("free_energy_density_lower", "p_estimator"),
    }
    sides = {side: found.get(key, {}).get(by) for side, (key, by) in keys.items()}
    return sides if all(sides.values()) else {}


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
