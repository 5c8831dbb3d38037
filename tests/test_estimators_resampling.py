"""Jackknife and bootstrap: exact where they must be, and right on average."""

import math

import numpy as np
import pytest

from genlat.estimators import resampling

RNG = np.random.default_rng(3)


def log(means):
    return np.log(means[:, 0])


def test_of_a_mean_both_are_the_standard_error():
    means = RNG.normal(size=(40, 1))
    expected = means.std(ddof=1) / math.sqrt(40)
    jackknife = resampling.jackknife(means, lambda m: m[:, 0])
    assert jackknife.error == pytest.approx(expected, rel=1e-12)
    assert jackknife.bias == pytest.approx(0, abs=1e-14)
    boot = resampling.bootstrap(
        means, lambda m: m[:, 0], np.random.default_rng(1), n_resamples=20_000
    )
    # the spread of 20000 replicas is known to 1/√40000
    assert boot.error == pytest.approx(expected, rel=5 / math.sqrt(40_000))


def test_bias_and_error_of_a_logarithm():
    """Against 4000 repetitions of ln of the mean of 30 exponential numbers."""
    samples = RNG.exponential(size=(4000, 30, 1))
    truth = log(samples.mean(axis=1))
    found = [resampling.jackknife(x, log) for x in samples]
    assert abs(np.mean([x.value for x in found]) - truth.mean()) < 1e-12
    error = truth.std() / math.sqrt(4000)
    bias = np.mean([x.bias for x in found])
    assert abs(truth.mean() - bias) < 5 * error  # ln 1 = 0
    assert abs(bias) > 5 * error
    width = np.mean([x.error for x in found]) / truth.std()
    assert width == pytest.approx(1, abs=0.08)
    rng = np.random.default_rng(2)
    boots = [resampling.bootstrap(x, log, rng, n_resamples=200) for x in samples[:400]]
    assert np.mean([x.error for x in boots]) / truth.std() == pytest.approx(1, abs=0.08)


def test_groups_are_slices_of_draws_and_whole_chains():
    draws = np.arange(1030.0)
    means = resampling.groups(draws)
    assert means.shape == (100,)
    assert means[0] == pytest.approx(4.5)
    chains = RNG.normal(size=(12, 7))
    np.testing.assert_allclose(resampling.groups(chains), chains.mean(axis=1))
    with pytest.raises(ValueError, match="needs 10 groups"):
        resampling.groups(chains[:9])


def test_jackknife_without_its_factor_would_fail():
    """Negative control: the factor (G - 1)/G is not a detail."""
    means = RNG.normal(size=(40, 1))
    left_out = (40 * means.mean() - means) / 39
    wrong = float(np.std(left_out) / math.sqrt(40))
    assert resampling.jackknife(means, lambda m: m[:, 0]).error > 20 * wrong
