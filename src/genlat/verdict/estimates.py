"""All estimates of a run: every observable by every method."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from genlat import observables
from genlat.estimators import autocorrelation, derived, quantity, two_sided, weights
from genlat.estimators.estimate import Estimate
from genlat.estimators.quantity import Quantity
from genlat.verdict import limits
from genlat.verdict.data import Arrays, Draws, Found, Samples


def chain(
    measured: Arrays, names: tuple[str, ...], lattice_shape: tuple[int, ...]
) -> Found:
    """From chains: `measured[key]` of shape (n_chains, n, ...), Γ-method errors."""
    found = {}
    for name in names:
        if name in observables.DERIVED:
            inputs, function = derivation(name, lattice_shape)
            series = {key: measured[key] for key in inputs}
            found[name] = derived.mean(series, function)
        else:
            found[name] = autocorrelation.mean(measured[name])
    return found


def proposals(
    draws: Draws,
    index: Int[np.ndarray, "chains n"],
    names: tuple[str, ...],
    lattice_shape: tuple[int, ...],
) -> Found:
    """From a neural Markov chain: the draws' values in the chain's order."""
    measured = gathered(draws.measured, index)
    found = chain(measured, names, lattice_shape)
    for name in names:
        series = measured.get(name)
        if name in observables.DERIVED and not found[name].flaw:
            inputs, function = derivation(name, lattice_shape)
            of = {key: measured[key] for key in inputs}
            series = derived.project(of, function).series
        if series is not None and not found[name].flaw:
            found[name] = limits.of_proposals(found[name], series, index)
    return found


def nis(draws: Draws, names: tuple[str, ...], lattice_shape: tuple[int, ...]) -> Found:
    """From weighted draws of q; ln Z too, with the floor of its arithmetic.

    Where one draw outweighs all others together, everything carries that flaw.
    """
    log_w, measured = draws.log_w, draws.measured
    volume = math.prod(lattice_shape)
    log_z, total = weights.log_z(log_w), volume * measured["action_density"]
    found = {
        "log_z": log_z,
        "free_energy_density": weights.free_energy_density(log_z, volume),
        "free_energy_density_upper": bound(two_sided.lower_log_z(log_w), volume, "nis"),
        "entropy_density": weights.entropy_density(log_w, total, volume),
    }
    for name in names:
        if name in observables.DERIVED:
            inputs, function = derivation(name, lattice_shape)
            series = {key: measured[key] for key in inputs}
            found[name] = weights.reweighted_derived(log_w, series, function)
        else:
            found[name] = _seen_to_vary(
                weights.reweighted_mean(log_w, measured[name]), measured[name]
            )
    if flaw := two_sided.log_z_q(log_w).flaw:
        return {name: dataclasses.replace(x, flaw=flaw) for name, x in found.items()}
    return with_floor(found, draws.floor(volume), volume)


def _seen_to_vary(
    estimate: Estimate, values: Float[np.ndarray, "n *component"]
) -> Estimate:
    """Marked where all draws say the same: how it fluctuates was not met."""
    is_constant = np.all(values == values[:1], axis=0)
    if not np.all(is_constant):
        return estimate
    reason = "all draws have the same value: how it fluctuates is not known"
    return limits.marked(estimate, reason)


def variational(
    draws: Draws, names: tuple[str, ...], lattice_shape: tuple[int, ...]
) -> Found:
    """Averages over q itself, as if it were p: what reweighting corrects.

    The free energy is E_q[S + ln q], above -ln Z, the entropy that of q. The errors say
    nothing of the difference between q and p.

    **Source:** Wu, Wang, Zhang, Phys. Rev. Lett. 122, 080602, arXiv:1809.10606; its
    bias in Nicoli et al., Phys. Rev. E 101, 023304, arXiv:1910.13496.
    """
    log_w, measured = draws.log_w, draws.measured
    even = dataclasses.replace(draws, log_w=np.zeros_like(log_w))
    found = nis(even, names, lattice_shape)
    del found["free_energy_density_upper"]
    volume = math.prod(lattice_shape)
    log_z = quantity.mean(log_w[None], two_sided.Q)
    entropy = quantity.mean(
        log_w[None] + volume * measured["action_density"][None], two_sided.Q
    )
    found |= free_energy(log_z, volume, "variational")
    found["entropy_density"] = (entropy / volume).estimate("variational")
    found = with_floor(found, draws.floor(volume), volume)
    return {
        name: dataclasses.replace(x, method="variational") for name, x in found.items()
    }


def from_p(samples: Samples, volume: int, floor: float) -> Found:
    """From samples of p with their log q: ln Z, a bound and the entropy.

    **Arguments:** `floor`: what rounding leaves of ln Z.
    """
    log_z = two_sided.log_z_p(samples.log_w)
    entropy = (quantity.mean(_action(samples, volume), two_sided.P) + log_z) / volume
    upper = two_sided.upper_log_z(samples.log_w)
    found = {
        **free_energy(log_z, volume, "p_estimator"),
        "free_energy_density_lower": bound(upper, volume, "p_estimator"),
        "entropy_density": entropy.estimate("p_estimator"),
    }
    found = {name: settled(x, samples) for name, x in found.items()}
    return with_floor(_of_one_action(found, samples), floor, volume)


def from_both(draws: Draws, samples: Samples, volume: int) -> Found:
    """By Bennett's ratio from draws of q and samples of p."""
    log_z = two_sided.bar(draws.log_w, samples.log_w).log_z
    entropy = (quantity.mean(_action(samples, volume), two_sided.P) + log_z) / volume
    found = {
        **free_energy(log_z, volume, "bar"),
        "entropy_density": entropy.estimate("bar"),
    }
    found = {name: settled(x, samples) for name, x in found.items()}
    return with_floor(_of_one_action(found, samples), draws.floor(volume), volume)


