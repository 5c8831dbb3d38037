"""The Ising model on a torus in two dimensions: ln Z and its derivatives, exactly."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from genlat.exact.value import EPS, Known

SOURCE = "Kaufman's finite-lattice partition function"
HOT, COLD = 1e-6, 20.0  # beyond them two terms of a series are better


def kaufman(lattice_shape: tuple[int, ...], beta: float) -> dict[str, Known]:
    r"""ln Z, ⟨S⟩/V and Var(S)/V of S = -β Σ_⟨xy⟩ s_x s_y on an m x n torus, β > 0.

    $$Z = \tfrac12 (2\sinh 2\beta)^{mn/2} \Big[
        \prod_{r} 2\cosh\tfrac m2\gamma_{2r+1} + \prod_{r} 2\sinh\tfrac m2\gamma_{2r+1}
      + \prod_{r} 2\cosh\tfrac m2\gamma_{2r} + \prod_{r} 2\sinh\tfrac m2\gamma_{2r}
      \Big]$$

    with r = 0 ... n-1, cosh γ_l = cosh² 2β / sinh 2β - cos(πl/n), γ_l > 0 but for
    γ_0 = 2β + ln tanh β, which changes sign at β_c = ½ ln(1 + √2). Differentiated by
    hand; products are kept as logarithms and an extent of 1024 is no trouble. An extent
    of 2 counts each bond twice, an extent of 1 couples a site to itself. The formula is
    not symmetric in m and n: it is evaluated both ways, and an error is the difference
    and the rounding of the terms that cancel.

    **Source:** Kaufman, Phys. Rev. 76, 1232 (1949); Ferdinand and Fisher, Phys. Rev.
    185, 832 (1969).

    **Raises:** `ValueError` for extents below 1 or β that is not positive.
    """
    if len(lattice_shape) != 2 or min(lattice_shape) < 1:
        raise ValueError(f"wanted two extents of at least 1, got {lattice_shape}")
    if not 0 < beta < math.inf:
        raise ValueError(f"beta must be positive, got {beta}")
    m, n = lattice_shape
    if beta < HOT:
        values, errors = _hot(m, n, beta)
    elif beta > COLD:
        values, errors = _cold(m, n, beta)
    else:
        values, rounding = _torus(m, n, beta)
        others, _ = _torus(n, m, beta)
        errors = rounding + np.abs(np.subtract(values, others))
    names = ("log_z", "action_density", "specific_heat")
    return {
        name: Known(float(value), float(error), SOURCE)
        for name, value, error in zip(names, values, errors, strict=True)
    }


Three = Float[np.ndarray, "3"]


def _torus(m: int, n: int, beta: float) -> tuple[Three, Three]:
    """The three values, and what rounding makes of them."""
    odd, even = (_momenta(n, offset, beta) for offset in (1, 0))
    terms = [
        _cosh_product(odd, m),
        _sinh_product(odd, m),
        _cosh_product(even, m),
        _sinh_product(even, m),
    ]
    ln_sum, slope, curvature = _log_of_sum(terms)
    volume, twice = m * n, 2 * beta
    prefactor = 0.5 * volume * math.log(2 * math.sinh(twice))
    slope += volume / math.tanh(twice)
    curvature -= 2 * volume / math.sinh(twice) ** 2
    values = np.array(
        [
            prefactor + ln_sum - math.log(2),
            -beta * slope / volume,
            beta**2 * curvature / volume,
        ]
    )
    many = 1 + math.log(n)  # small momenta weigh as 1/l
    rounding = np.array(
        [
            4 * (volume + abs(prefactor) + abs(ln_sum)),
            32 * many * (1 + beta),
            64 * many * (1 + beta**2),
        ]
    )
    return values, EPS * rounding


def _hot(m: int, n: int, beta: float) -> tuple[Three, Three]:
    """To second order in β: there the formula is a difference of ln β."""
    own = sum(extent == 1 for extent in (m, n))  # bonds of a site to itself
    # Σ over pairs of the number of their bonds squared, per site
    pairs = sum({1: 0, 2: 2}.get(extent, 1) for extent in (m, n))
    volume = m * n
    values = [
        volume * (math.log(2) + own * beta + pairs * beta**2 / 2),
        -(own * beta + pairs * beta**2),
        pairs * beta**2,
    ]
    cubed = 16 * beta**3
    errors = [volume * (cubed + 4 * EPS), cubed + EPS * beta, cubed + EPS * beta**2]
    return np.array(values), np.array(errors)


def _cold(m: int, n: int, beta: float) -> tuple[Three, Three]:
    """All spins alike; at least two bonds of 2V are broken otherwise."""
    volume = m * n
    others = 8 * (1 + beta) ** 2 * volume**2 * math.exp(-4 * beta)
    values = np.array([math.log(2) + 2 * volume * beta, -2 * beta, 0.0])
    return values, others + 4 * EPS * np.abs(values)


class _Jet(NamedTuple):
    """Numbers with their first and second derivatives in β."""

    value: Float[np.ndarray, " l"]
    slope: Float[np.ndarray, " l"]
    curvature: Float[np.ndarray, " l"]


class _Term(NamedTuple):
    """A summand, `factor` times e^`log`: both with their first two derivatives in β.

    The factor may vanish and carries the sign.
    """

    factor: tuple[float, float, float]
    log: tuple[float, float, float]


def _momenta(n: int, offset: int, beta: float) -> _Jet:
    """γ_l for l = offset, offset + 2, ... : n of them, the first with its sign."""
    s, c = math.sinh(2 * beta), math.cosh(2 * beta)
    angles = np.pi * np.arange(offset, 2 * n, 2) / n
    # cosh γ - 1, in a form that does not cancel where γ is small
    excess = (s - 1) ** 2 / s + 2 * np.sin(angles / 2) ** 2
    slope, curvature = 2 * c * (1 - 1 / s**2), 4 * s * (1 - 1 / s**2) + 8 * c**2 / s**3
    gamma = 2 * np.arcsinh(np.sqrt(excess / 2))
    sinh = np.sqrt(excess * (excess + 2))
    if offset == 0:
        sinh[0] = 1.0  # replaced below; may be 0
    first = slope / sinh
    second = (curvature - (1 + excess) * first**2) / sinh
    if offset == 0:
        gamma[0] = 2 * beta + math.log(math.tanh(beta))
        first[0], second[0] = 2 + 2 / s, -4 * c / s**2
    return _Jet(gamma, first, second)


def _cosh_product(gamma: _Jet, m: int) -> _Term:
    x, first, second = (0.5 * m * part for part in gamma)
    tanh = np.tanh(x)
    log = np.abs(x) + np.log1p(np.exp(-2 * np.abs(x)))
    return _Term(
        (1.0, 0.0, 0.0),
        (
            float(np.sum(log)),
            float(np.sum(tanh * first)),
            float(np.sum((1 - tanh**2) * first**2 + tanh * second)),
        ),
    )


def _sinh_product(gamma: _Jet, m: int) -> _Term:
    """The first factor apart: for l = 0 it vanishes at β_c."""
    x, first, second = (0.5 * m * part for part in gamma)
    rest = slice(1, None)
    coth = 1 / np.tanh(x[rest])
    log = x[rest] + np.log(-np.expm1(-2 * x[rest]))
    size = abs(x[0])
    # 2 sinh x and 2 cosh x, both times e^(-|x|)
    sinh = math.copysign(-math.expm1(-2 * size), x[0])
    cosh = 1 + math.exp(-2 * size)
    curvature = sinh * first[0] ** 2 + cosh * second[0]
    return _Term(
        (sinh, cosh * float(first[0]), float(curvature)),
        (
            size + float(np.sum(log)),
            float(np.sum(coth * first[rest])),
            float(np.sum((1 - coth**2) * first[rest] ** 2 + coth * second[rest])),
        ),
    )


def _log_of_sum(terms: list[_Term]) -> tuple[float, float, float]:
    """ln Σ factor e^log with its derivatives in β."""
    largest = max(term.log[0] for term in terms)
    # derivatives relative to those of one term: squares of extensive numbers cancel
    middle = terms[0].log[1]
    total = slope = curvature = 0.0
    for (f, df, ddf), (log, dlog, ddlog) in terms:
        weight, rest = math.exp(log - largest), dlog - middle
        total += weight * f
        slope += weight * (df + f * rest)
        curvature += weight * (ddf + 2 * df * rest + f * (ddlog + rest**2))
    slope, curvature = slope / total, curvature / total
    return largest + math.log(total), middle + slope, curvature - slope**2
