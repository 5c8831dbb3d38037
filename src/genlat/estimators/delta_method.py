r"""The delta method beyond the leading order: ln Z and reweighted means of N draws.

With u = w/E[w], x = u (O - Ō), y = u - 1 and $c_{jk} = E[x^j y^k]$, and with δ and a
the means of y and x over N draws, ln Z is off by ln(1 + δ) and a reweighted mean by
a/(1 + δ). Their expansions in δ, averaged order by order in 1/N, are the coefficients
here. The order 1/N² of one needs c_jk with j + k = 3, the order 1/N³ fourth moments.

**Source:** order 1/N: Nicoli et al., Phys. Rev. Lett. 126, 032001 (2021),
arXiv:2007.07115. The orders 1/N² and 1/N³ are ours.
"""

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from genlat.estimators.brief import brief


class Order(NamedTuple):
    """The coefficient of a power of 1/N, and how each draw of the pool moves it."""

    coefficient: float
    influence: Float[np.ndarray, " n"]

    __repr__ = brief


class Orders(NamedTuple):
    """Of 1/N and 1/N², and the coefficient alone of 1/N³."""

    first: Order
    second: Order
    third: float


class Moments:
    """c_jk = E[x^j y^k] of x = u (O - Ō) and y = u - 1 on the pool.

    The influences contain that u and Ō come from the same draws.
    """

    def __init__(self, x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]):
        self._x, self._y = x, y
        self.mean = functools.cache(self._mean)

    def _mean(self, j: int, k: int) -> float:
        return float(np.mean(self._x**j * self._y**k))

    def influence(self, j: int, k: int) -> Float[np.ndarray, " n"]:
        """Of one draw on c_jk: what it adds, and how it moves u and Ō in all others."""
        x, y, c = self._x, self._y, self.mean
        moved = x**j * y**k - c(j, k)
        if j:
            moved -= j * (y * c(j, k) + x * (c(j - 1, k) + c(j - 1, k + 1)))
        if k:
            moved -= k * y * (c(j, k - 1) + c(j, k))
        return moved


def of_log_z(moments: Moments) -> tuple[Orders, Orders]:
    """Bias and variance of ln(1 + δ), δ the mean of N values of y."""
    m2, m3, m4 = (moments.mean(0, k) for k in (2, 3, 4))
    dm2, dm3 = moments.influence(0, 2), moments.influence(0, 3)
    excess = m4 - 3 * m2**2
    bias = Orders(
        Order(-m2 / 2, -dm2 / 2),
        Order(m3 / 3 - 0.75 * m2**2, dm3 / 3 - 1.5 * m2 * dm2),
        -excess / 4 + 2 * m2 * m3 - 2.5 * m2**3,
    )
    variance = Orders(
        Order(m2, dm2),
        Order(2.5 * m2**2 - m3, 5 * m2 * dm2 - dm3),
        11 / 12 * excess - 8 * m2 * m3 + 32 / 3 * m2**3,
    )
    return bias, variance


def of_reweighted_mean(moments: Moments) -> tuple[Orders, Orders]:
    """Bias and variance of a / (1 + δ), a and δ the means of N values of x and y."""
    c, d = moments.mean, moments.influence
    c11, c12, c20, c21, c02, c03 = (
        c(j, k) for j, k in ((1, 1), (1, 2), (2, 0), (2, 1), (0, 2), (0, 3))
    )
    d11, d20, d02 = d(1, 1), d(2, 0), d(0, 2)
    excess13, excess22 = c(1, 3) - 3 * c11 * c02, c(2, 2) - c20 * c02 - 2 * c11**2
    bias = Orders(
        Order(-c11, -d11),
        Order(c12 - 3 * c11 * c02, d(1, 2) - 3 * (d11 * c02 + c11 * d02)),
        -excess13 + 4 * c11 * c03 + 6 * c12 * c02 - 15 * c11 * c02**2,
    )
    variance = Orders(
        Order(c20, d20),
        Order(
            3 * c20 * c02 + 5 * c11**2 - 2 * c21,
            3 * (d20 * c02 + c20 * d02) + 10 * c11 * d11 - 2 * d(2, 1),
        ),
        3 * excess22
        - 4 * c20 * c03
        - 22 * c11 * c12
        - 12 * c02 * c21
        + 15 * c20 * c02**2
        + 54 * c11**2 * c02,
    )
    return bias, variance
