"""What draws may have missed: against what happens when they are drawn."""

import math

import numpy as np
import pytest

from genlat.estimators.support import missed

RNG = np.random.default_rng(91)


def thinned(mass, expected, n, m=40_000):
    """ln p/q on samples of p: `mass` of p where `expected` of n draws are."""
    inside = RNG.random(m) < mass
    rest = math.log((1 - mass) / (1 - expected / n))
    return np.where(inside, math.log(mass * n / expected), rest)


def test_a_thin_region_is_found():
    n = 100_000
    found = missed(thinned(0.01, 0.5, n), n)
    assert found.mass == pytest.approx(0.01, rel=0.3)
    assert found.expected == pytest.approx(0.5, rel=0.3)
    assert found.shift == pytest.approx(0.01 * math.exp(-0.25), rel=0.3)


def test_one_that_is_met_is_no_threat():
    n = 100_000
    error = 0.01 / math.sqrt(60)  # of ln Z, from as many draws
    assert missed(thinned(0.01, 60.0, n), n).shift < error / 5


def test_the_shift_is_that_of_draws_that_miss_it():
    """ln Ẑ of draws of q that by chance have none there, against `shift`."""
    mass, expected, n = 0.02, 1.0, 1000
    q = expected / n
    hits = RNG.binomial(n, q, size=40_000)
    log_z = np.log((n - hits) / n * (1 - mass) / (1 - q) + hits / n * mass / q)
    square = np.mean(np.where(hits == 0, log_z, 0.0) ** 2)
    found = missed(thinned(mass, expected, n, 400_000), n)
    assert math.sqrt(square) == pytest.approx(found.shift, rel=0.1)


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0, 1.5])
def test_lognormal_weights_are_no_threat(sigma):
    """What is missed of them is far below their error at any ESS."""
    n = 100_000
    log_ratio = sigma * RNG.normal(size=8192) + sigma**2 / 2
    error = math.sqrt(math.expm1(sigma**2) / n)
    assert missed(log_ratio, n).shift < error / 2


def test_an_exact_model_misses_nothing():
    assert missed(np.zeros(100), 1000) == (0.0, 0.0, 0.0)
    assert missed(np.full((4, 25), -0.1), 1000).shift == 0


def test_what_q_excludes_is_missed_for_certain():
    found = missed(np.array([0.0, 0.0, 0.0, math.inf]), 1000)
    assert found == (pytest.approx(0.25), pytest.approx(0.25), 0.0)
    far = missed(np.array([0.0, 0.0, 0.0, 2000.0]), 1000)
    assert far.shift == pytest.approx(0.25)
    near = missed(np.array([0.0, 0.0, -2000.0]), 10)
    assert near.shift < 1e-3
    with pytest.raises(ValueError, match="number"):
        missed(np.array([0.0, np.nan]), 10)
