r"""What the draws of one density may have missed, as draws of the other tell.

With n draws of q, the set A = {p > t q} is met by N = n Q(A) of them, and all miss it
with probability e^{-N}. Then ln Ẑ_q is low by P(A) - Q(A), and nothing in the weights
of the draws says so. Samples of p do: P(A) = E_p[1_A], Q(A) = E_p[1_A q/p]. The
contribution to the mean square error of ln Ẑ_q is (P(A) - Q(A))² e^{-N}.

Exchange q and p for the p-estimator, which misses where q is large and p is not.

**Source:** effective support and mode-dropping sets, Nicoli et al., Phys. Rev. D 108,
114501 (2023), arXiv:2302.14082; the comparison with an error is ours.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from genlat.estimators.brief import brief


class Missed(NamedTuple):
    """The level set that threatens an estimate most.

    - `shift`: (mass - mass of the draws' own density) e^{-N/2}: the error of ln Z that
      such a set may hide; 0 if there is none.
    - `mass`: of the other density. `expected`: N, draws expected there.
    """

    shift: float
    mass: float
    expected: float

    __repr__ = brief


def missed(log_ratio: Float[np.ndarray, "*samples"], n: float | int) -> Missed:
    """What n draws of q may miss of p.

    **Arguments:** `log_ratio`: ln p/q, both normalised, on samples of p; `n`: the
    number of independent draws of q.

    **Raises:** `ValueError` for fewer than two samples, or one that is NaN.
    """
    if log_ratio.size < 2 or np.any(np.isnan(log_ratio)):
        raise ValueError("ln p/q must be a number on two samples or more")
    inverse = np.sort(np.exp(-np.maximum(np.ravel(log_ratio), -600.0)))  # q/p
    size = np.arange(1, inverse.size + 1)
    theirs = np.cumsum(inverse) / inverse.size
    mass, expected = size / inverse.size, n * theirs
    shift = (mass - theirs) * np.exp(-expected / 2)
    worst = int(np.argmax(shift))
    if not shift[worst] > 0:
        return Missed(0.0, 0.0, 0.0)
    return Missed(float(shift[worst]), float(mass[worst]), float(expected[worst]))
