"""The number of integration steps: the shift of ln Z, its error, and when to stop."""

import math

import numpy as np
import pytest

from genlat.runs import integrator
from genlat.runs.sections import EstimateSection, Phi4Section, RunConfig


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


class FakeJob:
    """All that `choose` looks at."""

    def __init__(self, n_steps=None):
        theory = Phi4Section(name="phi4", shape=(4,), kappa=0.1, lam=0.1)
        estimate = EstimateSection(samples=10_000, n_steps=n_steps)
        self.config = RunConfig(seed=1, theory=theory, estimate=estimate)


class FakeModel:
    n_steps = 6


@pytest.fixture
def fourth_order(monkeypatch):
    """Log-weights with an error of the order of Runge-Kutta, and rounding noise."""
    asked = []
    log_w, noise = log_weights(4096)

    def measured(job, model, steps):
        asked.append(steps)
        rounding = fourth_order_noise[0] * np.random.default_rng(steps).normal(
            size=log_w.size
        )
        return log_w + (5.0 + noise) * steps**-4.0 + rounding

    fourth_order_noise = [0.0]
    monkeypatch.setattr(integrator, "_log_w", measured)
    # the fakes are not of the declared types: take the type check off
    choose = getattr(integrator.choose, "__wrapped__", integrator.choose)
    return choose, asked, fourth_order_noise


def test_steps_double_until_the_shift_is_far_below_the_error(fourth_order):
    choose, asked, _ = fourth_order
    choice = choose(FakeJob(), FakeModel())
    assert abs(choice.shift_log_z) <= 0.1 * choice.statistical_error
    # at 12 steps it is 5 (12⁻⁴ - 24⁻⁴) = 2.3e-4, the tenth of the error 2.0e-4
    assert choice.steps == 24
    assert asked == [6, 12, 24, 48]


def test_a_given_number_is_taken_and_measured(fourth_order):
    choose, asked, _ = fourth_order
    choice = choose(FakeJob(n_steps=3), FakeModel())
    assert choice.steps == 3
    assert abs(choice.shift_log_z) > choice.statistical_error
    assert asked == [3, 6]


def test_rounding_noise_ends_the_search(fourth_order):
    choose, asked, noise = fourth_order
    noise[0] = 0.1
    choose(FakeJob(), FakeModel())
    assert asked == [6, 12, 24]
