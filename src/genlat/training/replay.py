"""A model's own draws as samples of p, by weights that leave enough of them.

**Source:** draws of several generations, kept and drawn again by their weights, as in
the replay of Midgley et al., arXiv:2208.01893; powers of the weights against their
degeneracy, Koblents & Míguez, Statistics and Computing 25, 407 (2015).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from genlat.estimators import weights
from genlat.estimators.brief import brief

BISECTIONS = 40  # of the exponent, to 10⁻¹²


class Flattened(NamedTuple):
    """Shares proportional to w^`exponent`, of sum 1, and how many draws they are worth.

    `n_eff` is 1/Σ share².
    """

    shares: Float[np.ndarray, " n"]
    exponent: float
    n_eff: float

    __repr__ = brief


def flatten(log_w: Float[np.ndarray, " n"], least_ess: float) -> Flattened:
    """The largest power of the weights, at most 1, whose ESS is at least `least_ess`.

    With power t, draws of q stand for a density ∝ p^t q^(1-t), between q and p. With
    t = 1 they stand for p. Draws of several models, each normalised, may be joined,
    since all weights have the mean Z: those of a bad model are small but for a few,
    which flattening tames.

    **Arguments:** `log_w`: -S - log q; `least_ess`: per draw, above 0 and below the
    part of the draws whose weight is not 0.

    **Raises:** `ValueError` for weights that are NaN or +inf, and for another ESS.
    """
    weights.check(log_w)
    possible = float(np.mean(np.isfinite(log_w)))
    if not 0 < least_ess < possible:
        raise ValueError(
            f"least_ess must be in (0, {possible:g}), the part of the draws that has a "
            f"weight; got {least_ess:g}"
        )
    found, fewest = _power(log_w, 1.0), least_ess * log_w.size
    if found.n_eff >= fewest:
        return found
    lower, upper = 0.0, 1.0
    for _ in range(BISECTIONS):  # n_eff falls with the exponent
        middle = (lower + upper) / 2
        if _power(log_w, middle).n_eff >= fewest:
            lower = middle
        else:
            upper = middle
    return _power(log_w, lower)


def _power(log_w: Float[np.ndarray, " n"], exponent: float) -> Flattened:
    possible = np.isfinite(log_w)
    powers = np.zeros(len(log_w))
    powers[possible] = np.exp(exponent * (log_w[possible] - np.max(log_w)))
    shares = powers / np.sum(powers)
    return Flattened(shares, exponent, float(1 / np.sum(shares**2)))


def resample(
    shares: Float[np.ndarray, " n"], size: int, u: float
) -> Int[np.ndarray, " size"]:
    """Numbers of `size` draws, each of them `size` x share times but for rounding.

    Systematic resampling: one uniform number `u` in [0, 1) decides on all roundings.
    """
    edges = np.cumsum(shares)
    points = (np.arange(size) + u) * (edges[-1] / size)
    return np.minimum(np.searchsorted(edges, points, side="right"), len(shares) - 1)
