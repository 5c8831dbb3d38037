"""Drift and memory of chains: their probabilities are uniform, and lies are seen."""

import numpy as np
import pytest
from scipy import stats

from genlat.estimators import stationarity
from targets_for_tests import ar1

REPEATS = 400
LEVELS = (0.1, 0.01)

# chains, length, memory, and what is observed: Gaussian, skew, rare
SHAPES = [(64, 128, 0.9), (16, 300, 0.8), (8, 400, 0.5), (3, 2000, 0.5), (2, 4000, 0.8)]
OBSERVED = {
    "gaussian": lambda x: x,
    "skew": lambda x: np.exp(1.5 * x),
    "rare": lambda x: (x > 2).astype(float),
}


@pytest.mark.parametrize("observed", OBSERVED)
@pytest.mark.parametrize("shape", SHAPES)
def test_probabilities_are_those_of_a_right_run(shape, observed):
    """At most as often below a level as it says; memory just as often."""
    n_chains, n, r = shape
    rng = np.random.default_rng(71)
    chains = OBSERVED[observed](ar1(rng, r, (REPEATS, n_chains, n)))
    drift = np.array([stationarity.drift(x) for x in chains])
    memory = np.array([stationarity.memory(x) for x in chains])
    for level in LEVELS:
        tolerance = 5 * np.sqrt(level * (1 - level) / REPEATS)
        assert np.mean(drift < level) < level + tolerance
        assert np.mean(memory < level) == pytest.approx(level, abs=tolerance)
    # several questions about the same chains: not far from their number either
    assert np.mean(drift < 0.5) > 0.1


@pytest.mark.parametrize("shape", [(64, 90, 0.3), (400, 30, 0.0), (3, 3000, 0.5)])
def test_a_start_that_is_not_forgotten_is_seen(shape):
    """Although it moves the mean by no more than three of its errors."""
    n_chains, n, r = shape
    rng = np.random.default_rng(72)
    time = np.arange(n)
    for length in (2, n / 20):
        decay = np.exp(-time / length)
        error = np.sqrt((1 + r) / (1 - r) / (n_chains * n))
        bias = 3 * error / np.mean(decay)
        seen = [
            stationarity.drift(ar1(rng, r, (n_chains, n)) + bias * decay)
            for _ in range(20)
        ]
        assert np.median(seen) < 0.05


def test_a_drift_through_the_whole_run_is_seen():
    rng = np.random.default_rng(73)
    x = ar1(rng, 0.5, (64, 200))
    slope = np.linspace(-0.5, 0.5, 200)
    assert stationarity.drift(x + 0.3 * slope) < 1e-6
    assert stationarity.drift(x) > 1e-3


@pytest.mark.parametrize("n_chains", [4, 64])
def test_chains_stuck_in_different_places_are_seen(n_chains):
    rng = np.random.default_rng(74)
    x = ar1(rng, 0.3, (n_chains, 400))
    place = np.where(np.arange(n_chains) % 2, -1.0, 1.0)[:, None]
    assert stationarity.memory(x + 0.5 * place) < 1e-6
    assert stationarity.memory(x) > 1e-3
    # where all of them are: the same mean, and no drift
    assert stationarity.drift(x + 0.5 * place) > 1e-3


def test_a_slow_mode_behind_fast_noise_is_seen():
    """Visited by one chain in ten for as long as it is: the rest is noise."""
    rng = np.random.default_rng(75)
    noise = ar1(rng, 0.0, (64, 128))
    chains = np.where(rng.random((64, 1)) < 0.1, 5.0, 0.0)
    assert stationarity.memory(noise + chains) < 1e-3


def test_what_cannot_be_told_is_not():
    rng = np.random.default_rng(76)
    assert stationarity.drift(np.ones((20, 50))) is None
    assert stationarity.memory(np.ones((20, 50))) == 1.0
    apart = np.repeat(rng.normal(size=(12, 1)), 40, axis=1)
    assert stationarity.memory(apart) == 0.0
    # few chains, and too short for a scatter of their own
    short = ar1(rng, 0.99, (2, 400))
    assert stationarity.drift(short) is None
    assert stationarity.memory(short) is None
    assert stationarity.memory(rng.normal(size=(1, 500))) is None
    assert stationarity.drift(rng.normal(size=(1, 500))) is not None
    with pytest.raises(ValueError, match="NaN"):
        stationarity.drift(np.full((20, 50), np.nan))
    with pytest.raises(ValueError, match="NaN"):
        stationarity.memory(np.where(np.arange(50) == 3, np.nan, rng.random((20, 50))))


def test_chains_that_forget_nothing_seem_to_as_often_as_two_deviations_are_passed():
    """Of independent values no third is nearer to the first: 2.3 % by chance."""
    rng = np.random.default_rng(8)
    n, expected = 3000, stats.norm.sf(2.0)
    seen = sum(stationarity.fades(rng.normal(size=(64, 9))) for _ in range(n))
    assert abs(seen - n * expected) < 4 * np.sqrt(n * expected)


@pytest.mark.parametrize("alike", range(3))
def test_a_third_of_one_value_says_nothing_of_forgetting(alike, recwarn):
    values = np.random.default_rng(9).normal(size=(64, 9))
    values[:, 3 * alike : 3 * alike + 3] = 0.0
    assert not stationarity.fades(values)
    assert not recwarn.list
