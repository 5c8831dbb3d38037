r"""How well a standard error is itself known.

Of influences x with mean zero and error² = Σx²/(n(n-1)):

- D = Σx⁴/(Σx²)² is how concentrated the error is: 1/D is the number of draws that it
  rests on, as ESS n is the number behind a mean. Its relative variance is D - 1/n, so
  that pulls follow Student's t with ν = 2/(D - 1/n) degrees of freedom (n for Gaussian
  x).
- g = Σx³/(Σx²)^(3/2) is the skewness of the mean. Hall's expansion for a studentised
  mean takes .247 g² - .016 D from the 95 % of an interval of 1.96 errors: value and
  error are correlated, and few large draws that were not made are missing from both.

An error is marked where g² > 1/20, which costs 1.2 % of coverage, or D > 1/10.

**Source:** Hall, The Bootstrap and Edgeworth Expansion (1992), section 2.6. Sums:
Satterthwaite, Biometrics Bull. 2, 110 (1946). The marks are ours, see docs/verdict.md.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from genlat.estimators.brief import brief

LARGEST_SKEWNESS2 = 1 / 20
LARGEST_CONCENTRATION = 1 / 10


class Spread(NamedTuple):
    """An error, its degrees of freedom ν, concentration D and skewness g."""

    error: float
    freedom: float
    concentration: float
    skewness: float

    __repr__ = brief


NONE = Spread(0.0, math.inf, 0.0, 0.0)


def of_independent(influence: Float[np.ndarray, " n"]) -> Spread:
    """Of the mean of independent draws, from influences of mean zero."""
    n, scale = influence.size, float(np.max(np.abs(influence), initial=0.0))
    if scale == 0:
        return NONE
    d, g = shape(influence)
    freedom = min(2 / (d - 1 / n), float(n)) if d > 1 / n else float(n)
    square = float(np.sum((influence / scale) ** 2))
    return Spread(scale * math.sqrt(square / (n * (n - 1))), freedom, d, g)


def shape(influence: Float[np.ndarray, "*draws"]) -> tuple[float, float]:
    """D and g of draws as if they were independent; 0 if nothing fluctuates."""
    scale = float(np.max(np.abs(influence), initial=0.0))
    if scale == 0:
        return 0.0, 0.0
    x = np.ravel(influence) / scale
    x2 = x * x
    square = float(np.sum(x2))
    return float(np.sum(x2 * x2)) / square**2, float(np.sum(x2 * x)) / square**1.5


def total(parts: Sequence[Spread]) -> Spread:
    """Of a sum of independent parts."""
    error = math.hypot(*(part.error for part in parts))
    if error == 0:
        return NONE
    shares = [(part.error / error) ** 2 for part in parts]
    d = sum(s**2 * part.concentration for s, part in zip(shares, parts, strict=True))
    g = sum(s**1.5 * part.skewness for s, part in zip(shares, parts, strict=True))
    inverse = sum(s**2 / part.freedom for s, part in zip(shares, parts, strict=True))
    return Spread(error, 1 / inverse if inverse else math.inf, d, g)


def caution(spread: Spread) -> str:
    """Why the error must not be relied upon, where it rests on too few draws."""
    d, g2 = spread.concentration, spread.skewness**2
    if g2 <= LARGEST_SKEWNESS2 and d <= LARGEST_CONCENTRATION:
        return ""
    return (
        f"its error rests on {math.floor(1 / d)} draws, too few to know it: it can be "
        "too small"
    )
