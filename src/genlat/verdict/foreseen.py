"""Errors as the other side foresees them: of draws by samples of p, and of samples."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from genlat import observables
from genlat.estimators import derived, foreseen, spread, weights
from genlat.estimators.estimate import Estimate, plain
from genlat.estimators.spread import Spread
from genlat.verdict import estimates
from genlat.verdict.data import Draws, Foreseen, Samples

FEWEST_ALIKE = 2
"""Draws that carry a value, fewer than which are most often none or one."""


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

    `n_eff`: independent samples that they are worth. `log_z`: what p is divided by.
    """

    whole: Float[np.ndarray, "chains m"]
    met: Float[np.ndarray, "chains m"]
    n: int
    n_eff: float
    log_z: float


def of_weights(draws: Draws, samples: Samples, log_z: float, n_eff: float) -> Weights:
    """What the influences of the draws are made of, as the samples know it."""
    log_ratio, n = samples.log_w - log_z, draws.log_w.size
    return Weights(
        foreseen.ratio(log_ratio),
        foreseen.met(log_ratio, n),
        n,
        max(n_eff, 1.0),
        log_z,
    )


def of_ess(u: Weights, log_w: Float[np.ndarray, " n"]) -> Foreseen:
    """Of the effective sample size of draws with these log-weights."""
    ess = weights.ess(log_w)
    return _foreseen(INDEPENDENT, u, (2 - u.whole * ess) * ess)


def by_method(
    u: Weights,
    samples: Samples,
    names: tuple[str, ...],
    shape: tuple[int, ...],
    floor: float,
) -> dict[str, dict[str, Foreseen]]:
    """For averages by importance sampling and neural chains, and for free energies.

    Observables that were not measured on the samples are left out.

    **Arguments:** `floor`: what rounding leaves of ln Z.
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
    found["nis"] |= _with_floor(
        {
            "log_z": _foreseen(INDEPENDENT, u, one),
            "free_energy_density": _foreseen(INDEPENDENT, u, one / volume),
            "entropy_density": _foreseen(INDEPENDENT, u, of_entropy),
        },
        floor,
        volume,
    )
    return found


def from_draws(
    known: Weights,
    draws: Draws,
    samples: Samples,
    own: Mapping[str, Estimate],
    volume: int,
    floor: float,
) -> dict[str, Foreseen]:
    """Errors of what samples of p say by their 1/u, as draws of q foresee them.

    Chains are worth fewer independent samples than they have, by what their own errors
    are larger than those of independent ones.

    **Arguments:** `own`: the estimates, by name: those of the p-estimator,
    `ess_forward`, `kl_forward`; others are left out. The rest as `by_method`.
    """
    actions = [volume * x.measured["action_density"] for x in (draws, samples)]
    u = foreseen.ratio(draws.log_w - known.log_z)
    met = foreseen.met(known.log_z - draws.log_w, known.n_eff)
    here = _of_samples(u, met, actions[0], volume)
    whole = _of_samples(u, 1 / u, actions[0], volume)
    theirs = _of_samples(known.whole, 1 / known.whole, actions[1], volume)
    found = {}
    for name in here.keys() & own.keys():
        estimate = own[name]
        factor = float(estimate.value) if name == "ess_forward" else 1.0
        f = factor * (here[name] - np.mean(u * here[name]) / np.mean(u))
        m, error = samples.log_w.size, float(estimate.error)
        error_of = foreseen.average(u, f, m)
        alone = abs(factor) * float(np.std(theirs[name])) / math.sqrt(m)
        times = (error / alone) ** 2 if alone > 0 and math.isfinite(error) else 1.0
        error_of = error_of._replace(
            error=error_of.error * math.sqrt(times),
            skewness=error_of.skewness * math.sqrt(times),
        )
        lacking = abs(factor * float(np.mean(u * (whole[name] - here[name]))))
        found[name] = Foreseen(
            math.hypot(error_of.error, lacking),
            error_of.freedom,
            foreseen.freedom_of_average(u, f, m) / times,
            error_of.skewness,
            _caution(error_of, lacking),
        )
    return _with_floor(found, floor, volume)


def _of_samples(
    u: Float[np.ndarray, "*draws"],
    v: Float[np.ndarray, "*draws"],
    action: Float[np.ndarray, "*draws"],
    volume: int,
) -> dict[str, Float[np.ndarray, "*draws"]]:
    """Influences of samples of p, wherever they are evaluated, up to a constant."""
    return {
        "log_z": -v,
        "free_energy_density": v / volume,
        "entropy_density": (action - v) / volume,
        "free_energy_density_lower": -np.log(u) / volume,
        "kl_forward": (np.log(u) + v) / volume,
        "ess_forward": -u - v,
    }


def of_ratio(known: Mapping[str, Mapping[str, Foreseen]], weight: Estimate) -> Foreseen:
    """Of the mode weight Ẑ_q/Ẑ_p, from those of both ln Z."""
    from_q, from_p = known["nis"]["log_z"], known["p_estimator"]["log_z"]
    sides = from_q, from_p._replace(skewness=-from_p.skewness)
    parts = [Spread(float(x.error), x.freedom, 0.0, x.skewness) for x in sides]
    whole = spread.total(parts)
    of_draws = spread.total(
        [x._replace(freedom=y.of_draws) for x, y in zip(parts, sides, strict=True)]
    ).freedom
    return Foreseen(
        float(weight.value) * whole.error,
        whole.freedom,
        of_draws,
        whole.skewness,
        from_q.caution or from_p.caution,
    )


def _with_floor(
    found: dict[str, Foreseen], floor: float, volume: int
) -> dict[str, Foreseen]:
    """Errors of ln Z and what contains it, with those of rounding in quadrature."""
    shares = estimates.floors(floor, volume)
    return {
        name: x._replace(error=math.hypot(float(x.error), shares[name]))
        if name in shares
        else x
        for name, x in found.items()
    }


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
    """Of an influence, or of several; known if each is, with the fewest degrees.

    What draws lack is no scatter, but it is an error: in quadrature.
    """
    columns = a.reshape(u.met.size, -1).T
    met = np.ravel(u.met)
    spreads = [of.error(met, column, u.n, u.n_eff) for column in columns]
    lacking = np.abs(columns @ (1 - met / np.ravel(u.whole))) / met.size
    return Foreseen(
        plain(np.hypot([x.error for x in spreads], lacking).reshape(a.shape[2:])),
        min(found.freedom for found in spreads),
        min(of.freedom(met, column, u.n, u.n_eff) for column in columns),
        spreads[0].skewness if len(spreads) == 1 else 0.0,
        next(filter(None, map(_caution, spreads, lacking)), ""),
    )


def _caution(found: Spread, lacking: float) -> str:
    """Why an error is not known from the other side either, or is no Gaussian's.

    Of N alike draws, as many as chance has it, the skewness² is 1/N.
    """
    if lacking > found.error > 0:
        return "draws are too few for the weights that samples of p have"
    if found.skewness**2 > 1 / FEWEST_ALIKE:
        return "fewer than two draws carry it: it is a count, whatever its error is"
    if found.concentration > spread.LARGEST_CONCENTRATION:
        return (
            f"its error, as samples of p have it, rests on "
            f"{math.floor(1 / found.concentration)} of them: it can be too small"
        )
    return ""
