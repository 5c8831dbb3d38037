"""Importance sampling against a Gaussian target and proposal, where all is known.

Target e^{-S} with S = OFFSET + (x - MU)²/2, proposal N(0, SIGMA²): Z, ESS, KL and the
moments are closed forms, and OFFSET puts the log-weights near 10⁴.
"""

import math

import numpy as np
import pytest
from scipy import stats

from genlat.estimators import tails, weights

MU, SIGMA, OFFSET = 0.6, 1.3, -1.1e4
LOG_Z = -OFFSET + 0.5 * math.log(2 * math.pi)
KL = 0.5 * (SIGMA**2 + MU**2 - 1 - math.log(SIGMA**2))
VOLUME = 7
N_REPEATS = 1000
NAMES = ["log_z", "free_energy", "ess", "kl", "mean", "derived", "entropy"]


def _ess() -> float:
    """1/∫ p²/q, a Gaussian integral with precision 2 - 1/σ²."""
    precision = 2 - 1 / SIGMA**2
    exponent = (2 * MU) ** 2 / (2 * precision) - MU**2
    return math.sqrt(precision) / (SIGMA * math.exp(exponent))


def _action(x):
    return OFFSET + 0.5 * (x - MU) ** 2


def _draws(n, seed):
    x = SIGMA * np.random.default_rng(seed).normal(size=n)
    log_q = -0.5 * (x / SIGMA) ** 2 - math.log(SIGMA * math.sqrt(2 * math.pi))
    return x, -_action(x) - log_q


def _variance(means):
    return means["x2"] - means["x"] ** 2


def _estimates(x, log_w):
    """name -> (estimate, exact); for vectors the first component."""
    log_z = weights.log_z(log_w)
    observables = {"x": x, "x2": x**2}
    return {
        "log_z": (log_z, LOG_Z),
        "free_energy": (
            weights.free_energy_density(log_z, VOLUME),
            -LOG_Z / VOLUME,
        ),
        "ess": (weights.ess_estimate(log_w), _ess()),
        "kl": (weights.kl_reverse(log_w, VOLUME), KL / VOLUME),
        "mean": (weights.reweighted_mean(log_w, x), MU),
        "derived": (weights.reweighted_derived(log_w, observables, _variance), 1.0),
        "entropy": (
            weights.entropy_density(log_w, _action(x), VOLUME),
            (OFFSET + 0.5 + LOG_Z) / VOLUME,
        ),
    }


@pytest.fixture(scope="module")
def repeats():
    """name -> (values, errors, biases, exact) over repetitions with 1000 draws."""
    runs = [_estimates(*_draws(1000, seed)) for seed in range(N_REPEATS)]
    return {
        name: (
            *(
                np.array([getattr(run[name][0], field) for run in runs])
                for field in ("value", "error", "bias")
            ),
            exact,
        )
        for name, (_, exact) in runs[0].items()
    }


def _assert_calibrated(values, errors, exact):
    """Unit pulls, 68 % and 95 % coverage, each to five of its own standard errors."""
    pulls = (values - exact) / errors
    n = pulls.size
    assert abs(pulls.mean()) < 5 / math.sqrt(n) + 0.1  # bias and skewness of O(n^-1/2)
    assert pulls.std() == pytest.approx(1, abs=5 / math.sqrt(2 * n))
    for width, coverage in ((1, 0.6827), (2, 0.9545)):
        expected = 5 * math.sqrt(coverage * (1 - coverage) / n)
        assert np.mean(np.abs(pulls) < width) == pytest.approx(coverage, abs=expected)


@pytest.mark.parametrize("name", NAMES)
def test_error_is_calibrated(repeats, name):
    values, errors, _, exact = repeats[name]
    _assert_calibrated(values, errors, exact)


@pytest.mark.parametrize("name", NAMES)
def test_value_is_exact_on_many_draws(name):
    estimate, exact = _estimates(*_draws(1_000_000, 5))[name]
    assert 0 < estimate.error < 0.003
    assert abs(estimate.value - exact) < 5 * estimate.error
    assert estimate.n == 1_000_000
    assert estimate.n_eff == pytest.approx(1e6 * _ess(), rel=0.01)


def _exact_influences(x, log_w):
    """First-order response of each estimate to its draws, from the exact constants."""
    u = np.exp(log_w - LOG_Z)
    return {
        "log_z": u - 1,
        "free_energy": -(u - 1) / VOLUME,
        "ess": _ess() * (2 * (u - 1) - (u**2 * _ess() - 1)),
        "kl": (u - 1 - (log_w - LOG_Z + KL)) / VOLUME,
        "mean": u * (x - MU),
        "derived": u * ((x - MU) ** 2 - 1),
        "entropy": (u * (_action(x) - OFFSET - 0.5) + u - 1) / VOLUME,
    }


