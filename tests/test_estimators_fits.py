"""Power laws: exact where the data are, and errors that are what they claim to be."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import optimize

from genlat.estimators import fits
from pulls_for_tests import Pulls, assert_caught, unchecked

X = np.array([6.0, 8, 10, 12, 14, 20])
EXPONENT, PREFACTOR = 1.73, 0.31
RELATIVE = np.array([0.03, 0.02, 0.05, 0.04, 0.02, 0.07])


def truth(x):
    return PREFACTOR * x**EXPONENT


def noisy(seed, stated=1.0):
    """Points whose errors are `stated` times the true ones."""
    noise = RELATIVE * np.random.default_rng(seed).standard_normal(X.size)
    y = truth(X) * np.exp(noise)
    return y, stated * RELATIVE * y


def fit_many(stated=1.0, n=400):
    with unchecked():
        return [fits.power_law(X, *noisy(seed, stated)) for seed in range(n)]


def test_exact_points_are_fitted_exactly():
    fit = fits.power_law(X, truth(X), RELATIVE * truth(X))
    assert fit.exponent.value == pytest.approx(EXPONENT, rel=1e-12)
    assert fit.at(1.0).value == pytest.approx(PREFACTOR, rel=1e-12)
    assert fit.at(33.0).value == pytest.approx(truth(33.0), rel=1e-12)
    assert fit.chi2 == pytest.approx(0, abs=1e-20)
    assert fit.p_value == pytest.approx(1)
    assert fit.scale == 1
    assert fit.scaled().exponent.error == fit.exponent.error


def test_agrees_with_least_squares_of_scipy():
    """Values, errors and the correlated error of an extrapolation."""
    y, error = noisy(7)
    fit = fits.power_law(X, y, error)
    best, covariance = optimize.curve_fit(
        lambda x, log_a, b: log_a + b * x,
        np.log(X),
        np.log(y),
        sigma=error / y,
        absolute_sigma=True,
    )
    assert fit.exponent.value == pytest.approx(best[1], rel=1e-6)
    assert fit.exponent.error == pytest.approx(math.sqrt(covariance[1, 1]), rel=1e-6)
    at = np.array([1, math.log(40.0)])
    assert fit.at(40.0).value == pytest.approx(math.exp(at @ best), rel=1e-6)
    relative = fit.at(40.0).error / fit.at(40.0).value
    assert relative == pytest.approx(math.sqrt(at @ covariance @ at), rel=1e-6)
    residual = (np.log(y) - best[0] - best[1] * np.log(X)) * y / error
    assert fit.chi2 == pytest.approx(residual @ residual, rel=1e-6)


def test_errors_and_p_values_are_calibrated():
    """Pulls of 400 repetitions have unit width; χ² has its distribution."""
    found = fit_many()
    Pulls([fit.exponent for fit in found], EXPONENT).assert_calibrated()
    # of the logarithm, which is what is Gaussian
    logs = [
        dataclasses.replace(
            at, value=math.log(at.value), error=at.error / at.value, bias=0.0
        )
        for at in (fit.at(40.0) for fit in found)
    ]
    Pulls(logs, math.log(truth(40.0))).assert_calibrated()
    p_values = np.array([fit.p_value for fit in found])
    assert abs(p_values.mean() - 0.5) < 5 / math.sqrt(12 * p_values.size)
    assert np.mean(p_values < 0.1) == pytest.approx(0.1, abs=5 * math.sqrt(0.09 / 400))


def test_errors_stated_too_small_are_noticed():
    """The negative control; and what the scale factor makes of them."""
    found = fit_many(stated=0.4)
    assert_caught(Pulls([fit.exponent for fit in found], EXPONENT))
    assert np.median([fit.p_value for fit in found]) < 0.01
    with unchecked():
        scaled = [fit.scaled().exponent for fit in found]
    off = np.array([estimate.value for estimate in scaled]) - EXPONENT
    mean_square = np.mean([estimate.error**2 for estimate in scaled])
    assert off.std() / math.sqrt(mean_square) == pytest.approx(1, abs=0.2)
    assert "errors times" in scaled[0].method


@pytest.mark.parametrize(
    ("x", "y", "error", "match"),
    [
        ([1, 2], [1, 2], [0.1, 0.1], "needs 3 points, got 2"),
        ([0, 1, 2], [1, 1, 1], [0.1] * 3, "x must be positive and finite"),
        ([1, 2, 3], [1, -1, 1], [0.1] * 3, "y must be positive and finite"),
        ([1, 2, 3], [1, math.nan, 1], [0.1] * 3, "y must be positive and finite"),
        ([1, 2, 3], [1, 1, 1], [0.1, 0, 0.1], "error must be positive and finite"),
        ([1, 2, 3], [1, 1, 1], [0.1, 0.5, 0.1], r"at most 0\.3 of their values"),
        ([2, 2, 2], [1, 1, 1], [0.1] * 3, "two different x"),
    ],
)
def test_invalid_points_are_refused(x, y, error, match):
    with pytest.raises(ValueError, match=match):
        fits.power_law(*map(np.asarray, (x, y, error)))


def test_extrapolation_to_nowhere_is_refused():
    fit = fits.power_law(X, truth(X), RELATIVE * truth(X))
    with pytest.raises(ValueError, match=r"x must be positive, got 0\.0"):
        fit.at(0.0)
