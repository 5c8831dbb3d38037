"""The best Gaussian approximation of a scalar theory: the gap (Hartree) equation."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import optimize

from genlat import lattice
from genlat.actions.base import AbstractScalarAction, AbstractVectorAction
from genlat.actions.declared import require_couplings


class GaussianApproximation(NamedTuple):
    """φ = ±v + χ with χ Gaussian: what a prior needs to know of a theory.

    - `variance`: ⟨|χ̃|²⟩ of every real Fourier mode (rows of
      `lattice.real_fourier_matrix` on each axis, orthonormal).
    - `mean`: v ≥ 0; 0 in the symmetric phase. For v > 0 both signs weigh one half.
    - `free_energy`: the variational bound E_q[S + ln q] ≥ -ln Z that it minimises.
    """

    variance: Float[np.ndarray, "*lattice"]
    mean: float
    free_energy: float


def best_gaussian(action: AbstractScalarAction) -> GaussianApproximation:
    r"""Minimise E_q[S + ln q] over all translation-invariant Gaussian pairs ±v.

    With S = Σ [-2h φφ' + aφ² + bφ⁴], c = ⟨χ²⟩ and base_p = a - 2h Σ_μ cos p_μ, the mode
    variances obey the gap equation

    $$\sigma_p^2 = \frac{1}{2(\mathrm{base}_p + m)}, \qquad m = 6b\,(c + v^2), \qquad
      c = \frac1V \sum_p \sigma_p^2,$$

    and v = 0 or v² = -(base_0 + 6bc)/(2b), where base_0 + m = 4bv². Both phases are
    solved and the one with the lower bound is returned; the bound of the pair contains
    its overlap exactly.

    **Raises:** `ValueError` where the bound is no number, or for an S that is not that
    of the couplings alone.

    **Source:** the Gaussian variational principle, e.g. Stevenson, Phys. Rev. D 32,
    1389 (1985), on the lattice in a finite volume.
    """
    require_couplings(action, "the gap equation")
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            base, b = _base(action)
            candidates = [_symmetric(base, b), *_broken(base, b)]
    except (ArithmeticError, ValueError) as error:  # an infinity has no root
        raise ValueError(_BEYOND) from error
    if not all(math.isfinite(candidate.free_energy) for candidate in candidates):
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
    base, b = _base(action)
    n = math.prod(action.components)
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            one = _symmetric(base, b * (n + 2) / 3)
    except (ArithmeticError, ValueError) as error:
        raise ValueError(_BEYOND) from error
    if not math.isfinite(one.free_energy):
        raise ValueError(_BEYOND)
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
    excess = base - base.min()
    if b == 0:
        return _approximation(base, b, curvature=base, mean=0.0)

    def gap(log_mass: float) -> float:
        mass = math.exp(log_mass)  # curvature of the softest mode
        return mass - base.min() - 6 * b * np.mean(0.5 / (excess + mass))

    # from -∞ at mass 0 to +∞, increasing; between that of the softest mode alone and
    # that of all modes as soft, a margin for rounding around
    lower, upper = (_of_equal_modes(base.min(), 3 * b / n) for n in (base.size, 1))
    mass = math.exp(_solve(gap, math.log(lower) - 1e-6, math.log(upper) + 1e-6))
    return _approximation(base, b, curvature=excess + mass, mean=0.0)


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
    free_energy = _bound(variance, base, b, mean) - _mixing_entropy(distance)
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


def _mixing_entropy(distance: float) -> float:
    """Entropy gained by ½N(-distance, 1) + ½N(distance, 1) over N(0, 1): 0 to ln 2."""
    x, weight = np.polynomial.hermite_e.hermegauss(80)
    weight = weight / weight.sum()
    # -E ln q, seen from the right-hand well: ln q = ln N(x) - ln 2 + ln(1 + e^{-2zd})
    overlap = np.logaddexp(0.0, -2 * distance * (x + distance))
    return math.log(2) - float(weight @ overlap)
