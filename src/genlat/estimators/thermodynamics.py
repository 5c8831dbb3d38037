r"""Thermodynamics from ln Z of several runs, errors propagated linearly.

Everything here is a linear map of independent numbers: ln Z and slopes of different
runs. Integrals and derivatives are those of the polynomial through the nearest points;
what it may miss is estimated by those through one point fewer and kept apart from the
statistical error, as `rule_error`.

**Source:** the integral method: Engels et al., Phys. Lett. B 252, 625 (1990); lattices
of one spacing and many time extents: Umeda et al., Phys. Rev. D 79, 051501 (2009),
arXiv:0809.2842.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from genlat.estimators.brief import brief

FEWEST = 3  # points: a parabola, and a straight line to see what it misses


class Points(NamedTuple):
    """Numbers of independent runs and their standard errors."""

    value: Float[np.ndarray, " n"]
    error: Float[np.ndarray, " n"]

    __repr__ = brief


@dataclasses.dataclass(frozen=True)
class Comparison:
    """ln Z(stop) - ln Z(start) against the integral of its derivative."""

    start: float
    stop: float
    difference: float
    difference_error: float
    integral: float
    integral_error: float
    rule_error: float

    __repr__ = brief

    @property
    def pull(self) -> float:
        """(difference - integral) over all three errors; NaN if there are none."""
        error = math.hypot(self.difference_error, self.integral_error, self.rule_error)
        return (self.difference - self.integral) / error if error > 0 else math.nan


@dataclasses.dataclass(frozen=True)
class Column:
    """One quantity at every temperature.

    `error` is statistical. `covariance` is that between temperatures, whose values
    share the coldest lattice and neighbours in derivatives; its diagonal is error².
    """

    value: Float[np.ndarray, " n"]
    error: Float[np.ndarray, " n"]
    rule_error: Float[np.ndarray, " n"]
    covariance: Float[np.ndarray, "n n"]

    __repr__ = brief


@dataclasses.dataclass(frozen=True)
class EquationOfState:
    """Thermal quantities in lattice units, by rising time extent, without the coldest.

    `extents` and `vacuum_extent`, the coldest lattice's, which stands for the vacuum.
    """

    extents: Float[np.ndarray, " n"]
    vacuum_extent: float
    temperature: Float[np.ndarray, " n"]
    free_energy_density: Column
    pressure: Column
    energy_density: Column
    entropy_density: Column
    trace_anomaly: Column

    __repr__ = brief


def along_coupling(
    couplings: Float[np.ndarray, " n"], log_z: Points, slopes: Points
) -> list[Comparison]:
    r"""ln Z against the integral of its derivative, between neighbours and end to end.

    With h the spacing, the integral over an interval between equidistant points is
    Hermite's rule with slopes from central differences,

    $$\int_0^h f = \frac h2 (f_0 + f_1) + \frac{h^2}{12}(f_0' - f_1')
      = \frac h{24} (-f_{-1} + 13 f_0 + 13 f_1 - f_2),$$

    and in general that of the cubic through the four nearest points (the parabola where
    there are three). How far the parabolas through the first or last three of them lie
    from it, |h⁴ f'''|/24, or at either end the trapezoid, estimates what it misses, of
    order h⁵; `rule_error` is the largest of that in an interval and those beside it.

    ln Z and slopes must be independent of each other, too: ln Z by reweighting draws of
    q, the slope from a Markov chain. Rows that share a point are anti-correlated. The
    last row goes from the first point to the last, the rule errors added up.

    **Arguments:** `couplings` rising or falling; at least three.

    **Raises:** `ValueError` for fewer.
    """
    n = couplings.size
    if n < FEWEST:
        raise ValueError(f"needs at least {FEWEST} points, got {n}")
    order = np.argsort(couplings)
    x, z, f = couplings[order], _ordered(log_z, order), _ordered(slopes, order)
    rules = [_integral(x, f.value, k) for k in range(n - 1)]
    # one interval may look smooth by chance where its neighbours do not
    missed = [
        max(error for _, error in rules[max(0, k - 1) : k + 2]) for k in range(n - 1)
    ]
    rows = [
        _comparison(x, z, f, (k, k + 1), rules[k][0], missed[k]) for k in range(n - 1)
    ]
    whole = np.sum([weights for weights, _ in rules], axis=0)
    return [*rows, _comparison(x, z, f, (0, n - 1), whole, sum(missed))]


def equation_of_state(
    extents: Float[np.ndarray, " n"],
    log_z: Points,
    *,
    spatial_volume: int,
    n_space: int,
) -> EquationOfState:
    r"""Pressure, energy, entropy against T = 1/L₀ at one coupling and spatial volume.

    With the coldest lattice, of extent N, for the vacuum,

    $$p = \frac1{V_s} \Big[\frac{\ln Z(L_0)}{L_0} - \frac{\ln Z(N)}N\Big], \qquad
      \epsilon = \frac1{V_s} \Big[\frac{\ln Z(N)}N
      - \frac{\partial \ln Z}{\partial L_0}\Big], \qquad
      s = (\epsilon + p) L_0,$$

    and the trace anomaly ε - (d-1) p, d-1 = `n_space`. Factors c^V of Z drop out. The
    derivative is that of the polynomial through the five nearest extents; `rule_error`
    is how far those through the first or last four of them (at the warmest extent,
    three) lie from it: an estimate, good where the extents are close. As
    ln Z = ln Σ e^{-E_n L₀}, the vacuum is off by e^{-(E₁-E₀) N}.

    **Arguments:** at least three extents in any order, all different.

    **Raises:** `ValueError` for fewer.
    """
    if extents.size < FEWEST:
        raise ValueError(f"needs at least {FEWEST} extents, got {extents.size}")
    order = np.argsort(extents)
    x, z = np.asarray(extents, np.float64)[order], _ordered(log_z, order)
    own = np.eye(x.size) / x[:, None]
    rules = [_derivative(x, z.value, k) for k in range(x.size)]
    slope = np.stack([weights for weights, _ in rules])
    missed = np.array([rule_error for _, rule_error in rules]) / spatial_volume
    # weights of every ln Z in every quantity: what is shared is counted once
    free = -own / spatial_volume
    pressure = (own - own[-1]) / spatial_volume
    energy = (own[-1] - slope) / spatial_volume
    nothing = np.zeros(x.size)
    return EquationOfState(
        extents=x[:-1],
        vacuum_extent=float(x[-1]),
        temperature=1 / x[:-1],
        free_energy_density=_column(free, z, nothing),
        pressure=_column(pressure, z, nothing),
        energy_density=_column(energy, z, missed),
        entropy_density=_column((energy + pressure) * x[:, None], z, missed * x),
        trace_anomaly=_column(energy - n_space * pressure, z, missed),
    )


def _ordered(points: Points, order: Int[np.ndarray, " n"]) -> Points:
    return Points(points.value[order], points.error[order])


def _comparison(
    x: Float[np.ndarray, " n"],
    log_z: Points,
    slopes: Points,
    ends: tuple[int, int],
    weights: Float[np.ndarray, " n"],
    rule_error: float,
) -> Comparison:
    low, high = ends
    return Comparison(
        start=float(x[low]),
        stop=float(x[high]),
        difference=float(log_z.value[high] - log_z.value[low]),
        difference_error=math.hypot(log_z.error[low], log_z.error[high]),
        integral=float(weights @ slopes.value),
        integral_error=float(np.linalg.norm(weights * slopes.error)),
        rule_error=rule_error,
    )


def _column(
    weights: Float[np.ndarray, "n n"],
    log_z: Points,
    rule_error: Float[np.ndarray, " n"],
) -> Column:
    """A quantity linear in all ln Z, at every extent but the last."""
    warm = weights[:-1]
    covariance = (warm * log_z.error**2) @ warm.T
    return Column(
        warm @ log_z.value, np.sqrt(np.diag(covariance)), rule_error[:-1], covariance
    )


def _integral(
    x: Float[np.ndarray, " n"], f: Float[np.ndarray, " n"], k: int
) -> tuple[Float[np.ndarray, " n"], float]:
    """Weights of the integral from x_k to x_{k+1}, and what they may miss."""
    size = min(4, x.size)
    first = _first(x.size, k - 1, size)
    weights = _interval_weights(x, k, first, size)
    # at an end, where the other points lie on one side, convergence is slow
    fewer = size - 1 if 0 < k < x.size - 2 else 2
    lower = [
        _interval_weights(x, k, start, fewer)
        for start in {first, first + size - fewer, k}
        if start <= k and k + 1 < start + fewer
    ]
    return weights, _farthest(weights, lower, f)


def _interval_weights(
    x: Float[np.ndarray, " n"], k: int, first: int, size: int
) -> Float[np.ndarray, " n"]:
    """Integral over an interval of the polynomial through `size` points in a row."""
    nodes, scale = _scaled(x, first, size, x[k])
    powers = np.arange(1, size + 1)
    end = (x[k + 1] - x[k]) / scale
    return _weights(x.size, first, nodes, scale * end**powers / powers)


def _derivative(
    x: Float[np.ndarray, " n"], f: Float[np.ndarray, " n"], k: int
) -> tuple[Float[np.ndarray, " n"], float]:
    """Weights of the derivative at x_k, and what they may miss."""
    size = min(5, x.size)
    first = _first(x.size, k - size // 2, size)
    weights = _point_weights(x, k, first, size)
    # at an end, where all points lie on one side, convergence is slow
    fewer = size - 1 if 0 < k < x.size - 1 else max(2, size - 2)
    lower = [
        _point_weights(x, k, start, fewer)
        for start in (first, first + size - fewer)
        if start <= k < start + fewer
    ]
    return weights, _farthest(weights, lower, f)


def _point_weights(
    x: Float[np.ndarray, " n"], k: int, first: int, size: int
) -> Float[np.ndarray, " n"]:
    """Derivative at a point of the polynomial through `size` points in a row."""
    nodes, scale = _scaled(x, first, size, x[k])
    return _weights(x.size, first, nodes, (np.arange(size) == 1) / scale)


def _farthest(
    weights: Float[np.ndarray, " n"],
    others: list[Float[np.ndarray, " n"]],
    f: Float[np.ndarray, " n"],
) -> float:
    """How far the rules of lower degree lie from a rule."""
    return max(abs(float((weights - other) @ f)) for other in others)


def _first(n: int, wanted: int, size: int) -> int:
    """Where `size` points in a row begin, none of them outside the n there are."""
    return max(0, min(wanted, n - size))


def _scaled(
    x: Float[np.ndarray, " n"], first: int, size: int, origin: float
) -> tuple[Float[np.ndarray, " size"], float]:
    nodes = x[first : first + size] - origin
    scale = float(np.ptp(nodes))
    return nodes / scale, scale


def _weights(
    n: int,
    first: int,
    nodes: Float[np.ndarray, " size"],
    moments: Float[np.ndarray, " size"],
) -> Float[np.ndarray, " n"]:
    """Weights at the nodes that give every power its moment; 0 at the other points."""
    weights = np.zeros(n)
    powers = np.vander(nodes, increasing=True).T
    weights[first : first + nodes.size] = np.linalg.solve(powers, moments)
    return weights
