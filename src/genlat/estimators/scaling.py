r"""How bias and variance of ln Z and of reweighted means fall with N: seen, expected.

A pool of independent draws of q is cut into R = n // N disjoint groups of N draws. The
scatter of the group estimates is the variance at N, their mean against the estimate
of all draws the bias; both are compared with the delta method,

$$\mathrm{bias}[\ln\hat Z] = -\frac{\mu_2}{2N}
    + \frac1{N^2}\Big(\frac{\mu_3}{3} - \frac{3\mu_2^2}{4}\Big) + O(N^{-3}), \qquad
  \mathrm{var}[\ln\hat Z] = \frac{\mu_2}{N}
    + \frac1{N^2}\Big(\frac{5\mu_2^2}{2} - \mu_3\Big) + O(N^{-3}),$$

where $\mu_k$ is the k-th central moment of w/E[w]. It needs finite moments: four for an
error on the leading order, six on the next.

**Source:** order 1/N: Nicoli et al., Phys. Rev. Lett. 126, 032001 (2021),
arXiv:2007.07115. The orders 1/N² and 1/N³ are ours.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Real
from scipy import special

from genlat.estimators import delta_method, weights
from genlat.estimators.brief import brief
from genlat.estimators.delta_method import Moments, Orders

SMALLEST = 10
"""The smallest group: below it the expansion in 1/N means little."""
FEWEST = 20
"""The fewest groups: the error of a variance needs some."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Bias or variance at every N: measured, expected to order 1/N and to 1/N².

    `truncation` is the size of the order 1/N³, a systematic error of `expected`.
    `pull` is (measured - expected) over the error of this difference, measured at the
    expected value, and the truncation. Both come from the same draws: the error of the
    difference is that of neither, nor their sum in quadrature. Where the order 1/N² or
    1/N³ is more than half of the order 1/N, `is_converged` is false: N is too small for
    these weights, and `expected` and `pull` mean nothing.
    """

    measured: Float[np.ndarray, " sizes"]
    error: Float[np.ndarray, " sizes"]
    leading: Float[np.ndarray, " sizes"]
    leading_error: Float[np.ndarray, " sizes"]
    expected: Float[np.ndarray, " sizes"]
    expected_error: Float[np.ndarray, " sizes"]
    truncation: Float[np.ndarray, " sizes"]
    pull: Float[np.ndarray, " sizes"]
    is_converged: Bool[np.ndarray, " sizes"]

    __repr__ = brief

    def scaled(self, factor: float) -> "Comparison":
        """The same of a quantity `factor` times as large."""
        sign, size = math.copysign(1, factor), abs(factor)
        return Comparison(
            measured=factor * self.measured,
            error=size * self.error,
            leading=factor * self.leading,
            leading_error=size * self.leading_error,
            expected=factor * self.expected,
            expected_error=size * self.expected_error,
            truncation=size * self.truncation,
            pull=sign * self.pull,
            is_converged=self.is_converged,
        )


@dataclasses.dataclass(frozen=True)
class Scaling:
    """Bias and variance at `sizes` N, each from `groups` R = n // N groups."""

    sizes: Int[np.ndarray, " sizes"]
    groups: Int[np.ndarray, " sizes"]
    bias: Comparison
    variance: Comparison

    __repr__ = brief


@dataclasses.dataclass(frozen=True)
class Repetitions:
    """ln Z from disjoint parts of `n` draws each, and whether they agree.

    `mean` is that of the parts, `error` its error. `chi2` is Σ (value - mean)² over the
    mean square of the errors: one of its own would make a part that missed the large
    weights look precise. `p_value` is for one degree of freedom less than parts.
    """

    n: int
    values: Float[np.ndarray, " parts"]
    errors: Float[np.ndarray, " parts"]
    mean: float
    error: float
    chi2: float
    p_value: float

    __repr__ = brief


