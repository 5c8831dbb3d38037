"""All estimates of a run: every observable by every method."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from genlat import observables
from genlat.estimators import autocorrelation, quantity, two_sided, weights
from genlat.estimators.estimate import Estimate
from genlat.estimators.quantity import Quantity

Arrays = Mapping[str, Float[np.ndarray, "..."]]
Found = dict[str, Estimate]


def chain(
    measured: Arrays, names: tuple[str, ...], lattice_shape: tuple[int, ...]
) -> Found:
    """From chains: `measured[key]` of shape (n_chains, n, ...), Γ-method errors."""
    found = {}
    for name in names:
        if name in observables.DERIVED:
            inputs, function = _derived(name, lattice_shape)
            series = {key: measured[key] for key in inputs}
            found[name] = autocorrelation.derived(series, function)
        else:
            found[name] = autocorrelation.mean(measured[name])
    return found


def nis(
    log_w: Float[np.ndarray, " n"],
    measured: Arrays,
    names: tuple[str, ...],
    lattice_shape: tuple[int, ...],
) -> Found:
    """From weighted draws of q: `measured[key]` of shape (n, ...); ln Z too.

    Where one draw outweighs all others together, everything carries that flaw.
    """
    log_z = weights.log_z(log_w)
    volume = int(np.prod(lattice_shape))
    total = volume * measured["action_density"]
    found = {
        "log_z": log_z,
        "free_energy_density": weights.free_energy_density(log_z, volume),
        "free_energy_density_upper": bound(two_sided.lower_log_z(log_w), volume, "nis"),
        "entropy_density": weights.entropy_density(log_w, total, volume),
    }
    for name in names:
        if name in observables.DERIVED:
            inputs, function = _derived(name, lattice_shape)
            series = {key: measured[key] for key in inputs}
            found[name] = weights.reweighted_derived(log_w, series, function)
        else:
            found[name] = weights.reweighted_mean(log_w, measured[name])
    if flaw := two_sided.log_z_q(log_w).flaw:
        return {name: dataclasses.replace(x, flaw=flaw) for name, x in found.items()}
    return found


def variational(
    log_w: Float[np.ndarray, " n"],
    measured: Arrays,
    names: tuple[str, ...],
    lattice_shape: tuple[int, ...],
) -> Found:
    """Averages over q itself, as if it were p: what reweighting corrects.

    The free energy is E_q[S + ln q], above -ln Z, the entropy that of q. The errors say
    nothing of the difference between q and p.

    **Source:** Wu, Wang, Zhang, Phys. Rev. Lett. 122, 080602, arXiv:1809.10606; its
    bias in Nicoli et al., Phys. Rev. E 101, 023304, arXiv:1910.13496.
    """
    found = nis(np.zeros_like(log_w), measured, names, lattice_shape)
    del found["free_energy_density_upper"]
    volume = int(np.prod(lattice_shape))
    log_z = quantity.mean(log_w[None], two_sided.Q)
    entropy = quantity.mean(
        log_w[None] + volume * measured["action_density"][None], two_sided.Q
    )
    found |= free_energy(log_z, volume, "variational")
    found["entropy_density"] = (entropy / volume).estimate("variational")
    return {
        name: dataclasses.replace(x, method="variational") for name, x in found.items()
    }


def from_p(
    log_w_p: Float[np.ndarray, "chains n"],
    action: Float[np.ndarray, "chains n"],
    volume: int,
) -> Found:
    """From samples of p with their log q: ln Z, a bound and the entropy."""
    log_z = two_sided.log_z_p(log_w_p)
    entropy = (quantity.mean(action, two_sided.P) + log_z) / volume
    upper = two_sided.upper_log_z(log_w_p)
    found = {
        **free_energy(log_z, volume, "p_estimator"),
        "free_energy_density_lower": bound(upper, volume, "p_estimator"),
        "entropy_density": entropy.estimate("p_estimator"),
    }
    return {name: settled(x, log_w_p, action) for name, x in found.items()}


def from_both(
    log_w_q: Float[np.ndarray, " draws"],
    log_w_p: Float[np.ndarray, "chains n"],
    action: Float[np.ndarray, "chains n"],
    volume: int,
) -> Found:
    """By Bennett's ratio from draws of q and samples of p."""
    log_z = two_sided.bar(log_w_q, log_w_p).log_z
    entropy = (quantity.mean(action, two_sided.P) + log_z) / volume
    found = {
        **free_energy(log_z, volume, "bar"),
        "entropy_density": entropy.estimate("bar"),
    }
    return {name: settled(x, log_w_p, action) for name, x in found.items()}


