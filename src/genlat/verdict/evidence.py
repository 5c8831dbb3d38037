"""The model held against samples of p: ln Z from both sides, and what q misses."""

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import special

from genlat import observables
from genlat.estimators import (
    quantity,
    resampling,
    tails,
    two_sided,
    weights,
)
from genlat.estimators.estimate import Estimate
from genlat.estimators.quantity import Quantity
from genlat.estimators.support import Missed, missed
from genlat.verdict import checks, estimates, findings, foreseen, limits
from genlat.verdict.checks import Check
from genlat.verdict.data import Draws, Foreseen, Samples
from genlat.verdict.findings import Findings

THRESHOLDS = (0.1, 0.01, 0.001)

Json = dict[str, Any]


def of_samples(
    draws: Draws,
    samples: Samples,
    methods: tuple[str, ...],
    names: tuple[str, ...],
    shape: findings.Shape,
    rng: np.random.Generator,
) -> Findings:
    """Estimates that need samples of p, and what they say of the model.

    **Arguments:** `rng` for the bootstrap alone.
    """
    log_w_p, log_w_q = samples.log_w, draws.log_w
    broken = int(np.sum(np.isnan(log_w_p) | np.isneginf(log_w_p)))
    diagnostics: Json = {
        "p_samples": {
            "kernel": samples.kernel,
            "n": log_w_p.size,
            "visits_every_mode": samples.visits_every_mode,
        },
        "non_finite_p": broken,
        "excluded": int(np.sum(np.isposinf(log_w_p))),
    }
    is_met = int(np.sum(np.isfinite(log_w_p))) > 1
    if broken or not is_met or not findings.is_usable(log_w_q):
        return Findings({}, diagnostics, {})
    volume = math.prod(shape)
    floor = draws.floor(volume)
    ratio = two_sided.bar(log_w_q, log_w_p)
    log_z, log_z_p = ratio.log_z.value, two_sided.log_z_p(log_w_p)
    worth = slowest(samples)
    sides = _missed(log_z, draws, samples, worth["n_eff"])
    own = _own(draws, samples, volume, floor)
    from_p = estimates.from_p(samples, volume, floor)
    if heavy := _heavy(sides["p_estimator"], from_p["log_z"]):
        own = {name: limits.marked(x, heavy) for name, x in own.items()}
        from_p = {name: limits.marked(x, heavy) for name, x in from_p.items()}
    covered = _covered(draws, samples, ratio.log_z, floor)
    stationary = findings.equilibrium("samples of p", _watched(samples))
    tests = (*stationary, *_coverage(own["mode_weight"], covered))
    known: dict[str, dict[str, Foreseen]] = {}
    if not sides["nis"].shift > float(weights.log_z(log_w_q).error):
        u = foreseen.of_weights(draws, samples, log_z, worth["n_eff"])
        known = foreseen.by_method(u, samples, names, shape, floor)
        numbers = {**from_p, **own}
        of_p = foreseen.from_draws(u, draws, samples, numbers, volume, floor)
        if heavy := _heavy(sides["p_estimator"], of_p["log_z"]):
            of_p = {name: x._replace(caution=heavy) for name, x in of_p.items()}
        known["p_estimator"] = of_p
        better = of_p | {"mode_weight": foreseen.of_ratio(known, own["mode_weight"])}
        own = {name: limits.foreseen(x, better[name]) for name, x in own.items()}
        size = limits.foreseen(findings.ess(draws), foreseen.of_ess(u, log_w_q))
        diagnostics["ess"] = size.to_json()
    diagnostics["p_samples"] |= {"slowest": worth}
    diagnostics |= {
        "ess_forward": own["ess_forward"].to_json(),
        "log_ess_forward": two_sided.log_ess_forward(log_w_p),
        "kl_forward_per_site": own["kl_forward"].to_json(),
        "mode_weight": {
            **own["mode_weight"].to_json(),
            "is_evidence": samples.visits_every_mode,
        },
        "covered": covered.to_json(),
        "missed": {name: found._asdict() for name, found in sides.items()},
        "uncovered": [_uncovered(log_w_p, log_z, x) for x in THRESHOLDS],
        "equilibrium": {"samples of p": findings.worst(stationary)},
        "overlap": ratio.overlap,
        "cross_checks": {"log_z": _cross_checks(log_w_q, log_w_p, log_z_p, rng)},
    }
    if log_w_p.size >= tails.SMALLEST_SAMPLE:
        diagnostics["pareto_k_forward"] = tails.pareto_k(-log_w_p.ravel())
    by_method = {
        "p_estimator": from_p,
        "bar": estimates.from_both(draws, samples, volume),
    }
    wanted = {
        name: limits.admitted(found, name, draws.likelihood)
        for name, found in by_method.items()
        if name in methods
    }
    there = tuple(name for name in names if _is_measured(name, samples, shape))
    witness = estimates.chain(samples.measured, there, shape)
    return Findings(wanted, diagnostics, {}, tests, known, {"samples of p": witness})


def _is_measured(name: str, samples: Samples, shape: findings.Shape) -> bool:
    inputs = (name,)
    if name in observables.DERIVED:
        inputs, _ = estimates.derivation(name, shape)
    return all(key in samples.measured for key in inputs)


