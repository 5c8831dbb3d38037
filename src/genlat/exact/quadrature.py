"""Uniform grids for the field at one site.

The trapezoid rule converges exponentially for the smooth, rapidly decaying integrands
of a scalar theory, so a few dozen points carry the field to rounding.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from genlat.exact.value import EPS


class Resolution(NamedTuple):
    """How finely to compute.

    - `reach`: the grid ends where the weight of a site has dropped to e^{-reach}.
    - `tolerance`: largest relative change of a site integral when the grid is shifted
      by half a step.
    - `states`: largest basis of one symmetry sector of a slice.
    """

    reach: float
    tolerance: float
    states: int


FINE = Resolution(reach=38.0, tolerance=1e-14, states=500)
COARSE = Resolution(reach=32.0, tolerance=1e-12, states=320)


def line_grid(
    *,
    hopping: float,
    quadratic: float,
    quartic: float,
    axes: int,
    resolution: Resolution,
    max_points: int,
) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]] | None:
    r"""Points for φ_x, symmetric about 0, and minus the potential there.

    Written as S = Σ_bonds h (φ - φ')² + Σ_x v(φ_x) with v = (a - 2hd) φ² + bφ⁴ and
    h ≥ 0, every term of S is bounded below, and e^{-v} bounds the tail of a site.

    **Arguments:** couplings of `AbstractScalarAction`, and the number of axes d along
    which the site has neighbours.

    **Returns:** the points φ, and -v(φ); None if it takes more than `max_points`.
    """
    curvature = quadratic - 2 * hopping * axes
    # v = c φ² + b φ⁴ is lowest at φ² = max(0, -c/2b); it reaches that plus `reach`
    # where b φ⁴ + c φ² = reach + min v, solved without cancellation
    centre = math.sqrt(max(0.0, -curvature) / (2 * quartic)) if quartic > 0 else 0.0
    swing = math.sqrt(4 * quartic * resolution.reach)
    if curvature < 0:
        end = math.sqrt((swing - curvature) / (2 * quartic))
    else:
        root = math.hypot(curvature, swing)
        end = math.sqrt(2 * resolution.reach / (curvature + root))

    def shift_error(x: Float[np.ndarray, " points"], field: float) -> float:
        """Relative change of a site integral when shifted; `field`: sum of neighbours.

        It is the characteristic function of φ_x at momentum 2π/Δ, which is also the
        error of the rule within the lattice.
        """
        step = x[1] - x[0]
        fixed, shifted = (
            2 * hopping * field * y - (quadratic + quartic * y**2) * y**2
            for y in (x, x + step / 2)
        )
        change = abs(
            float(np.logaddexp.reduce(shifted)) - float(np.logaddexp.reduce(fixed))
        )
        # exponents of deep wells are rounded where they are large
        return change - 4 * EPS * float(np.max(np.abs(fixed)))

    if not math.isfinite((abs(curvature) + quartic * end**2) * end**2):
        return None
    n_half = 4
    while 2 * n_half <= max_points:
        x = (np.arange(-n_half, n_half) + 0.5) * (end / n_half)
        fields = (0.0, 2 * axes * centre)
        if max(shift_error(x, field) for field in fields) < resolution.tolerance:
            return x, -(curvature + quartic * x**2) * x**2
        n_half = n_half + 1 + n_half // 8
    return None
