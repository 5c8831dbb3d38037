"""Functions of averages: value, gradient and bias, by finite differences of one σ."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float, Real

from genlat.estimators.brief import brief

UNDEFINED = "not defined within the errors of the means"
Means = Mapping[str, np.ndarray]
Function = Callable[[Means], object]
"""Takes the means by name, each a float64 NumPy array with the axes of one observation;
returns a number or an array (NumPy or JAX). Called 4k + 1 times for k components."""


@dataclasses.dataclass(frozen=True)
class Expansion:
    """f around the means: f, ∂f/∂mean_a, and the leading bias ½ Σ_ab f''_ab C_ab."""

    value: Float[np.ndarray, "*shape"]
    gradient: Float[np.ndarray, "*shape k"]
    bias: Float[np.ndarray, "*shape"]

    __repr__ = brief

    @property
    def flaw(self) -> str:
        """Why f has no value or error, where one standard error leaves its domain."""
        parts = (self.value, self.gradient, self.bias)
        return "" if all(np.all(np.isfinite(part)) for part in parts) else UNDEFINED


def expand(
    function: Function,
    values: Mapping[str, Real[np.ndarray, "..."]],
    mean: Float[np.ndarray, " k"],
    covariance: Float[np.ndarray, "k k"],
    units: Float[np.ndarray, " k"],
    *,
    sample_axes: int,
) -> Expansion:
    r"""Expand `function` around `mean`, whose covariance (as a mean) is given.

    Both covariance and gradient are in `units` of every mean, so that neither of them
    leaves the range of numbers where their squares would.

    With σ_a = √C_aa and s_i the columns of a square root of C,

    $$\partial_a f = \frac{f(m + \sigma_a e_a) - f(m - \sigma_a e_a)}{2\sigma_a}, \qquad
      \mathrm{bias} = \tfrac12 \sum_i [f(m + s_i) + f(m - s_i) - 2 f(m)].$$

    Steps of one standard error need no scale from outside, and their own error is
    of the next order in 1/n. A mean without fluctuations gets gradient 0.

    **Arguments:** `values` as given to `join`, for the names and shapes of the means.
    """

    def at(vector: Float[np.ndarray, " k"]) -> np.ndarray:
        means = _split(vector, values, sample_axes)
        return np.asarray(function(means), dtype=np.float64)

    value = at(mean)
    gradient = np.zeros((*value.shape, mean.size))
    for a, sigma in enumerate(np.sqrt(np.diag(covariance))):
        if sigma > 0:
            step = sigma * units[a] * np.eye(mean.size)[a]
            gradient[..., a] = (at(mean + step) - at(mean - step)) / (2 * sigma)
    eigenvalues, vectors = np.linalg.eigh(covariance)
    roots = vectors * np.sqrt(np.maximum(eigenvalues, 0.0))
    steps = roots.T * units
    curvatures = [at(mean + step) + at(mean - step) - 2 * value for step in steps]
    return Expansion(value, gradient, np.asarray(0.5 * np.sum(curvatures, axis=0)))


def join(
    values: Mapping[str, Real[np.ndarray, "..."]], *, sample_axes: int
) -> Float[np.ndarray, "*samples k"]:
    """All observables side by side: axes after the first `sample_axes` become one.

    **Raises:** `ValueError` if there are none or they differ in their samples.
    """
    if not values:
        raise ValueError("a derived quantity needs at least one observable")
    shapes = {name: array.shape[:sample_axes] for name, array in values.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"observables must share their samples, got {shapes}")
    columns = [
        np.asarray(array, dtype=np.float64).reshape(*array.shape[:sample_axes], -1)
        for array in values.values()
    ]
    return np.concatenate(columns, axis=-1)


def _split(
    vector: Float[np.ndarray, " k"],
    values: Mapping[str, Real[np.ndarray, "..."]],
    sample_axes: int,
) -> dict[str, np.ndarray]:
    """Undo `join` for one vector of means."""
    shapes = {name: array.shape[sample_axes:] for name, array in values.items()}
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])
    parts = np.split(vector, ends[:-1])
    return {
        name: part.reshape(shape)
        for (name, shape), part in zip(shapes.items(), parts, strict=True)
    }
