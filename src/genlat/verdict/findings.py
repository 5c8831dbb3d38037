"""What each ensemble contributes to the results: a chain, draws, a neural chain."""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from genlat.estimators import autocorrelation, stationarity, tails, weights
from genlat.estimators.brief import brief
from genlat.estimators.estimate import Estimate
from genlat.verdict import checks, estimates, limits
from genlat.verdict.checks import Check
from genlat.verdict.data import Arrays, Chain, Draws, Foreseen, Proposed

Json = dict[str, Any]
Shape = tuple[int, ...]


class Findings(NamedTuple):
    """Estimates by method, entries of `diagnostics` and of `cost`, and tests.

    `foreseen`: errors of estimates of other findings, by method and name. `witnesses`:
    averages by other means, to hold estimates against and not to quote.
    """

    by_method: Mapping[str, estimates.Found]
    diagnostics: Json
    cost: Json
    checks: tuple[Check, ...] = ()
    foreseen: Mapping[str, Mapping[str, Foreseen]] = MappingProxyType({})
    witnesses: Mapping[str, estimates.Found] = MappingProxyType({})

    __repr__ = brief


NOTHING = Findings({}, {}, {})
ON_DRAWS = {"nis": estimates.nis, "variational": estimates.variational}


def of_chain(
    chain: Chain, names: tuple[str, ...], shape: Shape, seconds: float | None
) -> Findings:
    """A chain by itself: averages, and whether it is in equilibrium.

    **Arguments:** `seconds`: that it took, None where that is not known.
    """
    name, moves = chain.name, chain.acceptance
    found = estimates.chain(chain.measured, names, shape)
    tests = equilibrium(name, chain.measured)
    return Findings(
        {name: found},
        {
            "acceptance": {} if moves is None else {name: _acceptance(moves)},
            "tau_int": _by_name(name, estimates.autocorrelation_times(chain.measured)),
            "equilibrium": {name: worst(tests)},
        },
        _per_second(name, found, seconds),
        tests,
    )


def of_draws(
    draws: Draws,
    methods: tuple[str, ...],
    names: tuple[str, ...],
    shape: Shape,
    seconds: float | None,
) -> Findings:
    """Draws of the model: their weights, and importance sampling.

    **Arguments:** `seconds`: that they took, None where that is not known.
    """
    log_w = draws.log_w
    for method in methods:
        limits.require(method, draws.likelihood)
    diagnostics: Json = {"non_finite": weights.non_finite(log_w)}
    cost: Json = {}
    if not is_usable(log_w):
        return Findings({}, diagnostics, cost)
    pareto_k, share = tails.pareto_k(log_w), weights.largest_share(log_w)
    volume = math.prod(shape)
    diagnostics |= {
        "floor": draws.floor(volume),
        "ess": ess(draws).to_json(),
        "kl_per_site": weights.kl_reverse(log_w, volume).to_json(),
        "pareto_k": pareto_k,
        "weights": {"largest_share": share, "pareto_k": pareto_k},
    }
    if seconds is not None:
        cost["ess_per_second"] = {"nis": weights.n_eff(log_w) / seconds}
    found = {
        method: limits.admitted(estimate(draws, names, shape), method, draws.likelihood)
        for method, estimate in ON_DRAWS.items()
        if method in methods
    }
    return Findings(found, diagnostics, cost)


def of_proposed(
    draws: Draws,
    proposed: Proposed,
    names: tuple[str, ...],
    shape: Shape,
    seconds: float | None,
) -> Findings:
    """The neural Markov chain; `seconds` as in `of_draws`."""
    found = limits.admitted(
        estimates.proposals(draws, proposed.index, names, shape),
        "nmcmc",
        draws.likelihood,
    )
    measured = estimates.gathered(draws.measured, proposed.index)
    times = estimates.autocorrelation_times(measured)
    return Findings(
        {"nmcmc": found},
        {
            "acceptance": {"nmcmc": _acceptance(proposed.is_accepted)},
            "tau_int": _by_name("nmcmc", times),
        },
        _per_second("nmcmc", found, seconds),
    )