def _of_one_action(found: Found, samples: Samples) -> Found:
    """The entropy is marked where all samples have one S: another was not met."""
    action = samples.measured["action_density"]
    if np.any(action != action[0, 0]):
        return found
    reason = "all samples of p have the same S: how it fluctuates is not known"
    return found | {"entropy_density": limits.marked(found["entropy_density"], reason)}


def settled(estimate: Estimate, samples: Samples) -> Estimate:
    """An estimate from samples of p, not called stuck where the model is exact.

    Log-weights that are all equal mean that q = p, or that no chain moved; if the
    action moves, it is the former, and the error of 0 is right.
    """
    log_w, action = samples.log_w, samples.measured["action_density"]
    is_exact = bool(np.all(log_w == log_w[0, 0]))
    if is_exact and not autocorrelation.is_stuck(action):
        flaw = "" if estimate.flaw == autocorrelation.STUCK else estimate.flaw
        return dataclasses.replace(estimate, flaw=flaw)
    return estimate


FREE_ENERGY = ("log_z", "free_energy_density", "entropy_density")
BOUNDS = ("free_energy_density_upper", "free_energy_density_lower")


def with_floor(found: Found, floor: float, volume: int) -> Found:
    """Errors of ln Z and what contains it, with those of rounding in quadrature."""
    shares = floors(floor, volume)
    return {
        name: dataclasses.replace(x, error=math.hypot(float(x.error), shares[name]))
        if name in shares
        else x
        for name, x in found.items()
    }


def floors(floor: float, volume: int) -> dict[str, float]:
    """What rounding leaves of ln Z and of what contains it, by name."""
    per_site = dict.fromkeys((*FREE_ENERGY[1:], *BOUNDS), floor / volume)
    return {"log_z": floor, **per_site}


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
    """What a neural Markov chain measures: the draws' values in the chain's order.

    One by one, when they are asked for: together they are as large as all draws.
    """
    return _Gathered(measured, index)


class _Gathered(Mapping[str, Float[np.ndarray, "..."]]):
    def __init__(self, measured: Arrays, index: Int[np.ndarray, "chains n"]):
        self._measured, self._index = measured, index

    def __getitem__(self, name: str) -> Float[np.ndarray, "..."]:
        return self._measured[name][self._index]

    def __iter__(self) -> Iterator[str]:
        return iter(self._measured)

    def __len__(self) -> int:
        return len(self._measured)


def scalars(measured: Arrays) -> Arrays:
    """The observables of chains that are one number a configuration."""
    return {name: values for name, values in measured.items() if values.ndim == 2}


def autocorrelation_times(measured: Arrays) -> Found:
    """τ_int of the scalar observables, in steps between kept samples."""
    return {
        name: autocorrelation.tau_int(values)
        for name, values in scalars(measured).items()
    }


def derivation(
    name: str, lattice_shape: tuple[int, ...]
) -> tuple[tuple[str, ...], Callable]:
    """A derived observable: the names of its inputs and the function of their means."""
    inputs, function = observables.DERIVED[name]

    def of_means(means: Mapping[str, np.ndarray]) -> Array:
        on_device = {key: jnp.asarray(mean) for key, mean in means.items()}
        return function(on_device, lattice_shape)

    return inputs, of_means


def _action(samples: Samples, volume: int) -> Float[np.ndarray, "chains n"]:
    return volume * samples.measured["action_density"]
