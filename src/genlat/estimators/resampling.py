"""Jackknife and bootstrap over groups of draws: cross-checks of the delta method.

Both take group means, of shape `(groups, k)`, of k quantities over groups of equally
many draws that are independent of each other (whole chains, or slices of independent
draws), and a smooth function of the k means.
"""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from genlat.estimators.estimate import Estimate

Function = Callable[[Float[np.ndarray, "n k"]], Float[np.ndarray, " n"]]
"""Many vectors of means at once to the number each of them gives."""
GROUPS = 100
FEWEST = 10


def groups(values: Float[np.ndarray, "*draws"]) -> Float[np.ndarray, " groups"]:
    """Means over groups: 100 slices of (n,) independent draws, or whole chains.

    Draws that do not fill a group are left out.

    **Raises:** `ValueError` for fewer than 10 chains, or 10 draws.
    """
    if values.ndim == 2:
        means = np.mean(values, axis=1)
    else:
        n_groups = min(GROUPS, values.size)
        size = values.size // n_groups
        means = np.mean(values[: n_groups * size].reshape(n_groups, size), axis=1)
    if len(means) < FEWEST:
        raise ValueError(f"resampling needs {FEWEST} groups, there are {len(means)}")
    return means


def jackknife(means: Float[np.ndarray, "groups k"], function: Function) -> Estimate:
    """Error and bias from leaving out one group at a time.

    With G groups: error² = (G - 1)/G Σ (f_i - mean f)², bias = (G - 1)(mean f - f).

    **Source:** Efron and Stein, Ann. Stat. 9, 586 (1981).
    """
    g = len(means)
    total = np.mean(means, axis=0, keepdims=True)
    value = float(function(total)[0])
    left_out = function((g * total - means) / (g - 1))
    spread = float(np.sum((left_out - np.mean(left_out)) ** 2))
    return Estimate(
        value=value,
        error=math.sqrt((g - 1) / g * spread),
        bias=(g - 1) * (float(np.mean(left_out)) - value),
        n=g,
        n_eff=float(g),
        method="jackknife",
    )


def bootstrap(
    means: Float[np.ndarray, "groups k"],
    function: Function,
    rng: np.random.Generator,
    *,
    n_resamples: int = 1000,
) -> Estimate:
    """Error and bias from the spread over groups drawn with replacement.

    The spread is that of G groups about their own mean: scaled by G/(G - 1).

    **Source:** Efron, Ann. Stat. 7, 1 (1979).
    """
    g = len(means)
    value = float(function(np.mean(means, axis=0, keepdims=True))[0])
    counts = rng.multinomial(g, np.full(g, 1 / g), size=n_resamples)
    replicas = function(counts @ means / g)
    scale = g / (g - 1)
    return Estimate(
        value=value,
        error=math.sqrt(scale) * float(np.std(replicas, ddof=1)),
        bias=scale * (float(np.mean(replicas)) - value),
        n=g,
        n_eff=float(g),
        method="bootstrap",
    )
