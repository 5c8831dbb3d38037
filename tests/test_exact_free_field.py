"""The free field: momentum sums against the explicit Gaussian integral."""

import math

import numpy as np
import pytest

from genlat import exact
from genlat.actions.double_well import DoubleWell
from genlat.actions.phi4 import Phi4
from genlat.exact.free_field import free_field

SHAPES = [(4, 6), (5, 3), (7,), (2, 3, 4), (1, 4), (2, 1), (1, 1), (4, 2)]
H, A = 0.13, 0.91


def quadratic_form(shape: tuple[int, ...], h: float, a: float) -> np.ndarray:
    """Symmetric Q with S = φᵀQφ, bond by bond."""
    volume = math.prod(shape)
    sites = np.arange(volume).reshape(shape)
    q = a * np.eye(volume)
    for axis in range(len(shape)):
        there = np.roll(sites, -1, axis).ravel()
        for x, y in zip(sites.ravel(), there, strict=True):
            q[x, y] -= h
            q[y, x] -= h
    return q


@pytest.mark.parametrize("shape", SHAPES)
def test_against_the_determinant_and_the_inverse(shape):
    q = quadratic_form(shape, H, A)
    volume = q.shape[0]
    covariance = np.linalg.inv(2 * q)
    known = free_field(shape, H, A)
    log_z = (volume * math.log(math.pi) - np.linalg.slogdet(q)[1]) / 2
    assert known["log_z"].value == pytest.approx(log_z, rel=1e-13)
    assert known["phi2"].value == pytest.approx(np.trace(covariance) / volume)
    assert known["mag2"].value == pytest.approx(covariance.mean())
    by_slice = covariance.reshape(shape[0], -1, shape[0], volume // shape[0])
    slices = by_slice.sum(axis=(1, 3)) / (volume // shape[0])
    lags = [
        np.mean([slices[t, (t + lag) % shape[0]] for t in range(shape[0])])
        for lag in range(shape[0] // 2 + 1)
    ]
    np.testing.assert_allclose(known["two_point"].value, lags, rtol=1e-12)


def test_gap_is_the_decay_of_a_long_correlator():
    two_point = np.asarray(free_field((200, 3), H, A)["two_point"].value)
    gap = free_field((4, 3), H, A)["energy_gap"].value
    assert math.log(two_point[5] / two_point[6]) == pytest.approx(gap, rel=1e-10)


def test_moments_of_the_magnetisation():
    """|m| and its variance, by quadrature of the Gaussian."""
    known = free_field((4, 6), H, A)
    mag2 = known["mag2"].value
    m = np.linspace(0, 12 * math.sqrt(mag2), 4001)
    density = np.exp(-(m**2) / (2 * mag2))
    abs_mag = np.sum(m * density) / (np.sum(density) - 0.5)  # half a point at 0
    assert known["abs_mag"].value == pytest.approx(abs_mag, rel=1e-5)
    assert known["susceptibility"].value == pytest.approx(
        24 * (mag2 - abs_mag**2), rel=1e-4
    )


def test_unbounded_mode_is_refused():
    with pytest.raises(ValueError, match="unbounded"):
        free_field((4, 6), 0.25, 1.0)
    free_field((4, 6), 0.2499, 1.0)


def test_known_in_every_form_and_for_the_oscillator():
    """ln Z of Phi4 at λ = 0 and of DoubleWell at λ = 0, each in its own field."""
    for action in (
        Phi4((4, 6), 0.17, 0.0),
        Phi4.form_b((4, 6), 0.43, 0.0),
        Phi4.form_c((4, 6), 0.43, 0.0),
        DoubleWell((6,), m0=1.7, mu2=0.3, lam=0.0, spacing=0.7),
    ):
        shape = action.lattice_shape
        q = quadratic_form(shape, float(action.hopping), float(action.quadratic))
        log_z = (len(q) * math.log(math.pi) - np.linalg.slogdet(q)[1]) / 2
        assert exact.known(action)["log_z"].value == pytest.approx(log_z, rel=1e-12)


def test_negative_hopping_has_no_gap():
    known = free_field((4, 6), -H, A)
    assert "energy_gap" not in known
    q = quadratic_form((4, 6), -H, A)
    log_z = (24 * math.log(math.pi) - np.linalg.slogdet(q)[1]) / 2
    assert known["log_z"].value == pytest.approx(log_z, rel=1e-12)


def test_hopping_is_half_the_derivative_of_log_z():
    step = 1e-5
    above, below = (free_field((4, 6), H + x, A)["log_z"].value for x in (step, -step))
    expected = (above - below) / (2 * step) / (2 * 24)
    assert free_field((4, 6), H, A)["hopping"].value == pytest.approx(expected)
