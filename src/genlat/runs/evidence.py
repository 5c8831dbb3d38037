"""What samples of p, and chains along the couplings, say about ln Z and the model."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from genlat import lattice
from genlat.actions.phi4 import Phi4
from genlat.estimators import (
    integration,
    quantity,
    resampling,
    tails,
    two_sided,
    weights,
)
from genlat.estimators.quantity import Quantity, constant
from genlat.runs import (
    chain_stage,
    integration_stage,
    sample_stage,
    store,
    target_stage,
)
from genlat.runs.findings import Findings, measured, seconds
from genlat.runs.job import Job
from genlat.runs.keys import Purpose
from genlat.verdict import estimates

THRESHOLDS = (0.1, 0.01, 0.001)
SHORTEST_CHAIN = 30  # stored samples, for a comparison between chains

Json = dict[str, Any]


def target(job: Job) -> Findings:
    """The model held against samples of p."""
    blocks = target_stage.read(job)
    arrays = store.joined(blocks, sample_axis=1)
    log_w_p = -arrays["action"] - arrays["log_q"]
    label = target_stage.label(blocks)
    diagnostics: Json = {
        "p_samples": {
            "kernel": label.kernel,
            "n": log_w_p.size,
            "source": job.config.estimate.p_samples,
            "visits_every_mode": label.visits_every_mode,
        }
    }
    cost: Json = {"p_seconds": seconds(blocks), "p_source_seconds": label.seconds}
    log_w_q = sample_stage.log_weights(sample_stage.read_flow(job))
    broken = int(np.sum(np.isnan(log_w_p) | np.isneginf(log_w_p)))
    diagnostics["non_finite_p"] = broken
    diagnostics["excluded"] = int(np.sum(np.isposinf(log_w_p)))
    is_met = int(np.sum(np.isfinite(log_w_p))) > 1
    if broken or not is_met or not sample_stage.usable(log_w_q):
        return Findings({}, diagnostics, cost)
    volume = lattice.volume(job.config.theory.shape)
    log_z_p, ratio = two_sided.log_z_p(log_w_p), two_sided.bar(log_w_q, log_w_p)
    weight, ess, kl = (
        estimates.settled(found.estimate(method), log_w_p, arrays["action"])
        for found, method in (
            (two_sided.mode_weight(log_w_q, log_w_p), "mode_weight"),
            (two_sided.ess_forward(log_w_p), "forward"),
            (two_sided.kl_forward(log_w_p, volume), "forward"),
        )
    )
    diagnostics |= {
        "ess_forward": ess.to_json(),
        "log_ess_forward": two_sided.log_ess_forward(log_w_p),
        "kl_forward_per_site": kl.to_json(),
        "mode_weight": {**weight.to_json(), "is_evidence": label.visits_every_mode},
        "uncovered": [_uncovered(log_w_p, log_z_p.value, x) for x in THRESHOLDS],
        "replicas": {"samples of p": _disagreement(log_w_p, arrays["action"])},
        "overlap": ratio.overlap,
        "cross_checks": {"log_z": _cross_checks(job, log_w_q, log_w_p, log_z_p)},
    }
    if log_w_p.size >= tails.SMALLEST_SAMPLE:
        diagnostics["pareto_k_forward"] = tails.pareto_k(-log_w_p.ravel())
    by_method = {
        "p_estimator": estimates.from_p(log_w_p, arrays["action"], volume),
        "bar": estimates.from_both(log_w_q, log_w_p, arrays["action"], volume),
    }
    wanted = {name: by_method[name] for name in by_method if name in job.config.methods}
    return Findings(wanted, diagnostics, cost)


def path(job: Job) -> Findings:
    """ln Z by chains along the hopping, with the checks that the chains allow."""
    blocks = integration_stage.read(job)
    volume = lattice.volume(job.config.theory.shape)
    start = integration_stage.log_z_start(job.scalar)
    if not blocks:  # no hopping: independent sites, whose ln Z is exact
        known = estimates.free_energy(constant(start), volume, "hmc_integration")
        return Findings({"hmc_integration": known}, {}, {})
    nodes = integration_stage.assemble(blocks)
    along = integration_stage.path_of(job, nodes)
    log_z = along.log_z[-1]
    fractions = np.array([node.fraction for node in nodes])
    energies = [node.energies for node in nodes]
    found = estimates.free_energy(log_z, volume, "hmc_integration")
    if job.config.mcmc is not None:
        arrays = measured(store.joined(chain_stage.read(job), sample_axis=1))
        action = quantity.mean(arrays["action_density"], "chain")
        entropy = action + log_z / volume
        found["entropy_density"] = entropy.estimate("hmc_integration")
    name, end = _coupling(job)
    curve = [quantity_.estimate("") for quantity_ in along.log_z]
    integral = integration.thermodynamic(fractions, energies, start)
    reweighted = integration.reweighting(fractions, energies, start)
    target_error = job.config.integration.target_error
    is_converged = (
        min(along.overlaps) >= integration_stage.SMALLEST_OVERLAP
        and curve[-1].error <= target_error
    )
    diagnostics = {
        "integration": {
            "is_converged": is_converged,
            "method": curve[-1].method,
            "coupling_name": name,
            "couplings": (end * fractions).tolist(),
            "log_z": [float(x.value) for x in curve],
            "error": [float(x.error) for x in curve],
            "overlaps": along.overlaps,
            "samples": [energy.size for energy in energies],
            "rounds": len(blocks),
            "target_error": target_error,
            "reweighting": reweighted.estimate("reweighting").to_json(),
            "thermodynamic": integral.estimate("thermodynamic").to_json(),
        },
        "consistency": [
            *_integral_row(job, fractions, energies, log_z),
            *_slope_row(job, energies[-1]),
        ],
    }
    cost = {"integration_seconds": seconds(blocks)}
    return Findings({"hmc_integration": found}, diagnostics, cost)


def identities(by_method: Mapping[str, estimates.Found]) -> list[Json]:
    """Rows for ⟨(1/V) Σ φ ∂S/∂φ⟩ = 1, the Schwinger-Dyson equation, by every method."""
    rows = []
    for method, found in by_method.items():
        estimate = found.get("schwinger_dyson")
        if estimate is None or estimate.flaw or not estimate.error:
            continue
        pull = (float(estimate.value) - 1) / float(estimate.error)
        name = f"Schwinger-Dyson, {method}: ⟨Σ φ ∂S/∂φ⟩/V = 1"
        rows.append(_row(name, estimate.to_json(), 1.0, pull))
    return rows


def _uncovered(
    log_w_p: Float[np.ndarray, "chains n"], log_z: float, threshold: float
) -> Json:
    estimate = two_sided.uncovered(log_w_p, log_z, threshold).estimate("")
    # no sample there: the next one might be
    error = float(estimate.error) or 1 / log_w_p.size
    return {"threshold": threshold, "value": float(estimate.value), "error": error}


def _disagreement(
    log_w_p: Float[np.ndarray, "chains n"], action: Float[np.ndarray, "chains n"]
) -> Json:
    """Whether the chains of the samples have one mean; empty for short ones."""
    if log_w_p.shape[1] < SHORTEST_CHAIN or not np.all(np.isfinite(log_w_p)):
        return {}
    measured_ = {"log_w": log_w_p, "action": action}
    return estimates.disagreement(measured_, tuple(measured_))


def _cross_checks(
    job: Job,
    log_w_q: Float[np.ndarray, " draws"],
    log_w_p: Float[np.ndarray, "chains n"],
    log_z_p: Quantity,
) -> Json:
    """Errors of ln Z from both sides by jackknife and bootstrap, over draws or chains.

    Left out with fewer than ten chains.
    """
    rng = np.random.default_rng([job.config.seed, Purpose.RESAMPLING])
    sides = {
        "nis": (log_w_q, weights.log_z(log_w_q).error),
        "p_estimator": (-log_w_p, log_z_p.estimate("").error),
    }
    found = {}
    for method, (log_x, delta) in sides.items():
        if log_x.ndim == 2 and len(log_x) < resampling.FEWEST:
            continue
        x = np.exp(log_x - np.max(log_x))
        means = resampling.groups(x / np.mean(x))[:, None]
        found[method] = {
            "delta": float(delta),
            "jackknife": float(resampling.jackknife(means, _log).error),
            "bootstrap": float(resampling.bootstrap(means, _log, rng).error),
        }
    return found


def _log(means: Float[np.ndarray, "n 1"]) -> Float[np.ndarray, " n"]:
    return np.log(np.maximum(means[:, 0], np.finfo(np.float64).tiny))


def _coupling(job: Job) -> tuple[str, float]:
    """The coupling that runs, and its value at the end."""
    if isinstance(job.action, Phi4):
        return "kappa", float(job.action.kappa)
    return "hopping", float(job.scalar.hopping)


def _integral_row(
    job: Job,
    fractions: Float[np.ndarray, " grid"],
    energies: integration.Energies,
    log_z: Quantity,
) -> list[Json]:
    """-∫⟨E⟩dt against Bennett's ratios, on the same chains.

    The error of Hermite's rule is taken from every second coupling, as if it fell with
    the square of the spacing; on fine grids it falls with the fourth power.
    """
    if len(fractions) < 3:
        return []
    start = integration_stage.log_z_start(job.scalar)
    integral = integration.thermodynamic(fractions, energies, start)
    chosen = sorted({*range(0, len(fractions), 2), len(fractions) - 1})
    coarse = integration.thermodynamic(
        fractions[chosen], [energies[i] for i in chosen], start
    )
    rule = abs(coarse.value - integral.value) / 4
    difference = (integral - log_z).estimate("")
    error = math.hypot(float(difference.error), rule)
    pull = float(difference.value) / error if error > 0 else 0.0
    is_kappa = _coupling(job)[0] == "kappa"
    slope = "2⟨H⟩ dκ" if is_kappa else "the slope"
    row = _row(
        f"ln Z: integral of {slope} against Bennett's ratios",
        {**integral.estimate("thermodynamic").to_json(), "rule_error": rule},
        log_z.estimate("hmc_integration").to_json(),
        pull,
    )
    return [row]


def _slope_row(job: Job, energy: Float[np.ndarray, "chains n"]) -> list[Json]:
    """∂ ln Z/∂κ at the end of the path: 2⟨H⟩ of its chains against the baseline's."""
    if job.config.mcmc is None:
        return []
    volume = lattice.volume(job.config.theory.shape)
    scale = -2 * float(job.scalar.hopping) * volume
    ours = quantity.mean(energy / scale, "path").estimate("hmc_integration")
    arrays = measured(store.joined(chain_stage.read(job), sample_axis=1))
    theirs = quantity.mean(arrays["hopping"], "chain").estimate(chain_stage.name(job))
    error = math.hypot(float(ours.error), float(theirs.error))
    if ours.flaw or theirs.flaw or not error > 0:
        return []
    pull = (float(ours.value) - float(theirs.value)) / error
    name = "⟨H⟩/V at the end of the path against the chain"
    return [_row(name, ours.to_json(), theirs.to_json(), pull)]


def _row(name: str, left: Json, right: Json | float, pull: float) -> Json:
    return {"name": name, "left": left, "right": right, "pull": pull}