@pytest.fixture(scope="module")
def remainders():
    """name -> (value - exact - linear part, recorded bias) on 200 draws.

    Without the linear part, of mean zero, the bias stands clear of the noise.
    """
    remainder = {name: [] for name in NAMES}
    for seed in range(1000):
        x, log_w = _draws(200, 10_000 + seed)
        influences = _exact_influences(x, log_w)
        for name, (estimate, exact) in _estimates(x, log_w).items():
            shift = estimate.value - exact - influences[name].mean()
            remainder[name].append((shift, estimate.bias))
    return {name: np.array(pairs).T for name, pairs in remainder.items()}


@pytest.mark.parametrize("name", NAMES)
def test_recorded_bias_is_the_bias(remainders, name):
    shifts, biases = remainders[name]
    noise = shifts.std() / math.sqrt(shifts.size)
    # that of the entropy is what two larger ones, ln Z's among them, nearly cancel to
    scale = abs(remainders["free_energy" if name == "entropy" else name][0].mean())
    assert scale > 10 * noise  # a bias of zero would be noticed
    tolerance = 5 * noise + 0.1 * scale  # the next order in 1/n
    assert shifts.mean() == pytest.approx(biases.mean(), abs=tolerance)


def test_calibration_catches_wrong_formulas(repeats):
    """Negative controls: the usual mistakes do not pass `_assert_calibrated`."""
    values, errors, _, exact = repeats["mean"]
    with pytest.raises(AssertionError):  # spread of O over √n_eff: weights ignored
        _assert_calibrated(values, np.full_like(values, (1000 * _ess()) ** -0.5), exact)
    with pytest.raises(AssertionError):  # √n for √(n - 1), were n 4: 13 % too small
        _assert_calibrated(values, errors * math.sqrt(3 / 4), exact)
    kl_values, _, _, kl = repeats["kl"]
    spreads = [_draws(1000, seed)[1].std() for seed in range(N_REPEATS)]
    independent = np.hypot(np.array(spreads) / math.sqrt(1000), repeats["log_z"][1])
    with pytest.raises(AssertionError):  # both terms as if they were independent
        _assert_calibrated(kl_values, independent / VOLUME, kl)


def test_vectors_equal_their_components():
    x, log_w = _draws(5000, 3)
    powers = np.stack([x, x**2, x**3], axis=1)
    together = weights.reweighted_mean(log_w, powers)
    for k in range(3):
        alone = weights.reweighted_mean(log_w, powers[:, k])
        for field in ("value", "error", "bias"):
            whole, part = getattr(together, field)[k], getattr(alone, field)
            np.testing.assert_allclose(whole, part, rtol=1e-12)


def test_derived_of_a_vector_is_the_linear_map():
    """A linear function has the exact error of the combined observable, no bias."""
    x, log_w = _draws(3000, 4)
    values = {"powers": np.stack([x, x**2], axis=1), "one": np.ones_like(x)}
    matrix = np.array([[1.0, -0.3], [0.2, 2.0]])
    derived = weights.reweighted_derived(
        log_w, values, lambda means: matrix @ means["powers"] + 3 * means["one"]
    )
    direct = weights.reweighted_mean(log_w, values["powers"] @ matrix.T + 3)
    np.testing.assert_allclose(derived.value, direct.value, rtol=1e-12)
    np.testing.assert_allclose(derived.error, direct.error, rtol=1e-9)
    np.testing.assert_allclose(derived.bias, direct.bias, rtol=1e-9, atol=1e-13)


def test_equal_weights_are_plain_averages():
    x, _ = _draws(1000, 6)
    log_w = np.full(1000, 1.3e4)
    mean = weights.reweighted_mean(log_w, x)
    np.testing.assert_allclose(mean.value, x.mean(), rtol=1e-12)
    np.testing.assert_allclose(mean.error, x.std(ddof=1) / math.sqrt(1000), rtol=1e-12)
    assert weights.log_z(log_w).value == 1.3e4
    assert weights.log_z(log_w).error == 0
    assert weights.ess(log_w) == 1
    assert weights.kl_reverse(log_w, 1).value == 0
    assert tails.pareto_k(log_w) == 0
    assert weights.largest_share(log_w) == pytest.approx(1e-3)


def test_only_log_z_feels_a_shift():
    x, log_w = _draws(2000, 7)
    for shift in (-3e4, 3e4):
        moved = log_w + shift
        here, there = weights.log_z(log_w), weights.log_z(moved)
        assert there.value - here.value == pytest.approx(shift, abs=1e-9)
        assert there.error == pytest.approx(here.error, rel=1e-9)
        assert tails.pareto_k(moved) == pytest.approx(tails.pareto_k(log_w), rel=1e-6)
        assert weights.reweighted_mean(moved, x).value == pytest.approx(
            weights.reweighted_mean(log_w, x).value, rel=1e-9
        )


