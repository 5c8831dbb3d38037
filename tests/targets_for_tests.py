"""Densities on a line whose every average is known, and correlated draws of them.

A target p = e^{-S}/Z comes with a proposal q. Chains are Gaussian AR(1) sequences
mapped to the marginal of p by x = F⁻¹(Φ(z)): correlated, exactly stationary, and of a
τ_int that follows from the Hermite coefficients of the map. Draws of q are independent.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from scipy import signal, special, stats

LOG_SCALE = 1.1e4  # ln Z is about as large as that of a lattice
Function = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Target:
    """ln p and ln q, normalised, on `grid`, outside of which neither has any mass."""

    log_p: Function
    log_q: Function
    grid: np.ndarray
    log_z: float

    def action(self, x):
        return -self.log_p(x) - self.log_z

    def log_w(self, x):
        return -self.action(x) - self.log_q(x)

    def p_average(self, values):
        """E_p of a function given on `grid`."""
        return _integral(values * np.exp(self.log_p(self.grid)), self.grid)

    def q_average(self, values):
        return _integral(values * np.exp(self.log_q(self.grid)), self.grid)

    def chains(self, rng, r, shape):
        """Stationary draws of p, correlated as r^t along the last axis of `shape`."""
        return self._quantile(self.log_p, special.ndtr(ar1(rng, r, shape)))

    def draws(self, rng, shape):
        """Independent draws of q."""
        return self._quantile(self.log_q, rng.random(shape))

    def tau_int(self, function, r):
        r"""Of `function` along `chains`: Σ_k c_k² (1+r^k)/(1-r^k) / (2 Σ_k c_k²)."""
        z = np.linspace(-9, 9, 40_001)
        values = function(self._quantile(self.log_p, special.ndtr(z)))
        weight = values * stats.norm.pdf(z)
        orders = np.arange(1, 121)
        # normalised by √k! step by step: the polynomials themselves overflow nothing
        squares = []
        before, now = np.zeros_like(z), np.ones_like(z)
        for k in orders:
            before, now = now, (z * now - math.sqrt(k - 1) * before) / math.sqrt(k)
            squares.append(_integral(weight * now, z) ** 2)
        squares = np.array(squares)
        mean = _integral(weight, z)
        variance = _integral((values - mean) ** 2 * stats.norm.pdf(z), z)
        slow = np.sum(squares * (1 + r**orders) / (2 * (1 - r**orders)))
        return (slow + 0.5 * (variance - squares.sum())) / variance

    def _quantile(self, log_density, u):
        density = np.exp(log_density(self.grid))
        steps = 0.5 * (density[1:] + density[:-1]) * np.diff(self.grid)
        cumulative = np.concatenate([[0.0], np.cumsum(steps)])
        return np.interp(u * cumulative[-1], cumulative, self.grid)


def ar1(rng, r, shape):
    """Standard normal AR(1) sequences along the last axis, stationary at the start."""
    noise = rng.normal(size=shape)
    noise[..., 1:] *= math.sqrt(1 - r**2)
    return signal.lfilter([1.0], [1.0, -r], noise, axis=-1)


def _integral(values, x):
    return float(np.trapezoid(values, x))


def _mixture(shares, means, widths):
    def log_density(x):
        parts = [
            math.log(share) + stats.norm.logpdf(x, mean, width)
            for share, mean, width in zip(shares, means, widths, strict=True)
        ]
        return np.logaddexp.reduce(parts, axis=0)

    return log_density


def _log_gamma(shape, rate):
    """ln of a gamma variable, a skew variable on the whole line."""

    def log_density(x):
        constant = shape * math.log(rate) - special.gammaln(shape)
        return shape * x - rate * np.exp(x) + constant

    return log_density


TARGETS = {
    "gaussian": Target(
        _mixture([1.0], [0.4], [1.0]),
        _mixture([1.0], [0.15], [1.08]),
        np.linspace(-11, 11, 20_001),
        LOG_SCALE,
    ),
    # weights with a Pareto tail of index 7 above, bounded by nothing below
    "skewed": Target(
        _log_gamma(1.3, 1.0),
        _log_gamma(1.5, 1.17),
        np.linspace(-26, 4.2, 20_001),
        LOG_SCALE,
    ),
    "bimodal": Target(
        _mixture([0.3, 0.7], [-2.0, 1.3], [0.5, 0.8]),
        _mixture([0.42, 0.58], [-1.95, 1.2], [0.53, 0.85]),
        np.linspace(-10, 11, 20_001),
        LOG_SCALE,
    ),
}
