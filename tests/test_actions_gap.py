"""The gap equation at couplings of any size."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genlat.actions import gap
from genlat.actions.base import AbstractScalarAction
from genlat.actions.phi4 import Phi4


class Scaled(AbstractScalarAction):
    """φ⁴ in another unit of the field: h, a in its square, b in its fourth power."""

    lattice_shape: tuple[int, ...]
    theory: Phi4
    unit: float

    @property
    def hopping(self):
        return self.theory.hopping * self.unit**2

    @property
    def quadratic(self):
        return self.theory.quadratic * self.unit**2

    @property
    def quartic(self):
        return self.theory.quartic * self.unit**4


@pytest.mark.parametrize("unit", [1e-40, 1e-9, 1e13, 1e60])
@pytest.mark.parametrize("kappa", [0.2, 0.3, -0.2])
def test_the_unit_of_the_field_is_no_physics(kappa, unit):
    theory = Phi4((6, 4), kappa, 0.022)
    best, other = (gap.best_gaussian(t) for t in (theory, Scaled((6, 4), theory, unit)))
    np.testing.assert_allclose(other.variance * unit**2, best.variance, rtol=1e-11)
    assert other.mean * unit == pytest.approx(best.mean, rel=1e-11)
    assert (best.mean > 0) == (kappa == 0.3)
    shifted = best.free_energy + 24 * math.log(unit)
    assert other.free_energy == pytest.approx(shifted, rel=1e-11)


def test_the_equation_is_solved():
    """m = 6b (c + v²), v² = -(base_0 + 6bc)/2b, put in by hand."""
    for action in (Phi4((6, 4), 0.3, 0.022), Phi4((6, 4), 1e-12, 0.4)):
        best, b = gap.best_gaussian(action), float(action.quartic)
        c = float(np.mean(best.variance))
        softest = float(action.quadratic - 4 * action.hopping)
        curvature = softest + 6 * b * (c + best.mean**2)
        assert best.variance.max() == pytest.approx(0.5 / curvature, rel=1e-11)
        if best.mean > 0:
            square = -(softest + 6 * b * c) / (2 * b)
            assert best.mean**2 == pytest.approx(square, rel=1e-11)


@pytest.mark.parametrize(
    ("kappa", "lam", "distance"), [(0.7, 0.1, 2.07), (0.8, 0.2, 3.27)]
)
def test_the_bound_of_a_pair_knows_how_its_wells_overlap(kappa, lam, distance):
    """E_q[S + ln q] of both wells at once, on a grid over the modes of two sites."""
    action = Phi4((2,), kappa, lam)
    pair = gap.best_broken(action)
    # the zero mode alone is in two wells, so many of its own widths away from 0
    wide, narrow = np.sqrt(pair.variance)
    centre = pair.mean * math.sqrt(2)
    assert centre / wide == pytest.approx(distance, abs=0.01)
    sums, differences = np.linspace(-9, 9, 301), np.linspace(-4, 4, 301)
    z, w = np.meshgrid(sums, differences, indexing="ij")
    sites = jnp.asarray(np.stack([z + w, z - w], axis=-1) / math.sqrt(2))
    energy = np.asarray(jax.vmap(jax.vmap(action))(sites))
    wells = [np.exp(-(((z - side * centre) / wide) ** 2) / 2) for side in (1, -1)]
    q = sum(wells) * np.exp(-((w / narrow) ** 2) / 2)
    q *= 1 / np.sum(q)
    cell = (sums[1] - sums[0]) * (differences[1] - differences[0])
    log_q = np.log(np.maximum(q / cell, 1e-300))
    # of the entropy of two wells, an integral by 80 nodes, 3e-7 are missing
    assert pair.free_energy == pytest.approx(np.sum(q * (energy + log_q)), abs=1e-6)


def test_a_heavy_field_is_a_free_one():
    best = gap.best_gaussian(Phi4.form_b((4, 4), 1e100, 0.5))
    np.testing.assert_allclose(best.variance, 0.5e-100, rtol=1e-12)
    assert best.mean == 0
    # -ln Z = -V/2 ln(π/m²)
    expected = -8 * (math.log(math.pi) - 100 * math.log(10))
    assert best.free_energy == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kappa", [1e-8, 1e-16, -1e-16, 1e-300, 0.0])
def test_next_to_no_hopping(kappa):
    best, none = (gap.best_gaussian(Phi4((4, 4), k, 0.022)) for k in (kappa, 0.0))
    np.testing.assert_allclose(best.variance, none.variance, rtol=1e-7)
    assert best.free_energy == pytest.approx(none.free_energy, abs=1e-7)


@pytest.mark.parametrize("kappa", [1e300, -1e300, 1e308])
def test_beyond_floating_point(kappa):
    with pytest.raises(ValueError, match="range of floating point"):
        gap.best_gaussian(Phi4((4, 4), kappa, 0.022))
