"""The best Gaussian approximation of a scalar theory: the gap (Hartree) equation."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import optimize

from genlat import lattice
from genlat.actions.base import AbstractScalarAction


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

    **Source:** the Gaussian variational principle, e.g. Stevenson, Phys. Rev. D 32,
    1389 (1985), on the lattice in a finite volume.
    """
    base, b = _base(action)
    candidates = [_symmetric(base, b), *_broken(base, b)]
    return min(candidates, key=lambda candidate: candidate.free_energy)


def best_broken(action: AbstractScalarAction) -> GaussianApproximation | None:
    """The stable pair ±v with v > 0, the best or not; None if there is none."""
    return next(iter(_broken(*_base(action))), None)


def best_symmetric(action: AbstractScalarAction) -> GaussianApproximation:
    """The best of the Gaussians centred at 0: `mean` is 0 in either phase."""
    return _symmetric(*_base(action))


def _base(action: AbstractScalarAction) -> tuple[Float[np.ndarray, "*lattice"], float]:
    """base_p of every mode, and b."""
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

    # from -∞ at mass 0 to +∞, increasing
    mass = math.exp(_solve(gap, -40.0, 40.0))
    return _approximation(base, b, curvature=excess + mass, mean=0.0)


def _broken(
    base: Float[np.ndarray, "*lattice"], b: float
) -> list[GaussianApproximation]:
    """The stable solution with v > 0, if there is one."""
    base_0 = base.flat[0]
    excess = base - base_0
    if b == 0 or excess.min() < 0:
        return []

    def gap(log_mass: float) -> float:
        mass = math.exp(log_mass)
        return mass + 2 * base_0 + 12 * b * np.mean(0.5 / (excess + mass))

    # convex with two roots or none; the larger one is the stable minimum
    grid = np.linspace(math.log(10 * (1 + abs(base_0))), -30, 400)
    below = [index for index, x in enumerate(grid) if gap(x) < 0]
    if not below or below[0] == 0:
        return []
    mass = math.exp(_solve(gap, grid[below[0]], grid[below[0] - 1]))
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
    volume, c = base.size, float(np.mean(variance))
    potential = base.flat[0] * mean**2 + b * (mean**4 + 6 * mean**2 * c + 3 * c**2)
    expected_action = np.sum(base * variance) + volume * potential
    entropy = 0.5 * np.sum(np.log(2 * np.pi * math.e * variance))
    distance = mean * math.sqrt(volume / variance.flat[0])
    free_energy = expected_action - entropy - _mixing_entropy(distance)
    return GaussianApproximation(variance, mean, float(free_energy))


def _mixing_entropy(distance: float) -> float:
    """Entropy gained by ½N(-distance, 1) + ½N(distance, 1) over N(0, 1): 0 to ln 2."""
    x, weight = np.polynomial.hermite_e.hermegauss(80)
    weight = weight / weight.sum()
    # -E ln q, seen from the right-hand well: ln q = ln N(x) - ln 2 + ln(1 + e^{-2zd})
    overlap = np.logaddexp(0.0, -2 * distance * (x + distance))
    return math.log(2) - float(weight @ overlap)
