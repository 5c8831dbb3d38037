"""One site: Bessel functions against quadrature, in every branch."""

import math

import pytest
from scipy import integrate

from genlat.exact import single_site

# a > 0, a = 0, a < 0; u = a²/8b small, of order 1, and beyond the asymptotic switch
COUPLINGS = [
    *((0.956, 0.022), (0.4, 0.3), (1.3, 0.0021), (1.7, 0.0002), (1e-9, 0.4)),
    *((0.0, 0.7), (-1e-9, 0.4), (-0.3, 0.65), (-1.1, 1.05), (-9.0, 0.11), (-9.0, 0.09)),
]


def quadrature(a: float, b: float) -> tuple[float, float]:
    """(ln z, ⟨φ²⟩) by adaptive quadrature, scaled by the highest weight."""
    peak = math.sqrt(max(0.0, -a) / (2 * b))
    top = -(a + b * peak**2) * peak**2
    end = peak + 12 / math.sqrt(max(abs(a), math.sqrt(b)))

    def moment(power: int) -> float:
        value, _ = integrate.quad(
            lambda x: x**power * math.exp(-(a + b * x * x) * x * x - top),
            0,
            end,
            points=[peak] if peak > 0 else None,
            epsabs=0,
            epsrel=1e-12,
            limit=400,
        )
        return 2 * value

    return top + math.log(moment(0)), moment(2) / moment(0)


@pytest.mark.parametrize(("a", "b"), COUPLINGS)
def test_closed_forms_match_quadrature(a, b):
    log_z, phi2 = quadrature(a, b)
    assert single_site.log_z(a, b) == pytest.approx(log_z, rel=1e-11, abs=1e-11)
    assert single_site.phi2(a, b) == pytest.approx(phi2, rel=1e-10)


def test_values_of_form_a():
    """λ below, at and above one half."""
    assert single_site.z0(0.5) == pytest.approx(
        math.gamma(0.25) / (2 * 0.5**0.25), rel=1e-14
    )
    for lam in (0.022, 0.31, 0.5, 0.83, 4.0):
        expected, _ = quadrature(1 - 2 * lam, lam)
        assert single_site.log_z0(lam) == pytest.approx(expected, abs=1e-11)


def test_continuous_across_one_half():
    """ln z₀ has the slope ⟨2φ² - φ⁴⟩ there; a jump would dominate a tiny step."""
    step = 1e-7
    phi2 = math.gamma(0.75) / math.gamma(0.25) / math.sqrt(0.5)
    slope = 2 * phi2 - 0.5  # ⟨φ⁴⟩ = 1/4b
    rise = single_site.log_z0(0.5 + step) - single_site.log_z0(0.5 - step)
    assert rise / (2 * step) == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("lam", [0.0, 1e-320, 1e-300, 1e-30, 1e-9])
def test_free_limit(lam):
    """ln z₀ → ½ ln π, corrected by λ⟨2φ² - φ⁴⟩ = λ/4."""
    expected = 0.5 * math.log(math.pi) + lam / 4
    assert single_site.log_z0(lam) == pytest.approx(expected, rel=1e-15)
    assert single_site.phi2(1 - 2 * lam, lam) == pytest.approx(0.5, rel=1e-8)


def test_ising_limit():
    """λ → ∞: two narrow wells at φ = ±1 of depth (1-2λ)²/4λ and curvature 2(2λ-1)."""
    lam = 1e7
    a = 1 - 2 * lam
    expected = a * a / (4 * lam) + 0.5 * math.log(2 * math.pi / -a)
    assert single_site.log_z0(lam) == pytest.approx(expected, rel=1e-12)
    assert single_site.phi2(a, lam) == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("side", [1, -1])
def test_branches_meet_at_the_asymptotic_switch(side):
    b = 0.37
    u = single_site.LARGE_U
    below, above = (
        side * math.sqrt(8 * b * u * (1 + sign * 1e-13)) for sign in (-1, 1)
    )
    assert single_site.log_z(below, b) == pytest.approx(
        single_site.log_z(above, b), rel=1e-12
    )
    assert single_site.phi2(below, b) == pytest.approx(
        single_site.phi2(above, b), rel=2e-12
    )


@pytest.mark.parametrize(("a", "b"), [(0.3, -0.1), (0.0, 0.0), (-0.2, 0.0)])
def test_divergent_integral_is_refused(a, b):
    with pytest.raises(ValueError, match="needs b > 0"):
        single_site.log_z(a, b)
