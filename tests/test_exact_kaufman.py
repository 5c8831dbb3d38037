"""Kaufman's torus against enumeration, duality, Onsager and tabulated values."""

import math

import numpy as np
import pytest
from scipy import integrate, special

from genlat.exact.kaufman import kaufman

CRITICAL = 0.5 * math.log(1 + math.sqrt(2))
NAMES = ("log_z", "action_density", "specific_heat")


def enumerated(shape, beta):
    """ln Z, ⟨S⟩/V and Var(S)/V from all 2^V configurations."""
    volume = math.prod(shape)
    bits = np.arange(2**volume)[:, None] >> np.arange(volume)
    spins = 1 - 2 * (bits & 1).reshape(-1, *shape)
    bonds = sum((spins * np.roll(spins, -1, axis)).sum((1, 2)) for axis in (1, 2))
    levels, counts = np.unique(bonds, return_counts=True)
    log_p = beta * levels + np.log(counts)
    log_z = np.logaddexp.reduce(log_p)
    p = np.exp(log_p - log_z)
    mean = -beta * (p @ levels)
    return log_z, mean / volume, p @ (-beta * levels - mean) ** 2 / volume


@pytest.mark.parametrize("beta", [0.1, 0.44, CRITICAL, 0.9])
@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 3), (3, 1), (2, 2), (2, 3), (3, 3), (4, 3), (4, 4)], ids=str
)
def test_against_enumeration(shape, beta):
    known = kaufman(shape, beta)
    for name, expected in zip(NAMES, enumerated(shape, beta), strict=True):
        assert known[name].value == pytest.approx(expected, rel=1e-11, abs=1e-12), name


@pytest.mark.parametrize("beta", [1e-7, 9e-7])
@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 2), (1, 3), (2, 2), (2, 3), (3, 1), (3, 3)], ids=str
)
def test_a_hot_torus_against_enumeration(shape, beta):
    """Where two terms of a series stand for the formula, ties and double bonds too."""
    known = kaufman(shape, beta)
    for name, expected in zip(NAMES, enumerated(shape, beta), strict=True):
        off = abs(known[name].value - expected)
        assert off <= known[name].error + 1e-7 * abs(expected), name
        assert known[name].error < 1e-3 * abs(known[name].value) + 1e-16, name


@pytest.mark.parametrize(
    ("shape", "beta", "log_z"),
    [((8, 8), 0.4406868, 60.141781409), ((16, 16), 0.44, 238.38724720)],
)
def test_tabulated_values(shape, beta, log_z):
    assert kaufman(shape, beta)["log_z"].value == pytest.approx(log_z, abs=1e-8)


def test_the_extents_are_alike():
    for beta in (0.3, CRITICAL, 0.6):
        one, other = kaufman((5, 12), beta), kaufman((12, 5), beta)
        for name in NAMES:
            assert one[name].value == pytest.approx(other[name].value, rel=1e-12)


def test_derivatives_on_a_large_lattice():
    """Fourth-order differences of ln Z at L = 1024, on both sides of the transition."""
    shape, step, volume = (1024, 1024), 1e-5, 1024**2
    for beta in (0.2, 0.4402, 0.46, 1.5):
        log_z = {
            k: kaufman(shape, beta + k * step)["log_z"].value for k in (-2, -1, 1, 2)
        }
        slope = (8 * (log_z[1] - log_z[-1]) - (log_z[2] - log_z[-2])) / (12 * step)
        action = {
            k: kaufman(shape, beta + k * step)["action_density"].value
            / -(beta + k * step)
            for k in (-2, -1, 1, 2)
        }
        curvature = (8 * (action[1] - action[-1]) - (action[2] - action[-2])) / (
            12 * step
        )
        known = kaufman(shape, beta)
        expected = -beta * slope / volume
        assert known["action_density"].value == pytest.approx(expected, rel=1e-8)
        expected = beta**2 * curvature
        assert known["specific_heat"].value == pytest.approx(expected, rel=1e-5)


def test_it_tends_to_the_infinite_lattice():
    """Onsager's free energy and energy, away from β_c."""
    for beta in (0.3, 0.6):
        k = 2 * math.sinh(2 * beta) / math.cosh(2 * beta) ** 2
        integral, _ = integrate.quad(
            lambda x, k=k: math.log((1 + math.sqrt(1 - (k * math.sin(x)) ** 2)) / 2),
            0,
            math.pi,
        )
        per_site = math.log(2 * math.cosh(2 * beta)) + integral / (2 * math.pi)
        degenerate = math.log(2) if beta > CRITICAL else 0.0
        found = (kaufman((512, 512), beta)["log_z"].value - degenerate) / 512**2
        assert found == pytest.approx(per_site, rel=1e-10)
        bracket = 2 / math.pi * (2 * math.tanh(2 * beta) ** 2 - 1)
        energy = (1 + bracket * special.ellipk(k**2)) / math.tanh(2 * beta)
        known = kaufman((512, 512), beta)["action_density"].value
        assert known == pytest.approx(-beta * energy, rel=1e-10)


@pytest.mark.parametrize(
    ("shape", "beta", "expected"),
    [
        ((4, 0), 0.4, "two extents of at least 1"),
        ((4, 4, 4), 0.4, "two extents of at least 1"),
        ((4, 4), 0.0, "beta must be positive, got 0.0"),
        ((4, 4), math.inf, "beta must be positive, got inf"),
    ],
)
def test_refusals(shape, beta, expected):
    with pytest.raises(ValueError, match=expected):
        kaufman(shape, beta)