def settled(
    estimate: Estimate,
    log_w_p: Float[np.ndarray, "chains n"],
    action: Float[np.ndarray, "chains n"],
) -> Estimate:
    """An estimate from samples of p, not called stuck where the model is exact.

    Log-weights that are all equal mean that q = p, or that no chain moved; if the
    action moves, it is the former, and the error of 0 is right.
    """
    is_exact = bool(np.all(log_w_p == log_w_p[0, 0]))
    if is_exact and not autocorrelation.is_stuck(action):
        flaw = "" if estimate.flaw == autocorrelation.STUCK else estimate.flaw
        return dataclasses.replace(estimate, flaw=flaw)
    return estimate


def free_energy(log_z: Quantity, volume: int, method: str) -> Found:
    """ln Z and -ln Z/V under their keys."""
    return {
        "log_z": log_z.estimate(method),
        "free_energy_density": (-log_z / volume).estimate(method),
    }


def bound(log_z: Quantity, volume: int, method: str) -> Estimate:
    """A bound on ln Z as one on -ln Z/V."""
    return (-log_z / volume).estimate(method)


def corrected(found: Found) -> Found:
    """Every estimate with its leading-order bias taken off."""
    return {name: estimate.corrected() for name, estimate in found.items()}


def gathered(measured: Arrays, index: Int[np.ndarray, "chains n"]) -> Arrays:
    """What a neural Markov chain measures: the draws' values in the chain's order."""
    return {name: values[index] for name, values in measured.items()}


def autocorrelation_times(measured: Arrays, names: tuple[str, ...]) -> Found:
    """τ_int of the scalar observables, in steps between kept samples."""
    return {
        name: autocorrelation.tau_int(measured[name])
        for name in names
        if name not in observables.DERIVED and measured[name].ndim == 2
    }


def disagreement(measured: Arrays, names: tuple[str, ...]) -> dict[str, Any]:
    """The scalar observable in which the chains disagree most, and by what chance.

    `p_value` is that of the worst of all observables, times their number. Empty for a
    single chain.
    """
    found = {
        name: autocorrelation.replica_consistency(measured[name]).p_value
        for name in names
        if name not in observables.DERIVED and measured[name].ndim == 2
        if measured[name].shape[0] > 1
    }
    if not found:
        return {}
    worst = min(found, key=lambda name: found[name])
    return {"observable": worst, "p_value": min(1.0, found[worst] * len(found))}


def pulls(by_method: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """(a - b) / √(error_a² + error_b²) for every pair of methods of one observable.

    Methods that share their draws are closer than this says: a large pull counts, a
    small one proves nothing. Observables with several components are left out, and
    methods without a finite error or, as averages over q itself, with a bias.
    """
    found = {}
    methods = [name for name in by_method if name != "variational"]
    for index, first in enumerate(methods):
        for second in methods[index + 1 :]:
            a, b = by_method[first], by_method[second]
            numbers = [x[key] for x in (a, b) for key in ("value", "error")]
            if not all(isinstance(number, float) for number in numbers):
                continue  # several components, or an error that is not finite
            error = math.hypot(a["error"], b["error"])
            if error > 0:
                found[f"{first} - {second}"] = (a["value"] - b["value"]) / error
    return found


def _derived(
    name: str, lattice_shape: tuple[int, ...]
) -> tuple[tuple[str, ...], Callable]:
    inputs, function = observables.DERIVED[name]

    def of_means(means: Mapping[str, np.ndarray]) -> Array:
        on_device = {key: jnp.asarray(mean) for key, mean in means.items()}
        return function(on_device, lattice_shape)

    return inputs, of_means