def ess(draws: Draws) -> Estimate:
    """Of draws, with the error that they know of it."""
    pareto_k = tails.pareto_k(draws.log_w)
    found = limits.of_ess(weights.ess_estimate(draws.log_w), pareto_k)
    return limits.admitted({"ess": found}, "nis", draws.likelihood)["ess"]


def is_usable(log_w: Float[np.ndarray, " n"]) -> bool:
    """Whether anything can be estimated: no weight is NaN or +inf, one is positive."""
    return not weights.non_finite(log_w) and bool(np.any(np.isfinite(log_w)))


def equilibrium(name: str, measured: Arrays) -> tuple[Check, ...]:
    """Whether chains still drift, and whether they remember where they were."""
    return tuple(_equilibrium(name, measured))


def worst(tests: tuple[Check, ...]) -> Json:
    """The least probable of tests, times their number; empty without."""
    if not tests:
        return {}
    least = min(tests, key=lambda check: check.p_value)
    return {"worst": least.about, "p_value": min(1.0, least.p_value * len(tests))}


def _equilibrium(name: str, measured: Arrays) -> Iterator[Check]:
    """Of several components the least probable, times their number.

    Memory that chains do not deny is no more than a doubt (`_contradicts`).
    """
    for observable, values in measured.items():
        parts = np.moveaxis(values.reshape(*values.shape[:2], -1), -1, 0)
        drift = _least([stationarity.drift(x) for x in parts])
        of_parts = [stationarity.memory(x) for x in parts]
        memory = _least(of_parts)
        if drift is not None:
            yield Check(
                "equilibrium",
                f"{name}, drift of {observable}",
                f"{name}: {observable} drifts with time (p = {drift:.1g}): the chains "
                "are not thermalised, raise mcmc.therm",
                drift,
            )
        if memory is not None:
            yield Check(
                "equilibrium",
                f"{name}, memory of {observable}",
                f"{name}: its chains disagree about {observable} (p = {memory:.1g}): "
                "stuck in different places, or too short",
                memory,
                any(
                    _contradicts(x)
                    for x, p in zip(parts, of_parts, strict=True)
                    if p is not None and p < checks.DOUBTED
                ),
            )


def _contradicts(values: Float[np.ndarray, "chains n"]) -> bool:
    """Whether chains that remember claim to have forgotten.

    Slow chains, whose memory fades or whose autocorrelation is not resolved, say so by
    themselves.
    """
    found = autocorrelation.mean(values)
    claims = bool(found.flaw) or found.is_resolved
    return claims and not stationarity.fades(values)


def _least(p_values: list[float | None]) -> float | None:
    """Of tests of one kind: the least times their number; None where there is none."""
    known = [p for p in p_values if p is not None]
    return min(1.0, len(known) * min(known)) if known else None


def _acceptance(accepted: Float[np.ndarray, "chains n"]) -> Json:
    """A kernel that always accepts is no fault."""
    estimate = autocorrelation.mean(accepted)
    return dataclasses.replace(estimate, flaw="").to_json()


def _per_second(name: str, found: estimates.Found, seconds: float | None) -> Json:
    if seconds is None:
        return {}
    return {"ess_per_second": {name: _rate(found, seconds)}}


def _rate(found: estimates.Found, seconds: float) -> float:
    """Independent samples per second, of the observable that has the fewest.

    One whose error is not known has no number of its own.
    """
    n_eff = [float(np.min(estimate.n_eff)) for estimate in found.values()]
    return min(filter(math.isfinite, n_eff), default=math.nan) / seconds


def _by_name(method: str, found: estimates.Found) -> Json:
    return {name: {method: estimate.to_json()} for name, estimate in found.items()}
