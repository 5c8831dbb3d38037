r"""Nearly independent sites: two orders in the hopping, with a bound on the rest.

For b ≥ 0 the even moments of a site are at most those of a Gaussian of its variance
s = ⟨φ²⟩₀. So every term of the series in X = 2h Σ φφ' is at most that of the Gaussian
theory, whose sums are known: with A the adjacency of the lattice, 2hsA has eigenvalues
of modulus at most x = 4|h|sd, and

$$\frac{Z}{z_0^V} = 1 + \tfrac12\langle X^2\rangle_0 + r, \qquad
  |r| \le e^{t} - 1 - \tfrac12\langle X^2\rangle_0, \qquad
  t = \tfrac12\langle X^2\rangle_0 + \frac{V x^3}{6 (1 - x)} .$$

**Source:** the Gaussian inequality, Newman, Z. Wahrscheinlichkeitstheorie 33, 75
(1975).
"""

import math

import numpy as np

from genlat import lattice
from genlat.exact import single_site
from genlat.exact.value import Known

MAX_X = 0.1


def weak_hopping(
    lattice_shape: tuple[int, ...], hopping: float, quadratic: float, quartic: float
) -> dict[str, Known]:
    """Averages of S = Σ [-2h φφ' + aφ² + bφ⁴], b > 0, h of either sign or 0.

    **Returns:** nothing where x > `MAX_X`.
    """
    a, b, volume = quadratic, quartic, lattice.volume(lattice_shape)
    # an extent of 1 couples a site to itself: -2hφ² and one axis fewer
    a -= 2 * hopping * sum(extent == 1 for extent in lattice_shape)
    phi2 = single_site.phi2(a, b)
    axes = sum(extent > 1 for extent in lattice_shape)
    bond = 2 * hopping * phi2
    x = 2 * abs(bond) * axes
    if not x <= MAX_X:
        return {}
    # a bond met twice, as by an extent of 2, weighs four times
    squares = sum({1: 0, 2: 4}.get(extent, 2) for extent in lattice_shape)
    half = volume * bond**2 * squares / 4
    ln_gauss = half + volume * x**3 / (6 * (1 - x))
    if ln_gauss > 1:
        return {}
    rest = _minus_series(ln_gauss) + ln_gauss - half
    more = math.expm1(ln_gauss)  # Z of the Gaussian theory over z₀^V, minus 1
    wider = x**2 / (1 - x)  # of its ⟨φ²⟩ over s, minus 1, at most
    log_z = volume * single_site.log_z(a, b)
    density = 0.25 + a * phi2 / 2  # (1 - 2a⟨φ²⟩)/4 = b⟨φ⁴⟩
    phi4 = 3 * b * phi2**2 * (more * (1 + wider) ** 2 + wider * (2 + wider))
    second = 2 * (more * (1 + x) / (1 - x) + wider)
    time, *space = lattice_shape
    own, neighbour = 2 * bond * sum(extent > 1 for extent in space), bond
    two_point = np.zeros(time // 2 + 1)
    two_point[0] = phi2 * (1 + own)
    if time > 1:
        two_point[1] = phi2 * neighbour * (2 if time == 2 else 1)
    signed = math.copysign(x, hopping)
    source = "independent sites, Bessel functions"
    if hopping != 0:
        source = "nearly independent sites, second order in the hopping"
    # rounding: of 1 + |.| where terms of order 1 cancel
    return {
        "log_z": Known(
            log_z + math.log1p(half), rest + 1e-13 * (volume + abs(log_z)), source
        ),
        "phi2": Known(phi2, phi2 * (more * (1 + wider) + wider + 1e-12), source),
        "action_density": Known(density, phi4 + 1e-12 * (1 + abs(density)), source),
        "mag2": Known(
            phi2 * (1 + signed) / volume, phi2 * (second + 1e-12) / volume, source
        ),
        "two_point": Known(
            two_point, phi2 * second + 1e-12 * np.abs(two_point), source
        ),
    }


def _minus_series(t: float) -> float:
    """e^t - 1 - t, which does not cancel."""
    if t > 0.1:
        return math.expm1(t) - t
    return t**2 / 2 * (1 + t / 3 * (1 + t / 4 * (1 + t / 5 * (1 + t / 6))))
