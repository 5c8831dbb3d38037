"""The best Gaussian approximation of a scalar theory: the gap (Hartree) equation."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import optimize

from genlat import lattice
from genlat.actions.base import (
    AbstractScalarAction,
    AbstractScalarInField,
    AbstractVectorAction,
    AnyScalar,
)
from genlat.actions.declared import is_in_field, require_couplings


class GaussianApproximation(NamedTuple):
    """φ = ±v + χ with χ Gaussian: what a prior needs to know of a theory.

    - `variance`: ⟨|χ̃|²⟩ of every real Fourier mode (rows of
      `lattice.real_fourier_matrix` on each axis, orthonormal).
    - `mean`: v ≥ 0; 0 in the symmetric phase. For v > 0 both signs weigh one half. In a
      field there is v alone, of the field's sign.
    - `free_energy`: the variational bound E_q[S + ln q] ≥ -ln Z that it minimises.
    """

    variance: Float[np.ndarray, "*lattice"]
    mean: float
    free_energy: float


def best_gaussian(action: AnyScalar) -> GaussianApproximation:
    r"""Minimise E_q[S + ln q] over all translation-invariant Gaussian pairs ±v.

    With S = Σ [-2h φφ' + aφ² + bφ⁴], c = ⟨χ²⟩ and base_p = a - 2h Σ_μ cos p_μ, the mode
    variances obey the gap equation

    $$\sigma_p^2 = \frac{1}{2(\mathrm{base}_p + m)}, \qquad m = 6b\,(c + v^2), \qquad
      c = \frac1V \sum_p \sigma_p^2,$$

    and v = 0 or v² = -(base_0 + 6bc)/(2b), where base_0 + m = 4bv². Both phases are
    solved and the one with the lower bound is returned; the bound of the pair contains
    its overlap exactly. In a field: `best_in_field`.

    **Raises:** `ValueError` where the bound is no number, or for an S that is not that
    of the couplings alone.

    **Source:** the Gaussian variational principle, e.g. Stevenson, Phys. Rev. D 32,
    1389 (1985), on the lattice in a finite volume.
    """
    if is_in_field(action) and float(action.field) != 0:
        return best_in_field(action)
    even = action.even if is_in_field(action) else action
    require_couplings(even, "the gap equation")
    assert isinstance(even, AbstractScalarAction)
    return _lowest(even, lambda base, b: [_symmetric(base, b), *_broken(base, b)])


def best_in_field(action: AbstractScalarInField) -> GaussianApproximation:
    r"""Minimise E_q[S + ln q] over all translation-invariant Gaussians around any v.

    Per site the bound of `best_gaussian` has -Hv more, H the field, which the noise
    does not see: the gap equation stays, and v solves

    $$v\,(\mathrm{base}_0 + m - 4bv^2) = H/2, \qquad m = 6b\,(c + v^2).$$

    v has the sign of H. There may be two minima, as around 0 and in the well: the
    lower one is returned. No pair: ±v weigh differently, by e^{-2VHv}.

    **Raises:** as `best_gaussian`; for a field that is 0.

    **Source:** as `best_gaussian`; v is the stationary point of the same bound.
    """
    if not is_in_field(action):
        require_couplings(action, "the gap equation")
    field = float(action.field)
    if field == 0:
        raise ValueError("best_in_field needs a field")
    found = _lowest(action.even, lambda base, b: _tilted(base, b, abs(field)))
    return found._replace(mean=math.copysign(found.mean, field))


def _lowest(
    action: AbstractScalarAction | AbstractVectorAction,
    solve: Callable[
        [Float[np.ndarray, "*lattice"], float], list[GaussianApproximation]
    ],
) -> GaussianApproximation:
    """Of the solutions, from base and b, the one with the lowest bound.

    **Raises:** `ValueError` where a bound is no number.
    """
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            candidates = solve(*_base(action))
    except (ArithmeticError, ValueError) as error:  # an infinity has no root
        raise ValueError(_BEYOND) from error
    bounds = [candidate.free_energy for candidate in candidates]
    if not bounds or not all(map(math.isfinite, bounds)):
        raise ValueError(_BEYOND)
    return min(candidates, key=lambda candidate: candidate.free_energy)


_BEYOND = "couplings so large or small that S leaves the range of floating point"


def best_broken(action: AbstractScalarAction) -> GaussianApproximation | None:
    """The stable pair ±v with v > 0, the best or not; None if there is none."""
    return next(iter(_broken(*_base(action))), None)


def best_symmetric(action: AbstractScalarAction) -> GaussianApproximation:
    """The best of the Gaussians centred at 0: `mean` is 0 in either phase."""
    return _symmetric(*_base(action))


def best_of_vectors(action: AbstractVectorAction) -> GaussianApproximation:
    """The best Gaussian around 0 of N components, alike and independent.

    A component sees itself three times in b (φ²)² and each other one once: ⟨(φ²)²⟩ is
    N (N + 2) c². It is that of one component with 3b replaced by (N + 2) b.

    **Raises:** as `best_gaussian`.
    """
    require_couplings(action, "the gap equation")
    n = math.prod(action.components)
    one = _lowest(action, lambda base, b: [_symmetric(base, b * (n + 2) / 3)])
    return one._replace(free_energy=n * one.free_energy)


def bound_around(action: AbstractScalarAction, mean: float) -> float:
    """E_q[S + ln q] of the best single Gaussian centred at `mean`, no pair."""
    base, b = _base(action)
    moved = _symmetric(base + 6 * b * mean**2, b)
    return _bound(moved.variance, base, b, mean)


def _base(
    action: AbstractScalarAction | AbstractVectorAction,
) -> tuple[Float[np.ndarray, "*lattice"], float]:
    """base_p of every mode, and b."""
    require_couplings(action, "the gap equation")
    h, a, b = (float(x) for x in (action.hopping, action.quadratic, action.quartic))
    shape = action.lattice_shape
    rows = np.ix_(*(lattice.real_momenta(extent) for extent in shape))
    return a - 2 * h * lattice.hopping_spectrum(shape)[rows], b


def _symmetric(base: Float[np.ndarray, "*lattice"], b: float) -> GaussianApproximation:
    return _approximation(base, b, curvature=_curvature(base, b), mean=0.0)


def _curvature(
    base: Float[np.ndarray, "*lattice"], b: float
) -> Float[np.ndarray, "*lattice"]:
    """base + m of every mode, around 0."""
    excess = base - base.min()
    if b == 0:
        return base

    def gap(log_mass: float) -> float:
        mass = math.exp(log_mass)  # curvature of the softest mode
        return mass - base.min() - 6 * b * np.mean(0.5 / (excess + mass))

    # from -∞ at mass 0 to +∞, increasing; between that of the softest mode alone and
    # that of all modes as soft, a margin for rounding around
    lower, upper = (_of_equal_modes(base.min(), 3 * b / n) for n in (base.size, 1))
    mass = math.exp(_solve(gap, math.log(lower) - 1e-6, math.log(upper) + 1e-6))
    return excess + mass


def _of_equal_modes(base: float, strength: float) -> float:
    """The positive root m of m = base + strength/m."""
    root = math.hypot(base, 2 * math.sqrt(strength))
    return 2 * strength / (root - base) if base < 0 else (base + root) / 2


def _broken(
    base: Float[np.ndarray, "*lattice"], b: float
) -> list[GaussianApproximation]:
    """The stable solution with v > 0, if there is one."""
    base_0 = float(base.flat[0])
    excess = base - base_0
    if b == 0 or base_0 >= 0 or excess.min() < 0:
        return []

    def gap(log_mass: float) -> float:
        mass = math.exp(log_mass)
        return mass + 2 * base_0 + 12 * b * float(np.mean(0.5 / (excess + mass)))

    def log_slope(log_mass: float) -> float:
        """Of what the slope of `gap`, 1 - 6b mean 1/(excess + mass)², is 1 minus."""
        inverse = math.sqrt(6 * b) / (excess + math.exp(log_mass))
        return math.log(np.mean(inverse**2))

    # convex: lowest between the masses of one soft mode and of all, and above the
    # larger root, the stable minimum, from -2 base_0 on
    log_b = math.log(6 * b) / 2
    lowest = _solve(log_slope, log_b - math.log(base.size) / 2 - 1e-6, log_b + 1e-6)
    upper = math.log(-2 * base_0) + 1e-6
    if lowest >= upper or gap(lowest) >= 0:
        return []
    mass = math.exp(_solve(gap, lowest, upper))
    mean = math.sqrt(mass / (4 * b))
    return [_approximation(base, b, curvature=excess + mass, mean=mean)]


def _tilted(
    base: Float[np.ndarray, "*lattice"], b: float, field: float
) -> list[GaussianApproximation]:
    """The minima in a field > 0, all at v > 0."""
    base_0, volume = float(base.flat[0]), base.size

    def around(mean: float) -> Float[np.ndarray, "*lattice"]:
        """Curvatures of the best noise around `mean`."""
        return _curvature(base + 6 * b * mean**2, b)

    def pull(mean: float) -> float:
        """Half of the slope of the bound per site."""
        return mean * (float(around(mean).flat[0]) - 4 * b * mean**2) - field / 2

    def solution(mean: float) -> GaussianApproximation:
        variance = 0.5 / around(mean)
        bound = _bound(variance, base, b, mean) - volume * field * mean
        return GaussianApproximation(variance, mean, bound)

    if b == 0:
        return [solution(field / (2 * base_0))]
    # m ≥ 6bv², so that v (base_0 + 2bv²) ≤ H/2; and m is below that at the upper end
    upper = max(math.cbrt(field / (2 * b)), math.sqrt(max(-base_0, 0.0) / b)) * _MARGIN
    lower = field / 2 / float(around(upper).flat[0]) / _MARGIN
    grid = np.union1d(np.geomspace(lower, upper, 32), np.linspace(lower, upper, 32))
    pulls = [pull(mean) for mean in grid.tolist()]
    return [
        solution(_solve(pull, grid[k], grid[k + 1]))
        for k in range(len(grid) - 1)
        if pulls[k] < 0 <= pulls[k + 1]
    ]


_MARGIN = 1 + 1e-6  # for rounding


def _solve(function, lower: float, upper: float) -> float:
    root = optimize.brentq(function, lower, upper, xtol=1e-14)
    assert isinstance(root, float)
    return root


def _approximation(
    base: Float[np.ndarray, "*lattice"],
    b: float,
    *,
    curvature: Float[np.ndarray, "*lattice"],
    mean: float,
) -> GaussianApproximation:
    variance = 0.5 / curvature
    distance = mean * math.sqrt(base.size / variance.flat[0])
    free_energy = _bound(variance, base, b, mean) - mixing_entropy(distance)
    return GaussianApproximation(variance, mean, free_energy)


def _bound(
    variance: Float[np.ndarray, "*lattice"],
    base: Float[np.ndarray, "*lattice"],
    b: float,
    mean: float,
) -> float:
    """E_q[S + ln q] of one Gaussian."""
    volume, c, mean2 = base.size, np.mean(variance), np.float64(mean) ** 2
    potential = base.flat[0] * mean2 + b * (mean2**2 + 6 * mean2 * c + 3 * c**2)
    expected_action = np.sum(base * variance) + volume * potential
    entropy = 0.5 * np.sum(np.log(2 * np.pi * math.e * variance))
    return float(expected_action - entropy)


def mixing_entropy(distance: float) -> float:
    """Entropy gained by ½N(-distance, 1) + ½N(distance, 1) over N(0, 1): 0 to ln 2."""
    x, weight = np.polynomial.hermite_e.hermegauss(80)
    weight = weight / weight.sum()
    # -E ln q, seen from the right-hand well: ln q = ln N(x) - ln 2 + ln(1 + e^{-2zd})
    overlap = np.logaddexp(0.0, -2 * distance * (x + distance))
    return math.log(2) - float(weight @ overlap)
