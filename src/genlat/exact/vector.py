r"""O(N) φ⁴ theory without sampling: free fields, independent sites, rings.

A ring of T sites is a trace. Between neighbours e^{z cos θ}, z = 2h r r' of two
lengths, is a sum over the O(N) harmonics of degree l,

$$e^{z \cos\theta} = \Gamma(\nu) (2/z)^\nu \sum_l (l + \nu) I_{l+\nu}(z)
  C_l^{(\nu)}(\cos\theta), \quad \nu = N/2 - 1,$$

so that $Z = \sum_l d_l \mathrm{Tr}\,K_l^T$ with kernels K_l of the lengths alone:
$K_l(r, r') = (2\pi)^{N/2} z^{-\nu} I_{l+\nu}(z)$ and d_l the number of harmonics.

**Source:** the addition theorem of Gegenbauer, DLMF 10.35.5 and 18.18; ours as a method
for these theories.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import special

from genlat import lattice
from genlat.actions.base import AbstractVectorAction
from genlat.exact.free_field import free_field
from genlat.exact.value import Known, UnknownError, compared

COARSE, FINE = 48, 64
"""Nodes of the quadrature over the length of a vector."""

HIGHEST = 400  # degree of a harmonic
NEGLIGIBLE = 1e-18
ROUNDING = 1e-13
MAX_ERROR = 1e-3  # of ln Z; worse is no reference


def vector(action: AbstractVectorAction) -> dict[str, Known]:
    """What is known of this theory, by the names of observables.

    **Raises:** `UnknownError`, which says why nothing is.
    """
    n = action.components[0]
    h, a, b = (float(x) for x in (action.hopping, action.quadratic, action.quartic))
    shape = action.lattice_shape
    if b == 0:
        return _free(shape, n, h, a)
    a -= 2 * h * sum(extent == 1 for extent in shape)
    rings = [extent for extent in shape if extent > 1]
    if len(rings) > 1 and h != 0:
        raise UnknownError(
            "for more than one component ln Z is known of rings, independent sites and "
            "free fields"
        )
    volume = lattice.volume(shape)
    extent = rings[0] if rings and h != 0 else 1
    bond = h if rings else 0.0
    fine, coarse = (_ring(extent, n, bond, a, b, size) for size in (FINE, COARSE))
    copies = volume // extent
    found = {  # fine and coarse, and the size of the terms
        "log_z": [copies * x for x in (fine.log_z, coarse.log_z, abs(fine.log_z) + 1)],
        "phi2": [fine.phi2, coarse.phi2, fine.phi2],
        # S is half of φ·∂S/∂φ, which averages to N per site, less b (φ²)²
        "action_density": [
            *(n / 2 - b * x for x in (fine.phi4, coarse.phi4)),
            n / 2 + b * fine.phi4,
        ],
    }
    source = "transfer matrix of lengths and O(N) harmonics"
    values = {
        name: compared(*pair, rounding=fine.rounding, source=source, size=size)
        for name, (*pair, size) in found.items()
    }
    if not values["log_z"].error <= MAX_ERROR:
        error = values["log_z"].error
        raise UnknownError(
            f"quadrature of lengths is too coarse: ln Z within {error:g}"
        )
    return values


class _Ring(NamedTuple):
    """ln Z, and ⟨φ²⟩ and ⟨(φ²)²⟩ at a site; `rounding`: what has cancelled in Z."""

    log_z: float
    phi2: float
    phi4: float
    rounding: float


def log_z_of_sites(action: AbstractVectorAction) -> float:
    """ln Z without hopping: V times that of one site."""
    a, b = float(action.quadratic), float(action.quartic)
    volume, n = lattice.volume(action.lattice_shape), action.components[0]
    if b == 0:
        return volume * n / 2 * math.log(math.pi / a)
    return volume * _ring(1, n, 0.0, a, b, FINE).log_z


def _free(shape: tuple[int, ...], n: int, h: float, a: float) -> dict[str, Known]:
    """N copies of the scalar theory of the same couplings."""
    one = free_field(shape, h, a)
    return {
        name: Known(n * x.value, n * x.error, x.source)
        for name in ("log_z", "action_density", "phi2", "hopping", "mag2", "two_point")
        if (x := one.get(name)) is not None
    }


def _ring(extent: int, n: int, h: float, a: float, b: float, size: int) -> _Ring:
    """A ring, or one site where nothing hops."""
    r, log_weight = _lengths(n, h, a, b, size)
    if h == 0:
        log_total = float(np.logaddexp.reduce(log_weight))
        weight = np.exp(log_weight - log_total)
        log_area = math.log(2) + n / 2 * math.log(math.pi) - math.lgamma(n / 2)
        phi2, phi4 = (float(weight @ r**k) for k in (2, 4))
        return _Ring(log_total + log_area, phi2, phi4, ROUNDING)
    z, nu = 2 * abs(h) * np.outer(r, r), n / 2 - 1
    halves = (log_weight[:, None] + log_weight[None, :]) / 2
    log_factor = n / 2 * math.log(2 * math.pi) - nu * np.log(z) + z + halves
    log_scale = float(np.max(log_factor + np.log(special.ive(nu, z))))
    total, absolute, moments = 0.0, 0.0, np.zeros(2)
    for degree in range(HIGHEST):
        kernel = np.exp(log_factor - log_scale) * special.ive(degree + nu, z)
        values, vectors = np.linalg.eigh(kernel)
        sign = -1.0 if h < 0 and degree % 2 and extent % 2 else 1.0
        powers = sign * _harmonics(degree, n) * values**extent
        total += float(np.sum(powers))
        absolute += float(np.sum(np.abs(powers)))
        moments += [float(powers @ (vectors**2).T @ r**k) for k in (2, 4)]
        if degree > 0 and np.max(np.abs(powers)) < NEGLIGIBLE * abs(total):
            break
    lost = absolute / abs(total) if total else math.inf
    rounding = ROUNDING * lost
    if not (total > 0 and rounding < MAX_ERROR):
        raise UnknownError(
            f"of harmonics of both signs one part in {lost:.1g} is left, too little to "
            "know Z: bonds of negative hopping cannot all be content"
        )
    phi2, phi4 = (float(x / total) for x in moments)
    return _Ring(math.log(total) + extent * log_scale, phi2, phi4, rounding)


def _lengths(
    n: int, h: float, a: float, b: float, size: int
) -> tuple[Float[np.ndarray, " size"], Float[np.ndarray, " size"]]:
    """Gauss-Legendre nodes r and ln of weights times r^{N-1} e^{-a r² - b r⁴}."""
    # where the exponent, with the most that the bonds can add, has fallen by 100
    low = a - 2 * abs(h)
    u = (-low + math.sqrt(low**2 + 400 * b)) / (2 * b)
    if low < 0:
        u += -low / (2 * b)
    top = math.sqrt(u)
    x, w = np.polynomial.legendre.leggauss(size)
    r = top * (x + 1) / 2
    return r, np.log(w * top / 2) + (n - 1) * np.log(r) - a * r**2 - b * r**4


def _harmonics(degree: int, n: int) -> float:
    """Dimension of the O(N) harmonics of a degree."""
    if n == 1:
        return 1.0 if degree < 2 else 0.0
    if degree == 0:
        return 1.0
    return (
        (2 * degree + n - 2) / degree * float(special.comb(degree + n - 3, degree - 1))
    )
