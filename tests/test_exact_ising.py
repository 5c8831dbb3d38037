"""The Ising model's exact values against enumeration, closed forms and each other."""

import math

import numpy as np
import pytest

from genlat import exact
from genlat.actions.ising import Ising
from genlat.exact import kaufman, spin_sums, spin_transfer
from genlat.exact.onsager import CRITICAL_BETA, onsager
from ising_for_tests import enumerated

# every dimension, extents 1 and 2, odd and even, both signs of β, with and without h
CASES = [
    ((5,), 0.7, 0.3),
    ((1,), 0.4, 0.2),
    ((4, 4), 0.44, 0.0),
    ((3, 4), 0.37, 0.21),
    ((3, 5), -0.6, 0.0),
    ((4, 2), -0.5, 0.0),
    ((4, 3), -0.5, -0.4),
    ((1, 6), 0.4, 0.1),
    ((6, 1), 0.4, 0.0),
    ((2, 2, 3), 0.23, 0.13),
    ((2, 3, 3), -0.3, 0.0),
    ((3, 3), 0.0, 0.7),
    ((2, 1, 4), 0.0, 0.0),
]


@pytest.mark.parametrize(("shape", "beta", "field"), CASES, ids=str)
def test_against_enumeration(shape, beta, field):
    known = exact.known(Ising(shape, beta, field))
    truth = enumerated(shape, beta, field)
    assert set(truth) <= set(known)
    for name, expected in truth.items():
        np.testing.assert_allclose(
            known[name].value, expected, rtol=1e-11, atol=1e-12, err_msg=name
        )


def test_the_chain_in_closed_form():
    """λ± = e^β cosh βh ± √(e^2β sinh² βh + e^-2β), L = 50."""
    beta, field, length = 0.8, 0.15, 50
    h = beta * field
    root = math.sqrt(math.exp(2 * beta) * math.sinh(h) ** 2 + math.exp(-2 * beta))
    plus, minus = (math.exp(beta) * math.cosh(h) + sign * root for sign in (1, -1))
    tail = (minus / plus) ** length
    known = exact.known(Ising((length,), beta, field))
    log_z = length * math.log(plus) + math.log1p(tail)
    assert known["log_z"].value == pytest.approx(log_z, rel=1e-13)
    mag = math.exp(beta) * math.sinh(h) / root * (1 - tail) / (1 + tail)
    assert known["mag"].value == pytest.approx(mag, rel=1e-12)
    assert known["energy_gap"].value == pytest.approx(math.log(plus / minus))
    # G(t) = cos² + sin² of the eigenvectors' angle, (λ-/λ+)^t
    cos2 = (math.exp(beta) * math.sinh(h) / root) ** 2
    lags = np.arange(length // 2 + 1)
    ratio = minus / plus
    decay = (ratio**lags + ratio ** (length - lags)) / (1 + tail)
    np.testing.assert_allclose(
        known["two_point"].value, cos2 + (1 - cos2) * decay, rtol=1e-12
    )


def test_known_values_of_8x8():
    known = exact.known(Ising((8, 8), 0.4406868))
    for name, value in (
        ("log_z", 60.141781409),
        ("energy_density", -1.491589146),
        ("specific_heat", 1.14555921),
        ("entropy_density", 0.282391687),
        ("abs_mag", 0.777331116),
    ):
        assert known[name].value == pytest.approx(value, rel=3e-9), name


def test_transfer_matrix_is_kaufman():
    """Two methods that share nothing; 9x8 needs none of the torus' symmetries."""
    torus = spin_transfer.Torus(9, (8,), beta=0.43, field=0.0)
    known = kaufman.kaufman((9, 8), 0.43)
    energy = known["action_density"].value / 0.43
    for method in (spin_transfer, spin_sums):
        found = method.averages(torus)
        assert found is not None
        assert found.energy_density == pytest.approx(energy, rel=1e-11)
        for name in ("log_z", "specific_heat"):
            assert getattr(found, name) == pytest.approx(known[name].value, rel=1e-11)


def test_antiferromagnet_without_a_bipartite_shortcut():
    """Even extents map β to -β; an odd one is frustrated and must not be mapped."""
    even, odd = (exact.known(Ising(shape, -0.44)) for shape in ((24, 24), (3, 24)))
    assert even["log_z"].value == kaufman.kaufman((24, 24), 0.44)["log_z"].value
    assert odd["log_z"].value < kaufman.kaufman((3, 24), 0.44)["log_z"].value - 1
    assert exact.known(Ising((25, 24), -0.44)).keys() == {"mag"}


def test_infinite_volume():
    assert math.isclose(CRITICAL_BETA, 0.44068679350977147, rel_tol=1e-15)
    for beta in (0.2, 0.35, 0.55, 0.9):
        limit, torus = onsager(beta), kaufman.kaufman((256, 256), beta)
        degenerate = math.log(2) if beta > CRITICAL_BETA else 0.0
        density = -(torus["log_z"].value - degenerate) / 256**2
        assert limit["free_energy_density"].value == pytest.approx(density, abs=1e-9)
        energy = torus["action_density"].value / beta
        assert limit["energy_density"].value == pytest.approx(energy, rel=1e-12)
        heat = torus["specific_heat"].value
        assert limit["specific_heat"].value == pytest.approx(heat, rel=1e-10)
    assert onsager(CRITICAL_BETA)["energy_density"].value == pytest.approx(
        -math.sqrt(2), abs=1e-9
    )
    assert onsager(0.5)["abs_mag"].value == pytest.approx(0.911319377877496)
    assert onsager(0.4)["abs_mag"].value == 0


def test_refusals():
    with pytest.raises(ValueError, match=r"beta must be positive, got -0.1"):
        onsager(-0.1)
    with pytest.raises(ValueError, match="at most 10 sites, got 11"):
        spin_transfer.averages(spin_transfer.Torus(3, (11,), beta=0.1, field=0.0))