def group_sizes(n: int) -> list[int]:
    """10, 20, 50, 100, ... as far as n draws make `FEWEST` groups.

    **Raises:** `ValueError` if they do not even make `FEWEST` groups of `SMALLEST`.
    """
    largest = n // FEWEST
    if largest < SMALLEST:
        raise ValueError(
            f"{FEWEST} groups of {SMALLEST} draws need {FEWEST * SMALLEST}, got {n}"
        )
    decades = range(1, len(str(largest)))
    sizes = (digit * 10**decade for decade in decades for digit in (1, 2, 5))
    return [size for size in sizes if size <= largest]


def log_z(log_w: Float[np.ndarray, " n"]) -> Scaling:
    """Bias and variance of `weights.log_z` at growing N.

    **Raises:** `ValueError` as `weights.check`, for fewer than 200 draws, and if a
    group has weights of zero only: its ln Z is -inf.
    """
    u = _normalized(log_w)
    of_pool = Moments(np.zeros_like(u), u - 1)
    orders = delta_method.of_log_z(of_pool)
    seen = []
    for size in group_sizes(u.size):
        groups = _cut(log_w, size)
        values = _log_mean(groups)
        if np.any(np.isneginf(values)):
            raise ValueError(
                f"a group of {size} draws has weights of zero only: ln Z has no bias"
            )
        linear = np.mean(_cut(u, size), axis=1)
        # that of all draws that were cut, less its own bias, in the same units
        pool = np.log(np.mean(linear)) + 0.5 * of_pool.mean(0, 2) / groups.size
        above = values - _log_mean(log_w[None, :])[0]
        seen.append(_at(size, above - pool, linear - np.mean(linear), orders))
    return _together(seen)


def reweighted_mean(
    log_w: Float[np.ndarray, " n"], values: Real[np.ndarray, " n"]
) -> Scaling:
    r"""Bias and variance of `weights.reweighted_mean` of one number at growing N.

    With x = u (O - Ō), y = u - 1 and $c_{jk} = E[x^j y^k]$, to order 1/N²,

    $$\mathrm{bias} = -\frac{c_{11}}{N} + \frac{c_{12} - 3 c_{11} c_{02}}{N^2}, \qquad
      \mathrm{var} = \frac{c_{20}}{N}
        + \frac{3 c_{20} c_{02} + 5 c_{11}^2 - 2 c_{21}}{N^2}.$$

    **Raises:** `ValueError` as `weights.reweighted_mean` and `log_z`.
    """
    mean = float(weights.reweighted_mean(log_w, values).value)
    u = _normalized(log_w)
    x = u * (values - mean)
    of_pool = Moments(x, u - 1)
    orders = delta_method.of_reweighted_mean(of_pool)
    seen = []
    for size in group_sizes(u.size):
        parts, linear = _cut(u, size), np.mean(_cut(x, size), axis=1)
        means = np.mean(parts, axis=1)
        if not np.all(means > 0):
            raise ValueError(f"a group of {size} draws has weights of zero only")
        pool = np.mean(linear) / np.mean(means) + of_pool.mean(1, 1) / parts.size
        response = linear - np.mean(linear) / np.mean(means) * means
        seen.append(_at(size, linear / means - pool, response, orders))
    return _together(seen)


def free_energy_density(of_log_z: Scaling, volume: int) -> Scaling:
    """The same of -ln Z / V."""
    return dataclasses.replace(
        of_log_z,
        bias=of_log_z.bias.scaled(-1 / volume),
        variance=of_log_z.variance.scaled(1 / volume**2),
    )


def repetitions(log_w: Float[np.ndarray, " n"], k: int = 9) -> Repetitions:
    """The estimate of ln Z k times over, from n // k draws each.

    **Raises:** `ValueError` as `weights.log_z` for a part, or if k < 2.
    """
    if k < 2:
        raise ValueError(f"a scatter needs at least 2 repetitions, got {k}")
    weights.check(log_w)
    n = log_w.size // k
    estimates = [weights.log_z(part) for part in log_w[: k * n].reshape(k, n)]
    values = np.array([estimate.value for estimate in estimates])
    errors = np.array([estimate.error for estimate in estimates])
    square = float(np.mean(errors**2))
    scatter = float(np.sum((values - np.mean(values)) ** 2))
    chi2 = scatter / square if square > 0 else 0.0
    return Repetitions(
        n=n,
        values=values,
        errors=errors,
        mean=float(np.mean(values)),
        error=math.sqrt(square / k),
        chi2=chi2,
        p_value=float(special.gammaincc((k - 1) / 2, chi2 / 2)),
    )


