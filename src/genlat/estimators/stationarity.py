r"""Whether chains are in equilibrium, in errors of their own.

Two questions to `values` of shape `(chains, n)`, one observable on independent chains:
does its mean still move with time (`drift`), and do chains remember where they were
(`memory`)? The answers are probabilities under a stationary, ergodic chain. Both are
blind unless the chains start in different places, and to what no chain has visited.

Drifts are odd under a reversal of time, under which a chain in detailed balance does
not change: their law is symmetric however skew the observable is.

**Source:** first against last part: Geweke, in Bayesian Statistics 4 (1992), 169; here
with many chains, whose scatter replaces the spectral density. Dispersed starts: Gelman
and Rubin, Stat. Sci. 7, 457 (1992). The rest is ours, see docs/verdict.md.
"""

import math

import numpy as np
from jaxtyping import Float, Real
from scipy import special, stats

from genlat.estimators import autocorrelation

ENOUGH = 8
"""Chains whose scatter is an error; fewer are cut into blocks."""
BLOCKS = 16
SHORTEST_BLOCK = 6.0  # τ_int of a block whose mean is independent of its neighbours'
MOST_HALVINGS = 6
_ROUNDING = 64 * float(np.finfo(float).eps)  # of a contrast of numbers up to 1


def drift(values: Real[np.ndarray, "chains n"]) -> float | None:
    """Probability of the largest drift seen, times the number of drifts looked for.

    These are the slope against time, and the first half, quarter, ... 1/64 against the
    last: a bias that dies out early is 4 to 6 times as visible there as in the mean.
    None where the data cannot tell: fewer than eight chains that are shorter than 100
    τ_int each, or values that never change.

    **Raises:** `ValueError` for a value that is not finite.
    """
    series = _series(values)
    if series is None:
        return None
    blocks, freedom = series
    n_chains, n = blocks.shape
    contrasts = _contrasts(n)
    found = blocks @ contrasts.T
    if n_chains >= ENOUGH:
        error = np.std(found, axis=0, ddof=1) / math.sqrt(n_chains)
    else:
        own = blocks - np.mean(blocks, axis=1, keepdims=True)
        variance = np.sum(own**2) / freedom
        error = np.sqrt(variance * np.sum(contrasts**2, axis=1) / n_chains)
    # rare events can leave all chains alike, and no scatter but that of rounding
    error = np.maximum(error, _ROUNDING * np.sum(np.abs(contrasts), axis=1))
    pulls = np.mean(found, axis=0) / error
    p_value = 2 * special.stdtr(freedom, -np.abs(pulls))
    return float(min(1.0, len(contrasts) * np.min(p_value)))


def memory(values: Real[np.ndarray, "chains n"]) -> float | None:
    """Probability that chains differ in their means as much as they do, or more.

    Of eight or more, the correlation between the normal scores of the means of their
    first and their last thirds: it needs no error of a mean, and no law. Of fewer, the
    analysis of variance of block means. None for a single chain, chains of fewer than
    nine values, and few chains shorter than 100 τ_int each. Chains that never move but
    differ: 0.

    **Raises:** `ValueError` for a value that is not finite.
    """
    n_chains, n = values.shape
    if n_chains < 2 or n < 9:
        return None
    if np.all(values == values[:, :1]):
        return 1.0 if np.all(values == values[0, 0]) else 0.0
    if n_chains >= ENOUGH:
        x = _finite(values)
        first, last = (np.mean(x[:, part], axis=1) for part in _thirds(n))
        if np.all(first == first[0]) or np.all(last == last[0]):
            return 1.0
        if (p_value := _by_counts(first, last)) is not None:
            return p_value
        scores = [
            special.ndtri(stats.rankdata(x) / (n_chains + 1)) for x in (first, last)
        ]
        r = min(float(np.corrcoef(np.stack(scores))[0, 1]), 1 - 1e-15)
        return float(
            stats.t(n_chains - 2).sf(r * math.sqrt((n_chains - 2) / (1 - r**2)))
        )
    series = _series(values)
    return None if series is None else float(stats.f_oneway(*series[0]).pvalue)


