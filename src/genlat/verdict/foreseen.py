"""Errors of what draws of q say, as samples of p foresee them, by method and name."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from genlat import observables
from genlat.estimators import derived, foreseen, spread, weights
from genlat.estimators.estimate import plain
from genlat.estimators.spread import Spread
from genlat.verdict import estimates
from genlat.verdict.data import Draws, Foreseen, Samples


class Method(NamedTuple):
    """How a method turns draws into averages: their error, and how they know it."""

    error: Callable[..., Spread]
    freedom: Callable[..., float]


INDEPENDENT = Method(foreseen.importance, foreseen.freedom_of_draws)
METHODS = {
    "nis": INDEPENDENT,
    "nmcmc": Method(foreseen.chain, foreseen.freedom_of_steps),
}


class Weights(NamedTuple):
    """p/q on samples of p, whole and cut off where n draws are not expected.

    `n_eff`: independent samples that they are worth.
    """

    whole: Float[np.ndarray, "chains m"]
    met: Float[np.ndarray, "chains m"]
    n: int
    n_eff: float


def of_weights(draws: Draws, samples: Samples, log_z: float, n_eff: float) -> Weights:
    """What the influences of the draws are made of, as the samples know it."""
    log_ratio, n = samples.log_w - log_z, draws.log_w.size
    return Weights(
        foreseen.ratio(log_ratio), foreseen.met(log_ratio, n), n, max(n_eff, 1.0)
    )


def of_ess(u: Weights, log_w: Float[np.ndarray, " n"]) -> Foreseen:
    """Of the effective sample size of draws with these log-weights."""
    ess = weights.ess(log_w)
    return _foreseen(INDEPENDENT, u, (2 - u.whole * ess) * ess)


def by_method(
    u: Weights, samples: Samples, names: tuple[str, ...], shape: tuple[int, ...]
) -> dict[str, dict[str, Foreseen]]:
    """For averages by importance sampling and neural chains, and for free energies.

    Observables that were not measured on the samples are left out.
    """
    volume = math.prod(shape)
    found = {
        method: {
            name: _foreseen(of, u, a) for name, a in _influences(samples, names, shape)
        }
        for method, of in METHODS.items()
    }
    action = volume * samples.measured["action_density"]
    one = np.ones_like(u.met)
    of_entropy = (action - np.mean(action) + 1) / volume
    found["nis"] |= {
        "log_z": _foreseen(INDEPENDENT, u, one),
        "free_energy_density": _foreseen(INDEPENDENT, u, one / volume),
        "entropy_density": _foreseen(INDEPENDENT, u, of_entropy),
    }
    return found


def _influences(
    samples: Samples, names: tuple[str, ...], shape: tuple[int, ...]
) -> Iterator[tuple[str, Float[np.ndarray, "chains m *component"]]]:
    """O - ⟨O⟩ of observables, and of functions of them to first order."""
    measured = samples.measured
    for name in names:
        if name in measured:
            yield name, measured[name] - np.mean(measured[name], axis=(0, 1))
        elif name in observables.DERIVED:
            inputs, function = estimates.derivation(name, shape)
            if not all(key in measured for key in inputs):
                continue
            found = derived.project({key: measured[key] for key in inputs}, function)
            if not found.flaw:
                yield name, found.series


def _foreseen(
    of: Method,
    u: Weights,
    a: Float[np.ndarray, "chains m *component"],
) -> Foreseen:
    """Of an influence, or of several; known if each is, with the fewest degrees."""
    columns = a.reshape(u.met.size, -1).T
    met = np.ravel(u.met)
    spreads = [of.error(met, column, u.n, u.n_eff) for column in columns]
    lacking = np.abs(columns @ (1 - met / np.ravel(u.whole))) / met.size
    return Foreseen(
        plain(np.array([found.error for found in spreads]).reshape(a.shape[2:])),
        min(found.freedom for found in spreads),
        min(of.freedom(met, column, u.n, u.n_eff) for column in columns),
        spreads[0].skewness if len(spreads) == 1 else 0.0,
        next(filter(None, map(_caution, spreads, lacking)), ""),
    )


def _caution(found: Spread, lacking: float) -> str:
    """Why an error is not known from samples of p either."""
    if lacking > found.error > 0:
        return "draws are too few for the weights that samples of p have"
    if found.concentration > spread.LARGEST_CONCENTRATION:
        return (
            f"its error, as samples of p have it, rests on "
            f"{math.floor(1 / found.concentration)} of them: it can be too small"
        )
    return ""
