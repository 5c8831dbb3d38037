"""Bias and variance against N, where both are known: closed forms and enumeration.

Gamma weights: the mean of N of them is gamma again, so that bias and variance of its
logarithm are digamma and trigamma functions. Weights and values on three points: a sum
over all outcomes of N draws.
"""

import dataclasses
import math

import numpy as np
import pytest
from scipy import special

from genlat.estimators import delta_method, scaling, weights

SHAPE = 0.4  # of the gamma weights: skewness 3.2
POINTS = np.array([0.3, 1.1, 2.7])
VALUES = np.array([0.4, -1.3, 2.1])
COUNTS = np.array([5, 3, 2])  # of ten draws
N_REPEATS = 300


def _gamma(n, seed):
    return np.log(np.random.default_rng(seed).gamma(SHAPE, size=n)) - 1.2e4


def _three_points(n, seed):
    index = np.random.default_rng(seed).choice(3, n, p=COUNTS / 10)
    return np.log(POINTS[index]) + 37.0, VALUES[index]


def _enumerated(n, name):
    """Exact bias and variance at n draws of the three points."""
    counts = np.array(
        [(i, j, n - i - j) for i in range(n + 1) for j in range(n + 1 - i)]
    )
    log_p = special.gammaln(n + 1) - np.sum(special.gammaln(counts + 1), axis=1)
    p = np.exp(log_p + counts @ np.log(COUNTS / 10))
    mean_w, mean_wo = counts @ POINTS / n, counts @ (POINTS * VALUES) / n
    z, zo = COUNTS @ POINTS / 10, COUNTS @ (POINTS * VALUES) / 10
    off = np.log(mean_w / z) if name == "log_z" else mean_wo / mean_w - zo / z
    bias = p @ off
    return bias, p @ (off - bias) ** 2


def _orders(name):
    """Bias and variance coefficients from a pool with the exact proportions."""
    w, values = np.repeat(POINTS, COUNTS), np.repeat(VALUES, COUNTS)
    u = w / w.mean()
    moments = delta_method.Moments(u * (values - np.mean(u * values)), u - 1)
    if name == "log_z":
        return delta_method.of_log_z(moments)
    return delta_method.of_reweighted_mean(moments)


@pytest.mark.parametrize("name", ["log_z", "mean"])
@pytest.mark.parametrize("which", [0, 1])
def test_every_coefficient_is_exact(name, which):
    """What three orders leave over falls as N⁻⁴; with any of them wrong it does not."""
    orders = _orders(name)[which]

    def remainder(n, first=1.0, second=1.0, third=1.0):
        expected = (
            first * orders.first.coefficient / n
            + second * orders.second.coefficient / n**2
            + third * orders.third / n**3
        )
        return _enumerated(n, name)[which] - expected

    assert remainder(80) / remainder(40) == pytest.approx(1 / 16, rel=0.15)
    for wrong in ({"first": 1.01}, {"second": 0.9}, {"third": 0.5}):
        ratio = remainder(80, **wrong) / remainder(40, **wrong)
        assert ratio != pytest.approx(1 / 16, rel=0.15)


def test_gamma_weights_have_the_exact_bias_and_variance():
    found = scaling.log_z(_gamma(400_000, 1))
    k = found.sizes * SHAPE
    for comparison, exact in (
        (found.bias, special.digamma(k) - np.log(k)),
        (found.variance, special.polygamma(1, k)),
    ):
        assert np.all(np.abs(comparison.measured - exact) < 5 * comparison.error)
        vague = 3 * np.sqrt(2 / found.groups) * np.abs(exact)
        assert np.all(comparison.error < vague)
        tolerance = 5 * comparison.expected_error + comparison.truncation
        assert np.all(np.abs(comparison.expected - exact) < tolerance)
        assert np.all(comparison.expected_error < 0.02 * np.abs(exact))
        # the leading order alone is not enough at N = 10
        assert abs(comparison.leading[0] - exact[0]) > 5 * comparison.leading_error[0]
        assert np.all(np.abs(comparison.pull) < 5)


def test_leading_order_of_log_normal_weights():
    spread = 0.4
    log_w = spread * np.random.default_rng(2).normal(size=200_000) + 80
    found = scaling.log_z(log_w)
    variance = math.expm1(spread**2) / found.sizes
    for comparison, exact in ((found.bias, -variance / 2), (found.variance, variance)):
        pulls = (comparison.leading - exact) / comparison.leading_error
        assert np.all(np.abs(pulls) < 5)
        assert np.all(comparison.leading_error < 0.02 * np.abs(exact))
    n = found.sizes[-1]  # the same as the error and the bias of `weights.log_z`
    estimate = weights.log_z(log_w)
    assert found.bias.leading[-1] * n == pytest.approx(estimate.bias * log_w.size)
    error2 = found.variance.leading[-1] * n / (log_w.size - 1)
    assert error2 == pytest.approx(estimate.error**2)


