"""The number of integration steps: the shift of ln Z, its error, and when to stop."""

import math

import numpy as np
import pytest

from genlat.verdict import integrator


def log_weights(n=20_000, seed=0):
    generator = np.random.default_rng(seed)
    return 3.0 + 0.2 * generator.normal(size=n), generator.normal(size=n)


def test_a_constant_shift_is_found_without_error():
    log_w, _ = log_weights()
    choice = integrator.compare(log_w, log_w + 0.125, steps=6, n_samples=10**6)
    assert choice.shift_log_z == pytest.approx(0.125, rel=1e-12)
    assert choice.shift_error == pytest.approx(0.0, abs=1e-15)
    # of ln Z from 10⁶ samples of log-normal weights: √((e^{σ²} - 1)/N)
    expected = math.sqrt(math.expm1(0.2**2) / 10**6)
    assert choice.statistical_error == pytest.approx(expected, rel=0.05)


def test_the_error_of_a_noisy_shift_is_calibrated():
    pulls = []
    for seed in range(200):
        log_w, noise = log_weights(n=500, seed=seed)
        fine = log_w + 0.01 * noise
        choice = integrator.compare(log_w, fine, steps=6, n_samples=10**6)
        # E exp(0.01 ξ) = exp(0.01²/2) is the shift to be found
        pulls.append((choice.shift_log_z - 0.01**2 / 2) / choice.shift_error)
    assert np.std(pulls) == pytest.approx(1.0, abs=5 / math.sqrt(2 * 199))


def test_weights_that_are_not_finite_have_no_shift():
    log_w, _ = log_weights(100)
    broken = np.where(np.arange(100) == 3, np.nan, log_w)
    assert math.isnan(integrator.compare(broken, log_w, 6, 100).shift_log_z)


class FourthOrder:
    """Log-weights with an error of the order of Runge-Kutta, and rounding noise."""

    def __init__(self, rounding=0.0):
        self.asked = []
        self.rounding = rounding
        self.log_w, self.noise = log_weights(4096)

    def __call__(self, steps):
        self.asked.append(steps)
        rounding = np.random.default_rng(steps).normal(size=self.log_w.size)
        error = (5.0 + self.noise) * float(steps) ** -4
        return self.log_w + error + self.rounding * rounding


def test_steps_grow_until_the_shift_is_far_below_the_error():
    pilot = FourthOrder()
    choice = integrator.choose(pilot, 6, 10_000)
    assert abs(choice.shift_log_z) <= 0.1 * choice.statistical_error
    # 5 (n⁻⁴ - (2n)⁻⁴) is a tenth of the error, 2.0e-4, at n = 12.4; a tenth to spare
    assert choice.steps == 14
    assert pilot.asked == [6, 12, 14, 28]


def test_rounding_noise_ends_the_search():
    pilot = FourthOrder(rounding=0.1)
    integrator.choose(pilot, 6, 10_000)
    assert len(pilot.asked) == 4


@pytest.mark.parametrize(
    ("shift", "expected"),
    [(1.01e-3, 8), (1e-1, 21), (1e9, 24)],
)
def test_next_steps(shift, expected):
    """From 6 steps, for a tenth of an error of 1e-2: between 5/4 and 4 times."""
    choice = integrator.Choice(6, shift, 0.0, 1e-2)
    assert integrator.next_steps(choice) == expected


def test_a_flow_that_blew_up_asks_for_the_most_steps():
    choice = integrator.Choice(6, math.nan, math.nan, 0.0)
    assert choice.excess == math.inf
    assert integrator.next_steps(choice) == 24
    assert integrator.next_steps(choice._replace(steps=80)) == integrator.MOST_STEPS
