r"""A scalar theory in a field without sampling: free fields, independent sites, rings.

S = Σ [-2h φφ' + aφ² + bφ⁴ - Hφ]. A site is integrated by Gauss-Legendre nodes where
its weight is above e^{-`REACH`}, a ring of T sites is the trace of K^T, K the hop from
node to node. Both are taken at two numbers of nodes. S is at least the sum over sites
of V = (a - 2|h|)φ² + bφ⁴ - Hφ; where all of them cannot be lowest at once, the interval
is as much wider as the lowest S is higher than that.

**Source:** ours, as quadrature; checked in the tests by sums over plain grids.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from genlat import lattice
from genlat.actions.base import AbstractScalarInField
from genlat.exact.free_field import free_field
from genlat.exact.value import EPS, Known, UnknownError, compared

FINE, COARSE = 160, 120
"""Nodes on every interval that has weight."""

REACH = 42.0
MAX_ERROR = 1e-3  # of ln Z; worse is no reference


def in_field(action: AbstractScalarInField) -> dict[str, Known]:
    """What is known of this theory, by the names of observables.

    **Raises:** `UnknownError`, which says why nothing is.
    """
    even, field, shape = action.even, float(action.field), action.lattice_shape
    h, a, b = (float(x) for x in (even.hopping, even.quadratic, even.quartic))
    if b == 0:
        return _free(shape, h, a, field)
    # an extent of 1 couples a site to itself: -2hφ² and one axis fewer
    a -= 2 * h * sum(extent == 1 for extent in shape)
    rings = [extent for extent in shape if extent > 1] if h != 0 else []
    if len(rings) > 1:
        raise UnknownError(
            "in a field ln Z is known of rings, independent sites and free fields"
        )
    extent, bond = (rings[0], h) if rings else (1, 0.0)
    fine, coarse = (_ring(extent, bond, a, b, field, size) for size in (FINE, COARSE))
    copies = lattice.volume(shape) // extent
    source = f"quadrature of {'a ring' if rings else 'independent sites'} in a field"
    of_action = 0.5 + b * fine.phi4 + abs(field) * math.sqrt(fine.phi2) / 2
    # fine and coarse, and the size of the terms
    found = {
        "log_z": (fine.log_z, coarse.log_z, abs(fine.log_z) + 1),
        "mag": (fine.phi, coarse.phi, math.sqrt(fine.phi2)),
        "phi2": (fine.phi2, coarse.phi2, fine.phi2),
        "action_density": (*(_density(x, b, field) for x in (fine, coarse)), of_action),
    }
    found["log_z"] = tuple(copies * x for x in found["log_z"])
    values = {
        name: compared(*pair, rounding=fine.rounding, source=source, size=size)
        for name, (*pair, size) in found.items()
    }
    known = values["log_z"]
    error = known.error + copies * fine.exponent_error
    if not error <= MAX_ERROR:
        raise UnknownError(
            f"quadrature in a field is too coarse: ln Z within {error:g}"
        )
    return values | {"log_z": Known(known.value, error, source)}


def log_z_of_site(a: float, b: float, field: float) -> float:
    """ln ∫ dφ exp(-aφ² - bφ⁴ + Hφ)."""
    if b == 0:
        return 0.5 * math.log(math.pi / a) + field**2 / (4 * a)
    return _ring(1, 0.0, a, b, field, FINE).log_z


class _Ring(NamedTuple):
    """ln Z, and ⟨φ⟩, ⟨φ²⟩ and ⟨φ⁴⟩ at a site.

    - `rounding`: relative; `exponent_error`: of ln Z, of exponents that are large.
    """

    log_z: float
    phi: float
    phi2: float
    phi4: float
    rounding: float
    exponent_error: float


def _density(ring: _Ring, b: float, field: float) -> float:
    """⟨S⟩/V: S is half of φ ∂S/∂φ, which averages to 1, less bφ⁴ and half of Hφ."""
    return 0.5 - b * ring.phi4 - field * ring.phi / 2


def _ring(extent: int, h: float, a: float, b: float, field: float, size: int) -> _Ring:
    """A ring, or one site where nothing hops."""
    low = a - 2 * abs(h)  # with the most that the bonds can add
    reach = REACH + _excess(extent, h, a, b, field)
    centre, x, log_w = _nodes(low, b, field, size, reach)
    # of φ = centre + x: minus the exponent of a site and half of its bonds
    c0 = (a - 2 * h + b * centre**2) * centre**2 - field * centre
    c1 = (2 * (a - 2 * h) + 4 * b * centre**2) * centre - field
    c2 = a + 6 * b * centre**2
    site = log_w - (c1 + (c2 + (4 * b * centre + b * x) * x) * x) * x
    size_of_c0 = (abs(a) + 2 * abs(h) + b * centre**2) * centre**2
    exponent_error = 4 * EPS * extent * (size_of_c0 + abs(field * centre) + reach)
    powers = (centre + x)[:, None] ** np.array([1, 2, 4])
    if h == 0:
        log_total = float(np.logaddexp.reduce(site))
        log_z, lost = log_total - c0, 1.0
        moments = np.exp(site - log_total) @ powers
    else:
        exponent = 2 * h * np.outer(x, x) + (site[:, None] + site[None, :]) / 2
        scale = float(exponent.max())
        values, vectors = np.linalg.eigh(np.exp(exponent - scale))
        largest = float(np.abs(values).max())
        weights = (values / largest) ** extent
        total = float(weights.sum())
        lost = float(np.abs(weights).sum()) / abs(total)
        log_z = extent * (scale + math.log(largest) - c0) + math.log(total)
        moments = weights @ (vectors**2).T @ powers / total
    phi, phi2, phi4 = moments.tolist()
    return _Ring(log_z, phi, phi2, phi4, 1e-13 * lost, exponent_error)


def _excess(extent: int, h: float, a: float, b: float, field: float) -> float:
    """What S of the lowest uniform or alternating state has above the sum of min V.

    Nothing where neighbours that are alike are as low as bonds can make them.
    """
    if h >= 0:
        return 0.0
    low = a - 2 * abs(h)
    x = _lowest(low, b, field)
    bottom = _potential(low, b, field, x)
    uniform = _lowest(a - 2 * h, b, field)
    found = [_potential(a - 2 * h, b, field, uniform)]
    if extent % 2 == 0:
        for _ in range(_ROUNDS):  # each in the field of the other, lower and lower
            y = _lowest(a, b, field + 4 * h * x)
            x = _lowest(a, b, field + 4 * h * y)
        pair = sum(_potential(a, b, field, z) for z in (x, y)) - 4 * h * x * y
        found.append(pair / 2)
    return extent * (min(found) - bottom)


_ROUNDS = 50


def _potential(a: float, b: float, field: float, x: float) -> float:
    return (a + b * x**2) * x**2 - field * x


def _lowest(a: float, b: float, field: float) -> float:
    """Where aφ² + bφ⁴ - Hφ is lowest."""
    found = np.roots([4 * b, 0.0, 2 * a, -field])
    real = found.real[np.abs(found.imag) <= 1e-6 * np.abs(found)]
    return float(min(real, key=lambda x: _potential(a, b, field, x)))


def _nodes(
    low: float, b: float, field: float, size: int, reach: float
) -> tuple[float, Float[np.ndarray, " nodes"], Float[np.ndarray, " nodes"]]:
    """Where V = low φ² + bφ⁴ - Hφ is lowest; nodes around, and ln of their weights.

    Of V < min V + `reach`, one interval or two.
    """
    if low > 0 and b * ((field / low) ** 2 + reach / low) < EPS**2 * low:
        b = 0.0  # which no float of V sees, and no root survives
    centre = _lowest(low, b, field)
    excess = [b, 4 * b * centre, low + 6 * b * centre**2, 0.0, -reach]
    # real parts of complex pairs cut an interval, and change nothing
    cuts = np.unique(np.roots(excess).real)
    x, w = np.polynomial.legendre.leggauss(size)
    nodes, weights = [], []
    for start, stop in itertools.pairwise(cuts.tolist()):
        middle, half = (start + stop) / 2, (stop - start) / 2
        if np.polyval(excess, middle) < 0:
            nodes.append(middle + half * x)
            weights.append(np.log(half * w))
    return centre, np.concatenate(nodes), np.concatenate(weights)


def _free(shape: tuple[int, ...], h: float, a: float, field: float) -> dict[str, Known]:
    r"""The field moves the Gaussian to v = H/(2D_0); ln Z gains V H²/(4D_0)."""
    known = free_field(shape, h, a)
    volume, source = lattice.volume(shape), known["log_z"].source
    response = volume * known["mag2"].value  # 1/(2D_0)
    lost = volume * known["mag2"].error
    v, v_error = field * response, abs(field) * lost
    v2, v2_error = v**2, 2 * abs(v) * v_error
    gains = {
        "log_z": (volume * field * v / 2, volume * abs(field) * v_error / 2),
        "phi2": (v2, v2_error),
        "hopping": (len(shape) * v2, len(shape) * v2_error),
        "action_density": (-field * v / 2, abs(field) * v_error / 2),
        "specific_heat": (0.0, 0.0),
        "mag2": (v2, v2_error),
        "two_point": (volume // shape[0] * v2, volume // shape[0] * v2_error),
    }
    moved = {
        name: Known(
            known[name].value + gain,
            known[name].error + error + 4 * EPS * abs(gain),
            source,
        )
        for name, (gain, error) in gains.items()
    }
    return moved | {"mag": Known(v, v_error + 4 * EPS * abs(v), source)}
