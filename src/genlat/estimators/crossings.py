r"""Where two measured curves cross, with errors.

Used of Binder cumulants on two lattices against a coupling: they cross near the
transition, and far from it they may be equal within errors, so that a change of sign of
the difference means nothing unless it is significant on both sides.

**Source:** K. Binder, Z. Phys. B 43, 119 (1981).
"""

import itertools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from genlat.estimators.thermodynamics import Points

SIGNIFICANT = 3.0  # errors by which the curves must differ on either side


class Crossing(NamedTuple):
    """A place where the difference of two curves changes its sign.

    - `start`, `stop`: the nearest points at which it is significant: the crossing is
      between them whatever the curves do there.
    - `value`, `error`: root of the cubic through the differences from `start` to `stop`
      and one more on either side, and its statistical error; of a lower order where
      there are too few.
    - `rule_error`: how far the root of the straight line from `start` to `stop` is from
      it; half the interval where there is nothing to compare.
    """

    start: float
    stop: float
    value: float
    error: float
    rule_error: float


def crossings(x: Float[np.ndarray, " n"], one: Points, other: Points) -> list[Crossing]:
    """Every crossing of two curves whose numbers are all independent.

    **Arguments:** `x` in any order; of exact numbers the error is zero.
    """
    order = np.argsort(x)
    x = x[order]
    difference = (other.value - one.value)[order]
    error = np.hypot(one.error, other.error)[order]
    is_certain = np.abs(difference) > SIGNIFICANT * error
    certain = np.flatnonzero(is_certain)
    return [
        _crossing(x, difference, error, int(k), int(after))
        for k, after in itertools.pairwise(certain)
        if difference[k] * difference[after] < 0
    ]


def _crossing(
    x: Float[np.ndarray, " n"],
    difference: Float[np.ndarray, " n"],
    error: Float[np.ndarray, " n"],
    first: int,
    last: int,
) -> Crossing:
    start, stop = float(x[first]), float(x[last])
    middle, width = (start + stop) / 2, stop - start
    at = (x - middle) / width  # so that no coupling's size matters
    # of exact numbers every weight is the same, and the error zero
    is_exact = not np.all(error > 0)
    weight = np.ones_like(error) if is_exact else 1 / error

    def root(points: slice, order: int) -> tuple[float, float] | None:
        """Of the polynomial through some of the points, and its error."""
        powers, covariance = np.polyfit(
            at[points], difference[points], order, w=weight[points], cov="unscaled"
        )
        roots = np.roots(powers)
        inside = roots.real[(np.abs(roots.imag) < 1e-9) & (np.abs(roots.real) <= 0.5)]
        if inside.size != 1:
            return None
        value = float(inside[0])
        slope = np.polyval(np.polyder(powers), value)
        gradient = np.vander(inside, order + 1)[0] / slope
        return value, float(np.sqrt(gradient @ covariance @ gradient))

    line = root(slice(first, last + 1), 1)
    around = slice(max(first - 1, 0), last + 2)
    is_wider = at[around].size > 2
    curve = root(around, min(3, at[around].size - 1)) if is_wider else None
    value, statistical = curve or line or (0.0, 0.5)
    missed = abs(curve[0] - line[0]) if curve and line else 0.5
    return Crossing(
        start,
        stop,
        middle + width * value,
        0.0 if is_exact else width * statistical,
        width * missed,
    )