def test_reweighted_mean_has_the_exact_bias_and_variance():
    found = scaling.reweighted_mean(*_three_points(400_000, 3))
    n = 4
    assert found.sizes[:n].tolist() == [10, 20, 50, 100]
    exact = np.array([_enumerated(size, "mean") for size in found.sizes[:n]]).T
    for comparison, known in zip((found.bias, found.variance), exact, strict=True):
        miss = np.abs(comparison.measured[:n] - known)
        assert np.all(miss < 5 * comparison.error[:n])
        assert np.all(comparison.error[:n] < 0.2 * np.abs(known))
        tolerance = 5 * comparison.expected_error + comparison.truncation
        # at N = 10 the order 1/N⁴ of the variance is larger than 1/N³, by chance small
        assert np.all(np.abs(comparison.expected[:n] - known)[1:] < tolerance[1:n])
    log_w, values = _three_points(5000, 4)
    estimate = weights.reweighted_mean(log_w, values)
    few = scaling.reweighted_mean(log_w, values)
    assert few.bias.leading[0] * 10 == pytest.approx(estimate.bias * 5000)


def _repeated(study):
    """bias, variance -> (pulls, measured, error, expected, expected_error) by seed."""
    found = [study(seed) for seed in range(N_REPEATS)]
    return {
        name: {
            field: np.array([getattr(getattr(one, name), field) for one in found])
            for field in ("pull", "measured", "error", "expected", "expected_error")
        }
        for name in ("bias", "variance")
    }


def _log_z(seed):
    return scaling.log_z(_gamma(4000, 100 + seed))


def _peaked(seed):
    """Equal weights but for a few: measured and expected hang on the same draws."""
    random = np.random.default_rng(200 + seed)
    spread = np.where(random.random(4000) < 0.03, 0.3, 0.02)
    return scaling.log_z(spread * random.normal(size=4000))


def _mean(seed):
    return scaling.reweighted_mean(*_three_points(4000, 100 + seed))


def _assert_calibrated(pulls):
    """Unit width and no offset, to five standard errors, where groups are many.

    The skewness of a scatter of 80 groups, whose errors know it, offsets by a tenth.
    """
    for at_n in pulls.T:
        assert abs(at_n.mean()) < 5 / math.sqrt(at_n.size) + 0.1
        assert at_n.std() == pytest.approx(1, abs=5 / math.sqrt(2 * at_n.size))


@pytest.mark.parametrize(("study", "smallest"), [(_log_z, 0), (_peaked, 0), (_mean, 1)])
def test_pulls_and_errors_are_calibrated(study, smallest):
    for found in _repeated(study).values():
        found = {field: values[:, smallest:3] for field, values in found.items()}
        _assert_calibrated(found["pull"])
        for value, error in (("measured", "error"), ("expected", "expected_error")):
            ratios = found[value].std(axis=0) / found[error].mean(axis=0)
            assert ratios == pytest.approx(1, abs=5 / math.sqrt(2 * N_REPEATS))


def test_measured_is_the_scatter_of_the_groups():
    """Against a loop over groups, and the unbiased estimate of all draws."""
    log_w, values = _three_points(229, 12)
    for found, estimate in (
        (scaling.log_z(log_w), lambda s: weights.log_z(log_w[s])),
        (
            scaling.reweighted_mean(log_w, values),
            lambda s: weights.reweighted_mean(log_w[s], values[s]),
        ),
    ):
        groups = [estimate(slice(k, k + 10)).value for k in range(0, 220, 10)]
        pool = estimate(slice(220))
        assert found.groups.tolist() == [22]
        bias = np.mean(groups) - (pool.value - pool.bias)
        assert found.bias.measured[0] == pytest.approx(bias, rel=1e-3)  # of its bias
        variance = np.var(groups, ddof=1)
        assert found.variance.measured[0] == pytest.approx(variance, rel=1e-9)


def _spoiled(name, factor):
    """The delta method with a wrong factor on one coefficient of the bias."""
    right = delta_method.of_log_z

    def wrong(moments):
        bias, variance = right(moments)
        order = getattr(bias, name)
        spoiled = order._replace(coefficient=factor * order.coefficient)
        return bias._replace(**{name: spoiled}), variance

    return wrong


@pytest.mark.parametrize(
    ("name", "factor"), [("first", -1.0), ("first", 2.0), ("second", -30.0)]
)
def test_a_wrong_prediction_is_rejected(monkeypatch, name, factor):
    monkeypatch.setattr(delta_method, "of_log_z", _spoiled(name, factor))
    found = _repeated(_log_z)
    _assert_calibrated(found["variance"]["pull"][:, :3])
    with pytest.raises(AssertionError):
        _assert_calibrated(found["bias"]["pull"][:, :3])


