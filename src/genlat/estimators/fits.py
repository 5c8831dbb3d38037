r"""Power laws y = a x^b through points with errors.

A weighted straight line through (ln x, ln y) with σ_i = error_i / y_i, which asks for
small relative errors. In ln(x/c), c the weighted geometric mean of x, value and slope
are uncorrelated:

$$\ln y = \ln y_c + b \ln(x/c), \qquad \mathrm{var}\ln y_c = 1/\sum_i \sigma_i^{-2},
  \qquad \mathrm{var}\,b = 1/\sum_i \sigma_i^{-2} \ln^2(x_i/c).$$
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Real
from scipy import special

from genlat.estimators.brief import brief
from genlat.estimators.estimate import Estimate

LARGEST = 0.3
"""The largest relative error for which an error of ln y is one."""


@dataclasses.dataclass(frozen=True)
class PowerLaw:
    """A fitted y = y_c (x/c)^b.

    Errors are those that the errors of the data make: they mean little where `p_value`,
    for n - 2 degrees of freedom, is small. `scaled()` is for data that scatter more
    than their errors say.

    - `exponent`: b.
    - `at_centre`: y_c, uncorrelated with b.
    - `centre`: c.
    - `chi2`: Σ (ln y_i - fit)² / σ_i².
    - `scale`: S = max(1, √(χ²/(n - 2))).
    """

    exponent: Estimate
    at_centre: Estimate
    centre: float
    chi2: float
    p_value: float
    scale: float

    __repr__ = brief

    def at(self, x: float) -> Estimate:
        """y at any x > 0; at 1 it is the prefactor a.

        **Raises:** `ValueError` for another x.
        """
        if not x > 0:
            raise ValueError(f"x must be positive, got {x}")
        distance = math.log(x / self.centre)
        value = self.at_centre.value * (x / self.centre) ** self.exponent.value
        relative = self.at_centre.error / self.at_centre.value
        error = value * math.hypot(relative, distance * self.exponent.error)
        return dataclasses.replace(self.at_centre, value=value, error=error)

    def scaled(self) -> "PowerLaw":
        """With errors S times as large: the scatter about the fit, if that is larger.

        **Source:** the scale factor of the Particle Data Group, introduction to the
        Review of Particle Physics. It assumes that all errors are too small by the same
        factor, and needs more than a few points.
        """
        exponent, at_centre = (
            dataclasses.replace(
                estimate,
                error=self.scale * estimate.error,
                method=f"{estimate.method}, errors times {self.scale:.2g}",
            )
            for estimate in (self.exponent, self.at_centre)
        )
        return dataclasses.replace(self, exponent=exponent, at_centre=at_centre)


def power_law(
    x: Real[np.ndarray, " n"], y: Real[np.ndarray, " n"], error: Real[np.ndarray, " n"]
) -> PowerLaw:
    """The weighted fit.

    **Arguments:** `x` and `y` positive, `error` the independent errors of y; at least
    three points, at two different x or more.

    **Raises:** `ValueError` for anything else, and for an error of more than `LARGEST`
    times its value.
    """
    n = x.size
    if n < 3:
        raise ValueError(f"a fit of two parameters needs 3 points, got {n}")
    for name, values in (("x", x), ("y", y), ("error", error)):
        if not (np.all(np.isfinite(values)) and np.all(values > 0)):
            raise ValueError(f"{name} must be positive and finite, got {values}")
    if np.any(error > LARGEST * y):
        raise ValueError(
            f"errors must be at most {LARGEST} of their values, got {error} of {y}"
        )
    if np.all(x == x[0]):
        raise ValueError(f"an exponent needs two different x, got {x}")
    weight = (y / error) ** 2
    log_centre = np.sum(weight * np.log(x)) / np.sum(weight)
    distance, log_y = np.log(x) - log_centre, np.log(y)
    spread = np.sum(weight * distance**2)
    slope = np.sum(weight * distance * log_y) / spread
    middle = np.sum(weight * log_y) / np.sum(weight)
    chi2 = float(np.sum(weight * (log_y - middle - slope * distance) ** 2))
    value = math.exp(middle)

    def estimate(value: float, error: float) -> Estimate:
        return Estimate(value, error, 0.0, n, float(n), "power law")

    return PowerLaw(
        exponent=estimate(float(slope), 1 / math.sqrt(spread)),
        at_centre=estimate(value, value / math.sqrt(np.sum(weight))),
        centre=math.exp(log_centre),
        chi2=chi2,
        p_value=float(special.gammaincc((n - 2) / 2, chi2 / 2)),
        scale=max(1.0, math.sqrt(chi2 / (n - 2))),
    )
