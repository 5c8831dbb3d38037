"""Consistency of replicas: its p-value is uniform, and shifts are seen."""

import math

import numpy as np
import pytest
from scipy import stats

from genlat.estimators import autocorrelation

N_REPEATS = 400
SMALLEST = 5.7e-7  # probability of five standard errors


def _chains(r, shape, seed):
    """Stationary AR(1) of mean 0.3 and standard deviation 1.7; time is axis -1."""
    x = np.random.default_rng(seed).normal(size=shape)
    for t in range(1, shape[-1]):
        x[..., t] = r * x[..., t - 1] + math.sqrt(1 - r**2) * x[..., t]
    return 0.3 + 1.7 * x


def _p_values(chains):
    return np.array([autocorrelation.replica_consistency(x).p_value for x in chains])


@pytest.mark.parametrize(
    ("r", "n_chains", "n"),
    [(0.0, 8, 300), (0.6, 5, 400), (0.8, 12, 1000), (0.7, 2, 2000), (-0.6, 4, 500)],
)
def test_p_value_is_uniform_for_consistent_chains(r, n_chains, n):
    p_values = _p_values(_chains(r, (N_REPEATS, n_chains, n), seed=1))
    assert stats.kstest(p_values, "uniform").pvalue > SMALLEST


def test_uniformity_has_power():
    """Negative control: the naive error of each mean, which forgets τ_int = 2."""
    chains = _chains(0.6, (N_REPEATS, 5, 400), seed=1)
    means = chains.mean(axis=2)
    chi2 = 5 * means.var(axis=1) / (chains.var(axis=(1, 2)) / 400)
    assert stats.kstest(stats.chi2.sf(chi2, 4), "uniform").pvalue < SMALLEST


def test_chi2_is_the_scatter_over_the_error_of_one_chain():
    """Against the exact error of a chain's mean, at 100 chains of 700 τ_int."""
    chains = _chains(0.4, (100, 800), seed=2)
    t = np.arange(1, 800)
    variance = 1.7**2 * (1 + 2 * np.sum((1 - t / 800) * 0.4**t)) / 800
    chi2, p_value = autocorrelation.replica_consistency(chains)
    # Γ of 80 000 values with a window of about 6: 2 √(2 · 13 / 80 000)
    exact = 100 * chains.mean(axis=1).var() / variance
    assert chi2 == pytest.approx(exact, rel=5 * 0.018)
    assert p_value == pytest.approx(stats.chi2.sf(chi2, 99), rel=1e-9)


@pytest.mark.parametrize(("shift", "largest"), [(0.5, 1e-2), (3.0, 1e-12)])
def test_a_shifted_chain_is_seen(shift, largest):
    """A shift of 0.5 is 5 errors of a chain's mean; the overall error grows with a
    shift of 3, which must not hide it."""
    chains = _chains(0.4, (200, 6, 600), seed=3)
    chains[:, 2] += shift
    assert np.quantile(_p_values(chains), 0.8) < largest


def test_chains_that_never_move():
    same, apart = np.full((3, 10), 0.1), np.full((3, 10), 0.1)
    apart[1] = 0.2
    assert autocorrelation.replica_consistency(same) == (0.0, 1.0)
    assert autocorrelation.replica_consistency(apart) == (math.inf, 0.0)


@pytest.mark.parametrize("shape", [(2, 3), (3, 4), (5, 7)])
def test_a_handful_of_values_gives_a_probability(shape):
    for seed in range(100):
        values = np.random.default_rng(seed).normal(size=shape)
        values = np.sign(values) if seed % 2 else values
        chi2, p_value = autocorrelation.replica_consistency(values)
        assert chi2 >= 0
        assert 0 <= p_value <= 1


def test_bad_input_is_refused():
    for shape in ((1, 100), (4, 2)):
        with pytest.raises(ValueError, match="at least 2 chains of 3 values"):
            autocorrelation.replica_consistency(np.ones(shape))
    with pytest.raises(ValueError, match="NaN or infinite"):
        autocorrelation.replica_consistency(np.array([[0.0, 1, 2], [0, 1, np.nan]]))
