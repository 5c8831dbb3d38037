"""Which Gaussian phases a scalar theory may contain, by its gap equation."""

import math
from typing import Literal

import numpy as np

from genlat import lattice
from genlat.actions import gap
from genlat.actions.base import AbstractScalarAction

Phases = Literal["symmetric", "broken", "both"]

# a part of p that 10^6 draws do not see
NEGLIGIBLE = 1e-6


def of(action: AbstractScalarAction) -> Phases:
    """The phases that a finite lattice may have a share of.

    - `"symmetric"`: no ±v solves the gap equation.
    - `"broken"`: ±v does, and less than `NEGLIGIBLE` of p lies between the wells.
    - `"both"`: everything else. Where both solutions exist their free energies are two
      upper bounds, each off by something that grows with the volume: that the one of
      ±v is higher excludes nothing.

    **Raises:** `ValueError` as `gap.best_gaussian`.
    """
    if gap.best_broken(action) is None:
        return "symmetric"
    return "broken" if share_between_wells(action) < NEGLIGIBLE else "both"


def share_between_wells(action: AbstractScalarAction) -> float:
    r"""What the pair ±v leaves out of p, over what it has; rather too large; at most 1.

    With U(m) the bound per site around a uniform mean m, and U(v) = 0, the lattice goes
    from one well to the other

    - as a whole, at the price V U(0): e^{-V U(0)}, or
    - by two walls across an axis of extent L, each of V/L sites of tension σ, in
      L(L - 1)/2 places: L(L - 1)/2 e^{-2σV/L}. A wall that varies slowly costs
      $\sigma = \int_{-v}^{v} 2\sqrt{h U(m)}\,dm$, one from a site to the next 4hv²; the
      cheaper counts.

    On 64x8 at λ = 0.022: 1 at κ = 0.28, where walls are 2.4 % of p, 3·10⁻⁴ at 0.29,
    10⁻⁸ at 0.30.

    **Source:** the wall is that of Cahn and Hilliard, J. Chem. Phys. 28, 258 (1958),
    with the Gaussian effective potential (`gap`).
    """
    broken = gap.best_broken(action)
    if broken is None:
        return 1.0
    v, h = broken.mean, float(action.hopping)
    volume = lattice.volume(action.lattice_shape)
    bottom = gap.bound_around(action, v)

    def height(mean: float) -> float:
        return max(gap.bound_around(action, mean) - bottom, 0.0) / volume

    x, weight = np.polynomial.legendre.leggauss(_NODES)
    roots = [math.sqrt(h * height(v * (1 + node) / 2)) for node in x.tolist()]
    slow = 4 * v / 2 * float(weight @ np.array(roots))
    tension = min(slow, 4 * h * v**2)
    log_shares = [-volume * height(0.0)]
    for extent in action.lattice_shape:
        if extent > 1:
            places = math.log(extent * (extent - 1) / 2)
            log_shares.append(places - 2 * tension * volume / extent)
    return min(sum(math.exp(min(x, 0.0)) for x in log_shares), 1.0)


_NODES = 24  # of the integral over half a wall
