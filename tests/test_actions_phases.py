"""Which phases a theory may contain: what a pair of wells leaves out, against exact."""

import math

import numpy as np
import pytest

from genlat import exact
from genlat.actions import gap, phases
from genlat.actions.double_well import DoubleWell
from genlat.actions.phi4 import Phi4

LAM = 0.022


@pytest.mark.parametrize("mean", [0.0, 0.8])
def test_the_bound_is_that_of_the_best_gaussian_around_a_mean(mean):
    """E_q[S + ln q] by Wick's theorem, least at the spectrum of the gap equation."""
    action = Phi4((4, 6), 0.28, LAM)
    found = gap.bound_around(action, mean)
    base, b = gap._base(action)
    # ⟨φ⁴⟩ = m⁴ + 6m²c + 3c² and ⟨φ²⟩ = m² + c at every site

    def bound(curvature):
        variance = 0.5 / curvature
        c = np.mean(variance)
        gradient = np.sum(base * variance) + 24 * base.flat[0] * mean**2
        quartic = 24 * b * (mean**4 + 6 * mean**2 * c + 3 * c**2)
        entropy = 0.5 * np.sum(np.log(2 * math.pi * math.e * variance))
        return gradient + quartic - entropy

    masses = np.linspace(-0.9, 5, 20_000) + base.max() - base.min()
    bounds = [bound(base - base.min() + np.exp(np.log(1e-4) + x)) for x in masses]
    assert found == pytest.approx(min(bounds), abs=1e-5)
    assert found <= min(bounds) + 1e-12


def test_at_its_own_mean_it_is_that_of_one_well():
    action = Phi4((8, 8), 0.30, LAM)
    broken = gap.best_broken(action)
    one_well = gap.bound_around(action, broken.mean)
    assert one_well - broken.free_energy == pytest.approx(math.log(2), abs=1e-6)
    around_0 = gap.best_symmetric(action).free_energy
    assert gap.bound_around(action, 0.0) == pytest.approx(around_0, abs=1e-10)


@pytest.mark.parametrize("mu2", [-0.8, -1.0, -1.4, -1.8])
@pytest.mark.parametrize("length", [24, 64])
def test_it_is_more_than_there_is_of_a_particle_between_wells(mu2, length):
    """Z = τ₀ᵀ + τ₁ᵀ, of which paths without a passage are 2(τ₀τ₁)^{T/2}.

    So passages have the share 1 - 1/cosh(TΔ/2). The estimate has no fluctuations of the
    passage, and one axis has no other way.
    """
    action = DoubleWell((length,), 2.75, mu2, 1.0)
    gap_of_levels = exact.known(action)["energy_gap"].value
    passages = 1 - 1 / math.cosh(length * gap_of_levels / 2)
    found = phases.share_between_wells(action)
    assert passages < found < 20 * passages


@pytest.mark.parametrize(
    ("shape", "kappa", "expected"),
    [
        # deep in the symmetric phase ±v is no solution
        *(((n, 8), kappa, "symmetric") for n in (16, 64) for kappa in (0.20, 0.25)),
        ((64, 8), 0.28, "both"),  # 2.4 % of p in walls
        ((64, 8), 0.285, "both"),
        ((16, 8), 0.28, "both"),
        # what is left of walls falls as their length grows, not with the volume alone
        ((64, 8), 0.30, "broken"),
        ((16, 8), 0.30, "broken"),
        ((64, 32), 0.28, "broken"),
        # a small lattice passes from well to well as a whole
        ((4, 4), 0.30, "both"),
        # two solutions of which ±v has the higher bound
        ((32, 32), 0.27, "both"),
        # no chance of order: independent sites, or none along the other axis
        ((8, 1), -0.3, "symmetric"),
    ],
)
def test_phases(shape, kappa, expected):
    assert phases.of(Phi4(shape, kappa, LAM)) == expected


def test_the_higher_bound_excludes_nothing():
    action = Phi4((32, 32), 0.27, LAM)
    broken, around_0 = gap.best_broken(action), gap.best_symmetric(action)
    assert broken.free_energy > around_0.free_energy
    assert phases.share_between_wells(action) == 1


def test_it_does_not_depend_on_the_form():
    a = Phi4((16, 8), 0.285, LAM)
    m2, lam_b = (1 - 2 * LAM) / 0.285 - 4, LAM / 0.285**2
    c = Phi4.form_c((16, 8), m2, 6 * lam_b)
    expected = phases.share_between_wells(a)
    assert phases.share_between_wells(c) == pytest.approx(expected, rel=1e-6)
    assert 1e-4 < expected < 1e-2


def test_it_grows_with_the_number_of_places():
    """Walls of 8 sites across 32 and 64: L(L - 1)/2 places."""
    shares = [
        phases.share_between_wells(Phi4((length, 8), 0.29, LAM)) for length in (32, 64)
    ]
    assert shares[1] / shares[0] == pytest.approx(64 * 63 / (32 * 31), rel=0.05)
