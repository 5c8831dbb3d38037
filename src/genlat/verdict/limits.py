"""Where the error of an estimate ends to be known: limits belong to estimators.

An estimate whose error rests on too few draws is marked where it is made
(`estimators.spread`). Here are the marks that take more than the draws themselves, and
the errors that take more than the Γ-method. What is marked has a `caution`, and nothing
rests on it.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Bool, Float, Int

from genlat.estimators import autocorrelation, requirements, spread
from genlat.estimators.estimate import Estimate, plain
from genlat.likelihood import Likelihood
from genlat.verdict.data import Foreseen, Found

NO_FOURTH = 1 / 4
"""Pareto shape k of w from which on w² has no variance."""

FAR = 3
"""Standard deviations beyond which two errors of one number are not the same."""


def of_ess(ess: Estimate, pareto_k: float) -> Estimate:
    """Of the effective sample size: quadratic in w."""
    if pareto_k <= NO_FOURTH:
        return ess
    return marked(ess, f"w² has no variance (Pareto k = {pareto_k:.2f} > 1/4)")


def of_proposals(
    estimate: Estimate,
    values: Float[np.ndarray, "chains n *component"],
    index: Int[np.ndarray, "chains n"],
) -> Estimate:
    """Of a neural Markov chain: the larger error of the Γ-method and between chains.

    Rejections have a continuum of decay times, and the window of the Γ-method closes
    before the slow ones: at an ESS of .1 its errors are 8 % too small. A draw that is
    held for L steps has influence L (O - ⟨O⟩), which says how many carry the error.
    """
    if len(values) > 1:
        estimate = _widened(estimate, autocorrelation.between_chains(values))
    if values.ndim > 2:
        return estimate
    held = np.bincount(index.ravel())
    value = np.zeros(held.size)
    value[index.ravel()] = values.ravel()
    d, g = spread.shape(held * (value - np.mean(values)))
    reason = spread.caution(spread.Spread(0.0, math.inf, d, g))
    own = reason if estimate.is_resolved else estimate.caution
    return dataclasses.replace(estimate, caution=own, skewness=g)


def foreseen(estimate: Estimate, other: Foreseen) -> Estimate:
    """Of draws of q: the better known of its own error and what samples of p foresee.

    The other stands where it is larger by more than both scatter (`_stands`). The marks
    go with the error. Value and foreseen error are independent, so that the pull is as
    skew as the value; in the terms of `checks`, by minus half of it.
    """
    own, theirs = np.asarray(estimate.error), np.asarray(other.error)
    is_theirs = _stands(own, theirs, other)
    if estimate.flaw or not np.any(is_theirs):
        return estimate
    if np.all(is_theirs) and estimate.is_resolved and not estimate.is_biased:
        caution, freedom = other.caution, other.freedom
    else:
        caution = estimate.caution or other.caution
        freedom = min(estimate.freedom, other.freedom)
    error = np.where(is_theirs, theirs, own)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(error > 0, own / error, 1.0) ** 2
    return dataclasses.replace(
        estimate,
        error=plain(error),
        n_eff=plain(np.minimum(estimate.n_eff * share, estimate.n)),
        caution=caution,
        freedom=freedom,
        skewness=-other.skewness / 2,
    )


def _stands(
    own: Float[np.ndarray, "*component"],
    theirs: Float[np.ndarray, "*component"],
    other: Foreseen,
) -> Bool[np.ndarray, "*component"]:
    """Where the foreseen error is that of an estimate, and not the one of its draws.

    Two errors² of ν degrees of freedom scatter by √(2/ν) each. That with more of them
    stands, unless the other is above it by more than `FAR` deviations: then draws or
    samples have met what the others have not. How well draws know their error is not
    for them to say, of whom the lucky have small ones.
    """
    scatter = math.sqrt(2 / other.freedom + 2 / other.of_draws)
    if other.freedom > other.of_draws:
        return np.asarray(own <= theirs * math.sqrt(1 + FAR * scatter))
    return np.asarray(theirs > own * math.sqrt(1 + FAR * scatter))


def _widened(estimate: Estimate, other: Estimate) -> Estimate:
    """With the larger of two errors of the same mean, component by component."""
    is_wider = np.asarray(other.error) > np.asarray(estimate.error)
    if not np.any(is_wider):
        return estimate
    return dataclasses.replace(
        estimate,
        error=plain(np.where(is_wider, other.error, estimate.error)),
        n_eff=plain(np.where(is_wider, other.n_eff, estimate.n_eff)),
        freedom=min(estimate.freedom, other.freedom),
    )


def admitted(found: Found, method: str, likelihood: Likelihood) -> Found:
    """What a model of this likelihood supports of a method; what is biased is marked.

    **Raises:** `ValueError` if it supports nothing.
    """
    require(method, likelihood)
    kept = {}
    for name, estimate in found.items():
        quantity = requirements.of_estimate(method, name)
        answer = requirements.answer(quantity, likelihood)
        if answer.status == "biased":
            biased = dataclasses.replace(estimate, is_biased=True)
            kept[name] = marked(biased, answer.reason)
        elif answer.status == "unbiased":
            kept[name] = estimate
    return kept


def require(method: str, likelihood: Likelihood) -> None:
    """Refuse a method that a model of this likelihood supports nothing of.

    **Raises:** `ValueError`.
    """
    if reason := requirements.refusal(method, likelihood):
        raise ValueError(f"{method}: {reason}")


def marked(estimate: Estimate, reason: str) -> Estimate:
    """With this caution, unless it has one."""
    return dataclasses.replace(estimate, caution=estimate.caution or reason)
