"""How well errors are known: degrees of freedom, skewness, and the marks they make."""

import math

import numpy as np
import pytest
from scipy import stats

from genlat.estimators import quantity, spread, weights
from genlat.estimators.spread import Spread

RNG = np.random.default_rng(81)


def test_of_known_laws():
    x = RNG.normal(size=200_000)
    found = spread.of_independent(x - x.mean())
    assert found.error == pytest.approx(1 / math.sqrt(x.size), rel=0.01)
    # D = 3/n and 2/(D - 1/n) = n
    assert found.freedom == pytest.approx(x.size, rel=0.05)
    assert found.concentration * x.size == pytest.approx(3, rel=0.05)
    assert abs(found.skewness) * math.sqrt(x.size) < 0.05
    y = RNG.exponential(size=200_000) - 1
    # skewness 2, kurtosis 9
    found = spread.of_independent(y)
    assert found.skewness * math.sqrt(y.size) == pytest.approx(2, rel=0.05)
    assert found.concentration * y.size == pytest.approx(9, rel=0.1)
    assert spread.of_independent(np.zeros(7)) == spread.NONE


@pytest.mark.parametrize("scale", [1e-160, 1.0, 1e160])
def test_shape_knows_no_scale(scale):
    x = np.array([3.0, -1.0, -2.0]) * scale
    d, g = spread.shape(x)
    assert d == pytest.approx(98 / 14**2)
    assert g == pytest.approx(18 / 14**1.5)
    assert spread.shape(-x)[1] == pytest.approx(-g)


def test_sums_of_parts():
    """Against the same draws taken together: half each of two ensembles."""
    x, y = RNG.exponential(size=(2, 50)) - 1
    both = spread.total([spread.of_independent(x), spread.of_independent(y)])
    joined = spread.shape(np.concatenate([x, y]))
    assert both.concentration == pytest.approx(joined[0], rel=1e-12)
    assert both.skewness == pytest.approx(joined[1], rel=1e-12)
    equal = spread.total([Spread(1.0, 10.0, 0.1, 0.1)] * 2)
    assert equal.freedom == pytest.approx(20)
    assert equal.skewness == pytest.approx(0.1 / math.sqrt(2))
    assert spread.total([]) == spread.NONE


@pytest.mark.parametrize(("g", "d"), [(0.0, 0.11), (0.23, 0.06), (-0.23, 0.06)])
def test_marks(g, d):
    assert "rests on" in spread.caution(Spread(1.0, 30.0, d, g))
    assert spread.caution(Spread(1.0, 30.0, 0.9 * d - 0.01, 0.9 * g)) == ""


def test_one_draw_that_carries_the_error_marks_it():
    log_w = 0.1 * RNG.normal(size=2000)
    fine = weights.log_z(log_w)
    assert fine.caution == ""
    assert fine.freedom > 500
    log_w[3] = 5.0
    found = weights.log_z(log_w)
    assert "rests on 1 draws" in found.caution
    assert found.freedom < 3
    assert found.skewness > 0.9
    assert found.to_json()["caution"] == found.caution
    values = RNG.normal(size=(2000, 2))
    assert weights.reweighted_mean(log_w, values).caution != ""
    assert weights.ess_estimate(log_w).caution != ""


def test_of_chains_as_many_draws_as_are_correlated_count_as_one():
    x = np.repeat(RNG.exponential(size=(20, 50)), 10, axis=1)
    slow = quantity.mean(x, "p").estimate("")
    fast = quantity.mean(x[:, ::10], "p").estimate("")
    assert slow.skewness == pytest.approx(fast.skewness, rel=0.15)
    assert slow.n_eff == pytest.approx(fast.n_eff, rel=0.3)


@pytest.mark.parametrize("size", [30, 100, 400])
def test_predicted_coverage_is_found(size):
    """Hall's expansion: log-normal means lose what skewness and concentration say."""
    x = np.exp(RNG.normal(size=(20_000, size)) * 0.6)
    off = x - x.mean(axis=1, keepdims=True)
    error = np.sqrt(np.sum(off**2, axis=1) / (size * (size - 1)))
    pulls = (x.mean(axis=1) - math.exp(0.18)) / error
    lost = 0.95 - np.mean(np.abs(pulls) < 1.96)
    s2 = math.exp(0.36)
    g2 = (s2 + 2) ** 2 * (s2 - 1) / size
    d = (s2**4 + 2 * s2**3 + 3 * s2**2 - 3) / size
    # a normal quantile for a t of `size` degrees of freedom, on top
    lost -= 0.95 - (2 * stats.t(size - 1).cdf(1.96) - 1)
    tolerance = 5 * math.sqrt(0.05 * 0.95 / 20_000) + 0.2 * 0.247 * g2
    assert lost == pytest.approx(0.247 * g2 - 0.016 * d, abs=tolerance)
