r"""Numbers with the fluctuation of every draw behind them, so that errors propagate.

A `Quantity` knows, for every ensemble it was estimated from, the influence of each
draw: value - truth ≈ Σ_ensembles mean(influence). Sums, differences and functions of
quantities add influences draw by draw, so what they share, be it chains or weights, is
counted with its correlation; the error is computed once, at the end.

An ensemble is a name. Its influences have the shape `(n,)` for independent draws and
`(chains, n)` for equilibrated chains, which the Γ-method analyses.

**Source:** the idea of Wolff, Comput. Phys. Commun. 156, 143 (2004), hep-lat/0306017;
several ensembles as in Ramos, Comput. Phys. Commun. 238, 19 (2019), arXiv:1809.01289.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real

from genlat.estimators import autocorrelation, spread
from genlat.estimators.autocorrelation import FEWEST_INDEPENDENT
from genlat.estimators.brief import brief
from genlat.estimators.estimate import Estimate
from genlat.estimators.propagation import expand
from genlat.estimators.spread import Spread


@dataclasses.dataclass(frozen=True)
class Quantity:
    """A number, the influences of the draws behind it, and its leading bias.

    `flaw` says why the number cannot be used, where it cannot, `caution` why its error
    cannot be relied upon; both are inherited by everything made of it.
    """

    value: float
    influences: Mapping[str, Float[np.ndarray, "..."]]
    bias: float = 0.0
    flaw: str = ""
    caution: str = ""

    __repr__ = brief

    def estimate(self, method: str) -> Estimate:
        """The number with its error, which contains every correlation.

        `n` is the number of draws in all ensembles, `n_eff` how many independent ones
        the ensemble with the fewest is worth.
        """
        parts = [_part(influence) for influence in self.influences.values()]
        whole = spread.total([part.spread for part in parts])
        is_resolved = all(part.is_resolved for part in parts)
        caution = "" if is_resolved else autocorrelation.UNRESOLVED
        return Estimate(
            value=self.value,
            error=whole.error,
            bias=self.bias,
            n=sum(np.size(influence) for influence in self.influences.values()),
            n_eff=min((part.n_eff for part in parts), default=math.inf),
            method=method,
            flaw=self.flaw or next((part.flaw for part in parts if part.flaw), ""),
            caution=self.caution or caution or spread.caution(whole),
            freedom=whole.freedom,
            skewness=whole.skewness,
            is_resolved=is_resolved,
        )

    def __add__(self, other: "Quantity | float | int") -> "Quantity":
        if not isinstance(other, Quantity):
            return dataclasses.replace(self, value=self.value + other)
        influences = dict(self.influences)
        for name, influence in other.influences.items():
            influences[name] = _added(influences.get(name), influence)
        return Quantity(
            self.value + other.value,
            influences,
            self.bias + other.bias,
            self.flaw or other.flaw,
            self.caution or other.caution,
        )

    def __mul__(self, factor: float | int) -> "Quantity":
        return Quantity(
            factor * self.value,
            {name: factor * x for name, x in self.influences.items()},
            factor * self.bias,
            self.flaw,
            self.caution,
        )

    def __neg__(self) -> "Quantity":
        return self * -1.0

    def __sub__(self, other: "Quantity | float | int") -> "Quantity":
        return self + (-other)

    def __truediv__(self, divisor: float | int) -> "Quantity":
        return self * (1 / divisor)


def constant(value: float) -> Quantity:
    """A number known without any draw."""
    return Quantity(value, {})


def mean(values: Real[np.ndarray, "*draws"], ensemble: str) -> Quantity:
    """Average of `values`, of shape (n,) or (chains, n), over one ensemble.

    **Raises:** `ValueError` for fewer than two values, or one that is not finite.
    """
    if values.size < 2:
        raise ValueError(f"an error needs at least 2 values, got {values.size}")
    if not np.all(np.isfinite(values)):
        raise ValueError("a measured value is NaN or infinite: fix it where it arose")
    average = float(np.mean(values, dtype=np.float64))
    influence = np.asarray(values, np.float64) - average
    if np.all(values == np.ravel(values)[0]):
        influence = np.zeros(values.shape)  # not the rounding of its own mean
    return Quantity(average, {ensemble: influence})


def propagate(
    function: Callable[[Mapping[str, np.ndarray]], object],
    quantities: Mapping[str, Quantity],
) -> Quantity:
    """A smooth function of several quantities, with their correlations.

    Gradient and curvature are differences over one standard error of each; the bias
    contains the curvature's and that of the arguments.

    **Arguments:** `function` takes the values by name and returns a number.
    """
    names = list(quantities)
    estimates = [quantities[name].estimate("") for name in names]
    covariance = _covariance([quantities[name] for name in names])
    errors = np.array([estimate.error for estimate in estimates], np.float64)
    naive = np.sqrt(np.diag(covariance))
    # autocorrelation, in proportion: exact on the diagonal
    inflation = np.divide(errors, naive, out=np.ones_like(naive), where=naive > 0)
    values = np.array([quantities[name].value for name in names])
    expansion = expand(
        function,
        {name: np.zeros(()) for name in names},
        values,
        covariance * np.outer(inflation, inflation),
        np.ones(len(names)),
        sample_axes=0,
    )
    total = constant(float(expansion.value))
    for slope, name in zip(expansion.gradient, names, strict=True):
        total = total + (quantities[name] - quantities[name].value) * float(slope)
    flaw = total.flaw or expansion.flaw
    return dataclasses.replace(
        total, bias=total.bias + float(expansion.bias), flaw=flaw
    )


class _Part(NamedTuple):
    """What one ensemble contributes to an error."""

    spread: Spread
    n_eff: float
    flaw: str
    is_resolved: bool = True


def _part(influence: Float[np.ndarray, "..."]) -> _Part:
    n = influence.size
    if influence.ndim == 1:
        # independent draws that all say the same have no error, and no flaw
        flaw = autocorrelation.TOO_FEW if n < FEWEST_INDEPENDENT else ""
        return _Part(spread.of_independent(influence), float(n), flaw)
    if not np.any(influence):
        return _Part(spread.NONE, float(n), autocorrelation.STUCK)
    found = autocorrelation.analyse(influence)
    mean = found.mean
    return _Part(found.spreads[0], float(mean.n_eff), mean.flaw, mean.is_resolved)


def _added(
    one: Float[np.ndarray, "..."] | None, other: Float[np.ndarray, "..."]
) -> Float[np.ndarray, "..."]:
    if one is None:
        return other
    if one.shape != other.shape:
        raise ValueError(
            f"one ensemble, different draws: shapes {one.shape} and {other.shape}"
        )
    return one + other


def _covariance(quantities: list[Quantity]) -> Float[np.ndarray, "k k"]:
    """Of the quantities as means of draws, autocorrelation left out."""
    k = len(quantities)
    covariance = np.zeros((k, k))
    for name in {name for quantity in quantities for name in quantity.influences}:
        size = next(
            np.size(q.influences[name]) for q in quantities if name in q.influences
        )
        rows = [
            np.ravel(quantity.influences.get(name, np.zeros(size)))
            for quantity in quantities
        ]
        matrix = np.stack(rows)
        covariance += matrix @ matrix.T / size**2
    return covariance
