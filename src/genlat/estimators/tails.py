"""How heavy the upper tail of the weights is: the Pareto shape k of PSIS."""

import math

import numpy as np
from jaxtyping import Float

from genlat.estimators import weights

SMALLEST_SAMPLE = 25
"""The tail is the upper fifth of a small sample, and a fit needs five draws."""


def pareto_k(log_w: Float[np.ndarray, " n"]) -> float:
    r"""Shape k of the generalised Pareto distribution of the largest weights.

    The min(n/5, 3√n) largest weights are fitted above the next one. Moments of order
    1/k and higher do not exist: k < 1/2 is a finite variance of ln Z, k > 0.7 means
    errors that cannot be believed at any n one can afford. 0 if the weights are equal
    to rounding; inf if fewer than five draws stand out of ties, since nothing can be
    said of such a tail.

    **Source:** Vehtari et al., J. Mach. Learn. Res. 25, 72 (2024), arXiv:1507.02646,
    with their weak prior, worth ten draws at k = 1/2.

    **Arguments:** `log_w` of independent draws from q, n ≥ 25.

    **Raises:** `ValueError` as `weights.check`, or for n < 25.
    """
    weights.check(log_w)
    n = log_w.size
    if n < SMALLEST_SAMPLE:
        raise ValueError(f"pareto_k needs at least {SMALLEST_SAMPLE} draws, got {n}")
    n_tail = math.ceil(min(n / 5, 3 * math.sqrt(n)))
    largest = np.sort(np.partition(log_w, n - n_tail - 1)[n - n_tail - 1 :])
    if largest[-1] - largest[0] < 1e-12 * max(1.0, abs(largest[-1])):
        return 0.0
    w = np.exp(largest - largest[-1])
    # ties with the threshold, and weights too small to divide by, are no exceedances
    exceedances = (w - w[0])[w - w[0] > 1e-290]
    if exceedances.size < 5:
        return math.inf
    k, m = generalized_pareto_shape(exceedances), exceedances.size
    return (m * k + 10 * 0.5) / (m + 10)


def generalized_pareto_shape(exceedances: Float[np.ndarray, " n"]) -> float:
    r"""Shape k of density ∝ (1 + k x/σ)^{-1/k - 1}, from positive, sorted exceedances.

    With θ = -k/σ the likelihood is maximised over k in closed form,
    k(θ) = mean ln(1 - θ x), and θ is averaged over a grid with the profile likelihood
    n [ln(-θ/k) - k - 1] as weight: neither iteration nor failure to converge.

    **Source:** Zhang and Stephens, Technometrics 51, 316 (2009).
    """
    n = exceedances.size
    n_grid = 30 + math.isqrt(n)
    quartile = exceedances[math.floor(n / 4 + 0.5) - 1]
    steps = 1 - np.sqrt(n_grid / (np.arange(1, n_grid + 1) - 0.5))
    theta = 1 / exceedances[-1] + steps / (3 * quartile)
    k = np.mean(np.log1p(-theta[:, None] * exceedances), axis=1)
    log_likelihood = n * (np.log(-theta / k) - k - 1)
    posterior = np.exp(log_likelihood - np.max(log_likelihood))
    best = np.sum(theta * posterior) / np.sum(posterior)
    return float(np.mean(np.log1p(-best * exceedances)))