def _own(
    draws: Draws, samples: Samples, volume: int, floor: float
) -> dict[str, Estimate]:
    """What samples say of the model, with errors of their own."""
    log_w_p = samples.log_w
    weight, ess, kl = (
        estimates.settled(found.estimate(method), samples)
        for found, method in (
            (two_sided.mode_weight(draws.log_w, log_w_p), "mode_weight"),
            (two_sided.ess_forward(log_w_p), "forward"),
            (two_sided.kl_forward(log_w_p, volume), "forward"),
        )
    )
    error = math.hypot(float(weight.error), math.sqrt(2) * floor)
    found = {
        "mode_weight": dataclasses.replace(weight, error=error),
        "ess_forward": ess,
        "kl_forward": kl,
    }
    return limits.admitted(found, "nis", draws.likelihood)


def _watched(samples: Samples) -> dict[str, Float[np.ndarray, "chains n ..."]]:
    """All that samples were measured for; ln w is where a missing mode shows."""
    if not np.all(np.isfinite(samples.log_w)):
        return dict(samples.measured)
    return {"log_w": samples.log_w, **samples.measured}


def slowest(samples: Samples) -> Json:
    """The observable of the samples that may be worth the fewest independent ones.

    A constant has nothing to say. `n_eff_least`: with 95 % probability, as n_eff is as
    uncertain as the error that it is from; one of few visits can be slower than it
    seems.
    """
    found = {
        name: quantity.mean(values, two_sided.P).estimate("")
        for name, values in estimates.scalars(_watched(samples)).items()
        if np.any(values != values[0, 0])
    }
    if not found:
        n_eff = float(samples.log_w.size)
        return {
            "observable": None,
            "n_eff": n_eff,
            "n_eff_least": n_eff,
            "is_resolved": False,
        }
    least = {key: _least(x) for key, x in found.items()}
    name = min(least, key=lambda name: least[name])
    is_resolved = all(x.is_resolved and not x.flaw for x in found.values())
    size = float(samples.log_w.size)
    return {
        "observable": name,
        "n_eff": min(min(float(x.n_eff) for x in found.values()), size),
        "n_eff_least": min(least[name], size),
        "is_resolved": is_resolved,
    }


def _least(estimate: Estimate) -> float:
    """Of n_eff, 95 % of times: error² times its degrees of freedom is χ²."""
    n_eff, freedom = float(estimate.n_eff), estimate.freedom
    if not math.isfinite(freedom):
        return n_eff
    return n_eff * min(float(special.chdtri(freedom, 0.95)) / freedom, 1.0)


def _missed(
    log_z: float, draws: Draws, samples: Samples, n_eff_p: float
) -> dict[str, Missed]:
    """What draws of q miss as samples of p tell, and the other way round."""
    return {
        "nis": missed(samples.log_w - log_z, draws.log_w.size),
        "p_estimator": missed(log_z - draws.log_w, n_eff_p),
    }


def _heavy(found: Missed, log_z: Estimate | Foreseen) -> str:
    """Why the error of -ln⟨1/w⟩ is not known, where it is not."""
    if found.shift > float(log_z.error):
        return (
            f"{found.mass:.1g} of q, where p is small, is met by {found.expected:.1g} "
            "samples of p: their 1/w are missing"
        )
    return log_z.caution


def _covered(draws: Draws, samples: Samples, log_z: Quantity, floor: float) -> Estimate:
    """Ẑ_q over Z by Bennett's ratio: as the mode weight, but 1/w need not be light."""
    difference = two_sided.log_z_q(draws.log_w) - log_z
    found = estimates.settled(difference.estimate("nis - bar"), samples)
    return estimates.with_floor({"log_z": found}, floor, 1)["log_z"]


def _coverage(weight: Estimate, covered: Estimate) -> list[Check]:
    """Whether ln Z is the same from q and from p."""
    found = []
    if not weight.flaw and not weight.caution and weight.error:
        value, error = float(weight.value), float(weight.error)
        found.append(_deviation("mode weight", value, value - 1, error, weight))
    if not covered.flaw and covered.error:
        value = math.exp(float(covered.value))
        pull = float(covered.value), float(covered.error)
        found.append(_deviation("Ẑ_q over Bennett's Z", value, *pull, covered))
    return found


def _deviation(
    name: str, value: float, off: float, error: float, estimate: Estimate
) -> Check:
    pull = off / error
    is_firm = not estimate.caution and estimate.n_eff >= checks.RESOLVED_N_EFF
    side = checks.Side(error, estimate.freedom, estimate.skewness)
    p_value = checks.of_pull(pull, side)
    says = f"{name} {value:.4f} ± {error:.2g}"
    log_ratio = math.log(max(value, math.ulp(0.0)))
    return Check("coverage", name, says, p_value, bool(is_firm), pull, log_ratio)


def _uncovered(
    log_w_p: Float[np.ndarray, "chains n"], log_z: float, threshold: float
) -> Json:
    estimate = two_sided.uncovered(log_w_p, log_z, threshold).estimate("")
    # no sample there: the next one might be
    error = float(estimate.error) or 1 / log_w_p.size
    return {"threshold": threshold, "value": float(estimate.value), "error": error}


def _cross_checks(
    log_w_q: Float[np.ndarray, " draws"],
    log_w_p: Float[np.ndarray, "chains n"],
    log_z_p: Quantity,
    rng: np.random.Generator,
) -> Json:
    """Errors of ln Z from both sides by jackknife and bootstrap, over draws or chains.

    Left out with fewer than ten chains.
    """
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