def _by_counts(
    first: Float[np.ndarray, " chains"], last: Float[np.ndarray, " chains"]
) -> float | None:
    """Where most chains are alike: whether the others are so twice, too often.

    Rare events are met by some chains early and by some late; that k of R are met both
    times is hypergeometric. None where most chains differ.
    """
    others = []
    for means in (first, last):
        values, counts = np.unique(means, return_counts=True)
        others.append(means != values[np.argmax(counts)])
    a, b = (int(np.sum(x)) for x in others)
    n = first.size
    if 2 * min(a, b) > n:
        return None
    twice = int(np.sum(others[0] & others[1]))
    return float(stats.hypergeom(n, a, b).sf(twice - 1))


def fades(values: Real[np.ndarray, "chains n"]) -> bool:
    """Whether chains forget: their last third is less like the first than the middle.

    A chain that moves slowly remembers where it was, less and less; one that is stuck
    does not forget. By ranks, beyond two deviations of the difference of two
    correlations; of fewer than eight chains, or thirds of one value, it is not known
    to.
    """
    n_chains, n = values.shape
    if n_chains < ENOUGH or n < 9:
        return False
    x = _finite(values)
    first, last = _thirds(n)
    parts = [first, slice(first.stop, last.start), last]
    means = [np.mean(x[:, part], axis=1) for part in parts]
    if any(np.all(mean == mean[0]) for mean in means):
        return False
    scores = [stats.rankdata(mean) for mean in means]
    near, far = (float(np.corrcoef(scores[0], other)[0, 1]) for other in scores[1:])
    return far < near - 2 * math.sqrt(2 / n_chains)


def _thirds(n: int) -> tuple[slice, slice]:
    return slice(0, n // 3), slice(n - n // 3, n)


def _series(
    values: Real[np.ndarray, "chains n"],
) -> tuple[Float[np.ndarray, "chains n_"], float] | None:
    """What drifts are looked for in, and the degrees of freedom of its scatter."""
    x = _finite(values)
    n_chains, n = x.shape
    if n < 2 or np.all(values == values[0, 0]):
        return None
    if n_chains >= ENOUGH:
        return x, n_chains - 1.0
    own = x - np.mean(x, axis=1, keepdims=True)  # an offset is not autocorrelation
    if n < BLOCKS or not np.any(own):
        return None
    tau = max(float(autocorrelation.tau_int(own).value), 0.5)
    size = n // BLOCKS
    if size < SHORTEST_BLOCK * tau:
        return None
    means = np.mean(x[:, : size * BLOCKS].reshape(n_chains, BLOCKS, size), axis=2)
    return means, n_chains * (BLOCKS - 1.0)


def _contrasts(n: int) -> Float[np.ndarray, "contrasts n"]:
    """The slope, and first against last parts of n/2, n/4, ... values."""
    time = np.arange(n) - (n - 1) / 2
    rows = [time / np.sum(time**2)]
    for k in range(1, MOST_HALVINGS + 1):
        size = n >> k
        if size < 1:
            break
        row = np.zeros(n)
        row[:size], row[n - size :] = -1 / size, 1 / size
        rows.append(row)
    return np.stack(rows)


def _finite(values: Real[np.ndarray, "chains n"]) -> Float[np.ndarray, "chains n"]:
    """Deviations from the common mean, in units of the largest."""
    if not np.all(np.isfinite(values)):
        raise ValueError("a chain contains NaN or infinite values: fix their origin")
    centred = np.asarray(values, dtype=np.float64) - np.mean(values, dtype=np.float64)
    scale = float(np.max(np.abs(centred), initial=0.0))
    return centred / scale if scale > 0 else centred
