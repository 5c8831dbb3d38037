"""Functions of the means of correlated chains, with honest errors."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real

from genlat.estimators import autocorrelation
from genlat.estimators.brief import brief
from genlat.estimators.estimate import Estimate, plain
from genlat.estimators.propagation import Function, expand, join


class Projection(NamedTuple):
    """A function of means: its value, the fluctuations projected on its gradient, and
    the bias by its curvature as if draws were independent."""

    value: Float[np.ndarray, "*component"]
    series: Float[np.ndarray, "chains n *component"]
    bias: Float[np.ndarray, "*component"]
    flaw: str

    __repr__ = brief


def project(
    values: Mapping[str, Real[np.ndarray, "chains n *_"]], function: Function
) -> Projection:
    """`function` of the means, linearised around them.

    Where `function` is not finite within one error of the means, as a root of something
    that may be negative, that is the `flaw`.

    **Arguments:** `function` takes `{name: mean}`, float64 NumPy, and returns a number
    or an array.
    """
    series = join(values, sample_axes=2)
    if not np.all(np.isfinite(series)):
        raise ValueError("a chain contains NaN or infinite values: fix their origin")
    n_chains, n, k = series.shape
    averages = np.mean(series, axis=(0, 1))
    deviations = (series - averages).reshape(-1, k)
    del series  # which is as large
    lowest, highest = (f(deviations, 0, initial=0.0) for f in (np.min, np.max))
    units = np.maximum(highest, -lowest)
    deviations /= np.where(units > 0, units, 1.0)
    covariance = deviations.T @ deviations / (n_chains * n) ** 2
    expansion = expand(function, values, averages, covariance, units, sample_axes=2)
    gradient = expansion.gradient if not expansion.flaw else 0 * expansion.gradient
    projected = np.einsum("ik,...k->i...", deviations, gradient)
    projected = projected.reshape(n_chains, n, *expansion.value.shape)
    return Projection(expansion.value, projected, expansion.bias, expansion.flaw)


def mean(
    values: Mapping[str, Real[np.ndarray, "chains n *_"]], function: Function
) -> Estimate:
    """`function` of the means: the `project`ed fluctuations, then `analyse`.

    The bias is that of its curvature, with the naive covariance of the means scaled by
    2 τ_int of the projected series.
    """
    found = project(values, function)
    value, n = plain(found.value), found.series.shape[0] * found.series.shape[1]
    if found.flaw:
        unknown = plain(np.full_like(found.value, np.nan))
        return Estimate(
            value, unknown, unknown, n, unknown, autocorrelation.METHOD, found.flaw
        )
    analysis = autocorrelation.analyse(found.series)
    bias = 2 * analysis.tau_int.value * found.bias
    return dataclasses.replace(analysis.mean, value=value, bias=plain(np.asarray(bias)))