def test_one_study_rejects_a_wrong_sign(monkeypatch):
    monkeypatch.setattr(delta_method, "of_log_z", _spoiled("first", -1.0))
    assert np.max(np.abs(scaling.log_z(_gamma(20_000, 5)).bias.pull)) > 10


def test_dependent_draws_are_rejected():
    """Each draw four times: groups scatter twice as much as the weights tell."""
    log_w = np.repeat(_gamma(10_000, 6), 4)
    assert np.max(np.abs(scaling.log_z(log_w).variance.pull)) > 8


def test_density_is_ln_z_over_minus_v():
    found = scaling.log_z(_gamma(3000, 7))
    density = scaling.free_energy_density(found, 24)
    for one, other, factor in (
        (found.bias, density.bias, -1 / 24),
        (found.variance, density.variance, 1 / 24**2),
    ):
        for field in dataclasses.fields(one):
            by = factor
            if field.name == "is_converged":
                by = True
            elif field.name == "pull":
                by = math.copysign(1, factor)
            elif field.name.endswith("error") or field.name == "truncation":
                by = abs(factor)
            expected = by * getattr(one, field.name)
            np.testing.assert_allclose(getattr(other, field.name), expected)
    assert np.all(density.bias.expected > 0)  # F is too high, ln Z too low


def test_small_groups_of_broad_weights_are_not_predicted():
    """N against 1/K + 1/(2K²) + 1/(6K³), K = 0.05 N: the orders pass a half at 20."""
    log_w = np.log(np.random.default_rng(13).gamma(0.05, size=400_000))
    found = scaling.log_z(log_w)
    assert found.sizes[:4].tolist() == [10, 20, 50, 100]
    assert not np.any(found.variance.is_converged[:1])
    assert np.all(found.variance.is_converged[2:])
    assert np.all(np.abs(found.variance.pull[2:]) < 5)
    assert np.all(scaling.log_z(_gamma(4000, 14)).bias.is_converged)


def test_equal_weights_have_neither():
    found = scaling.log_z(np.full(1000, 1.3e4))
    for comparison in (found.bias, found.variance):
        assert np.all(np.abs(comparison.measured) < 1e-15)
        assert np.all(comparison.pull == 0)
        assert np.all(comparison.is_converged)


def test_sizes_and_what_is_left_over():
    assert scaling.group_sizes(4000) == [10, 20, 50, 100, 200]
    assert scaling.group_sizes(3999)[-1] == 100
    found = scaling.log_z(_gamma(2017, 8))
    assert found.sizes.tolist() == [10, 20, 50, 100]
    assert found.groups.tolist() == [201, 100, 40, 20]
    with pytest.raises(ValueError, match="20 groups of 10 draws need 200, got 199"):
        scaling.log_z(_gamma(199, 8))


def test_broken_and_empty_groups_are_refused():
    log_w = _gamma(1000, 9)
    log_w[20:30] = -math.inf
    for study in (
        scaling.log_z,
        lambda log_w: scaling.reweighted_mean(log_w, np.ones_like(log_w)),
    ):
        with pytest.raises(ValueError, match="group of 10 draws has weights of zero"):
            study(log_w)
    log_w[24] = 0.0
    scaling.log_z(log_w)
    log_w[24] = math.nan
    with pytest.raises(ValueError, match="NaN"):
        scaling.log_z(log_w)
    with pytest.raises(ValueError, match="NaN"):
        scaling.repetitions(log_w)


def test_repetitions_agree_as_often_as_they_should():
    """p is uniform: mean ½, a tenth of it below 0.1, at 5 of 300 standard errors."""
    found = [scaling.repetitions(_gamma(2700, seed)) for seed in range(N_REPEATS)]
    p = np.array([one.p_value for one in found])
    n = p.size
    assert p.mean() == pytest.approx(0.5, abs=5 / math.sqrt(12 * n))
    assert np.mean(p < 0.1) == pytest.approx(0.1, abs=5 * math.sqrt(0.09 / n))
    exact = math.log(SHAPE) - 1.2e4
    pulls = np.array([(one.mean - exact) / one.error for one in found])
    assert pulls.std() == pytest.approx(1, abs=5 / math.sqrt(2 * n))


def test_repetitions_are_parts():
    log_w = _gamma(2003, 10)
    found = scaling.repetitions(log_w, 5)
    assert found.n == 400
    second = weights.log_z(log_w[400:800])
    assert (found.values[1], found.errors[1]) == (second.value, second.error)
    assert found.mean == pytest.approx(np.mean(found.values))
    with pytest.raises(ValueError, match="at least 2 repetitions"):
        scaling.repetitions(log_w, 1)


def test_repetitions_that_drift_do_not_agree():
    log_w = _gamma(2700, 11)
    assert scaling.repetitions(log_w + np.linspace(0, 1, 2700)).p_value < 1e-4
    assert scaling.repetitions(np.sort(log_w)).p_value < 1e-4