class _Seen(NamedTuple):
    """What one N contributes: the fields of a `Comparison`, without the axis of N."""

    size: int
    groups: int
    bias: tuple[float | bool, ...]
    variance: tuple[float | bool, ...]


def _at(
    size: int,
    above: Float[np.ndarray, " groups"],
    linear: Float[np.ndarray, " groups"],
    orders: tuple[Orders, Orders],
) -> _Seen:
    """Compare at one N.

    **Arguments:** `above` is what each group's estimate exceeds the unbiased one of all
    by, `linear` that to first order in its draws: the estimate of all has it too, so
    that it is no noise of the bias.
    """
    mean, n_groups = np.mean(above), above.size
    squares = (above - mean) ** 2 * n_groups / (n_groups - 1)
    bias, variance = orders
    return _Seen(
        size,
        n_groups,
        _compare(float(mean), above - mean - linear, size, bias),
        _compare(float(np.mean(squares)), squares - np.mean(squares), size, variance),
    )


def _compare(
    measured: float, noise: Float[np.ndarray, " groups"], size: int, orders: Orders
) -> tuple[float | bool, ...]:
    """The fields of a `Comparison` in their order."""
    first, second = orders.first, orders.second
    leading = first.coefficient / size
    expected = leading + second.coefficient / size**2
    influence = first.influence / size + second.influence / size**2
    truncation = abs(orders.third) / size**3
    difference = measured - expected
    # the scatter about what is expected, not about what was found: with few groups a
    # small variance comes with a small error
    error = math.hypot(
        _error(noise - np.mean(_cut(influence, size), axis=1)),
        difference / math.sqrt(noise.size - 1),
        truncation,
    )
    return (
        measured,
        _error(noise),
        leading,
        _error(first.influence) / size,
        expected,
        _error(influence),
        truncation,
        difference / error if error > 0 else 0.0,
        max(abs(expected - leading), truncation) <= abs(leading) / 2,
    )


def _error(noise: Float[np.ndarray, " n"]) -> float:
    """Of a mean, from what each independent draw, or group, adds to it."""
    n = noise.size
    return math.sqrt(np.sum((noise - np.mean(noise)) ** 2) / (n * (n - 1)))


def _together(seen: list[_Seen]) -> Scaling:
    biases, variances = (
        Comparison(*map(np.array, zip(*rows, strict=True)))
        for rows in ([one.bias for one in seen], [one.variance for one in seen])
    )
    return Scaling(
        sizes=np.array([one.size for one in seen]),
        groups=np.array([one.groups for one in seen]),
        bias=biases,
        variance=variances,
    )


def _cut(values: Float[np.ndarray, " n"], size: int) -> Float[np.ndarray, "groups N"]:
    """Disjoint groups; what is left over is left out."""
    n_groups = values.size // size
    return values[: n_groups * size].reshape(n_groups, size)


def _log_mean(log_w: Float[np.ndarray, "groups N"]) -> Float[np.ndarray, " groups"]:
    """ln mean w of every group; -inf where all its weights are zero."""
    largest = np.max(log_w, axis=1)
    shift = np.where(np.isneginf(largest), 0.0, largest)
    with np.errstate(divide="ignore"):
        return shift + np.log(np.mean(np.exp(log_w - shift[:, None]), axis=1))


def _normalized(log_w: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """u = w / mean w, of mean 1."""
    weights.check(log_w)
    return np.exp(log_w - weights.log_z(log_w).value)