FUNCTIONS = [
    weights.ess,
    weights.ess_estimate,
    weights.n_eff,
    weights.log_z,
    lambda log_w: weights.kl_reverse(log_w, 3),
    lambda log_w: weights.reweighted_mean(log_w, np.ones_like(log_w)),
    lambda log_w: weights.entropy_density(log_w, np.ones_like(log_w), 3),
    lambda log_w: weights.reweighted_derived(
        log_w, {"x": np.ones_like(log_w)}, lambda means: means["x"]
    ),
    weights.largest_share,
    tails.pareto_k,
]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_broken_weights_are_refused_and_zero_weights_are_not(function):
    _, log_w = _draws(100, 8)
    for broken in (math.nan, math.inf):
        log_w[17] = broken
        with pytest.raises(ValueError, match=r"1 of 100 log-weights are NaN or \+inf"):
            function(log_w)
    log_w[17] = -math.inf
    function(log_w)
    with pytest.raises(ValueError, match="all log-weights are -inf"):
        function(np.full(100, -math.inf))
    with pytest.raises(ValueError, match="at least 2"):
        function(log_w[:1])


def test_a_zero_weight_counts_as_a_draw():
    x, log_w = _draws(1000, 9)
    with_zero = np.append(log_w, -math.inf)
    shift = weights.log_z(with_zero).value - weights.log_z(log_w).value
    assert shift == pytest.approx(math.log(1000 / 1001), rel=1e-6)
    assert weights.ess(with_zero) == pytest.approx(weights.ess(log_w) * 1000 / 1001)
    moved = weights.reweighted_mean(with_zero, np.append(x, 1e3))
    assert moved.value == pytest.approx(weights.reweighted_mean(log_w, x).value)
    assert weights.kl_reverse(with_zero, 2).value == math.inf


def test_non_finite_counts_faults_only():
    log_w = np.array([1.0, math.nan, -math.inf, math.inf, math.nan])
    assert weights.non_finite(log_w) == 3


def test_broken_values_are_refused():
    x, log_w = _draws(100, 10)
    x[3] = math.nan
    with pytest.raises(ValueError, match="measured value is NaN"):
        weights.reweighted_mean(log_w, x)
    with pytest.raises(ValueError, match="share their samples"):
        weights.reweighted_derived(
            log_w, {"x": x, "y": x[:50]}, lambda means: means["x"]
        )


@pytest.mark.parametrize("k", [0.3, 0.7])
def test_pareto_k_of_pareto_weights(k):
    """w = u^-k has an exact tail; k̂ has standard deviation (1 + k)/√m, Pickands."""
    n, n_repeats = 20_000, 50
    m = 3 * math.sqrt(n)
    rng = np.random.default_rng(11)
    fits = [tails.pareto_k(-k * np.log(rng.random(n)) - 1e4) for _ in range(n_repeats)]
    spread = (1 + k) / math.sqrt(m)
    # the prior, ten draws at ½, pulls by (½ - k) 10/m
    prior = (0.5 - k) * 10 / (m + 10)
    tolerance = 5 * spread / math.sqrt(n_repeats)
    assert np.mean(fits) - k == pytest.approx(prior, abs=tolerance)
    assert np.std(fits) == pytest.approx(spread, rel=5 / math.sqrt(2 * n_repeats))


def test_pareto_shape_agrees_with_maximum_likelihood():
    for k, seed in ((-0.4, 0), (0.2, 1), (1.1, 2)):
        x = np.sort(stats.genpareto.rvs(k, size=2000, random_state=seed))
        fitted = stats.genpareto.fit(x, floc=0)[0]
        assert tails.generalized_pareto_shape(x) == pytest.approx(fitted, abs=0.01)


def test_pareto_k_fits_exceedances_and_adds_the_prior():
    """n = 100: the tail is 20 draws above the 21st, the prior ten draws at ½."""
    w = np.random.default_rng(15).pareto(2.0, 100)
    largest = np.sort(w)[-21:]
    shape = tails.generalized_pareto_shape((largest - largest[0])[1:])
    expected = (20 * shape + 5) / 30
    assert tails.pareto_k(np.log(w) - 1e4) == pytest.approx(expected, rel=1e-6)


def test_light_tails_have_small_k():
    rng = np.random.default_rng(12)
    assert tails.pareto_k(np.log(rng.random(50_000))) < -0.5  # uniform: k = -1
    assert abs(tails.pareto_k(np.log(rng.exponential(size=50_000)))) < 0.2  # k = 0


def test_tails_that_cannot_be_fitted():
    with pytest.raises(ValueError, match="at least 25 draws, got 24"):
        tails.pareto_k(np.linspace(0, 1, 24))
    few = np.zeros(1000)
    few[:3] = [5.0, 6.0, 7.0]
    assert tails.pareto_k(few) == math.inf
    assert tails.pareto_k(np.linspace(0, -1e6, 1000)) == math.inf


def test_a_single_draw_that_carries_everything():
    log_w = np.zeros(1000)
    log_w[5] = 800.0  # e^800 overflows
    assert weights.largest_share(log_w) == pytest.approx(1.0)
    assert weights.ess(log_w) == pytest.approx(1e-3)
    assert weights.n_eff(log_w) == pytest.approx(1.0)
    assert weights.log_z(log_w).error == pytest.approx(1.0)
