"""The Γ-method against AR(1) chains, whose ρ(t) = r^t and τ_int are exact."""

import inspect
import math

import numpy as np
import pytest

from genlat.estimators import autocorrelation, derived, propagation

MU, SIGMA = 0.4, 1.7
N_REPEATS = 500


def _chains(r, shape, seed):
    """Stationary AR(1) with mean MU and standard deviation SIGMA; time is axis -1."""
    x = np.random.default_rng(seed).normal(size=shape)
    for t in range(1, shape[-1]):
        x[..., t] = r * x[..., t - 1] + math.sqrt(1 - r**2) * x[..., t]
    return MU + SIGMA * x


def _tau(r):
    return (1 + r) / (2 * (1 - r))


def _variance_of_mean(r, n_chains, n):
    """Exact, at any length."""
    t = np.arange(1, n)
    return SIGMA**2 * (1 + 2 * np.sum((1 - t / n) * r**t)) / (n_chains * n)


def _assert_calibrated(pulls):
    """Unit width, 68 % and 95 % coverage, each to five of its own standard errors."""
    n = pulls.size
    assert pulls.std() == pytest.approx(1, abs=5 / math.sqrt(2 * n))
    for width, coverage in ((1, 0.6827), (2, 0.9545)):
        expected = 5 * math.sqrt(coverage * (1 - coverage) / n)
        assert np.mean(np.abs(pulls) < width) == pytest.approx(coverage, abs=expected)


def _pulls(analyses, field, exact):
    estimates = [getattr(analysis, field) for analysis in analyses]
    return np.array([(e.value - exact) / e.error for e in estimates])


@pytest.mark.parametrize(
    ("r", "n_chains", "n"),
    [
        (0.0, 3, 300),
        (0.6, 1, 2000),
        (0.9, 1, 5000),
        (0.9, 20, 100),  # many chains of 10 τ
        (0.9, 200, 20),  # of 2 τ
        (0.7, 100, 1),  # nothing but chains
        (-0.6, 4, 500),
    ],
)
def test_error_of_the_mean_is_calibrated(r, n_chains, n):
    chains = _chains(r, (N_REPEATS, n_chains, n), seed=1)
    analyses = [autocorrelation.analyse(values) for values in chains]
    pulls = _pulls(analyses, "mean", MU)
    assert abs(pulls.mean()) < 5 / math.sqrt(N_REPEATS)
    _assert_calibrated(pulls)
    variance = np.mean([analysis.mean.error**2 for analysis in analyses])
    assert variance == pytest.approx(_variance_of_mean(r, n_chains, n), rel=0.07)
    n_eff = np.median([analysis.mean.n_eff for analysis in analyses])
    exact = SIGMA**2 / _variance_of_mean(r, n_chains, n)
    assert n_eff == pytest.approx(exact, rel=0.15)


def test_calibration_catches_wrong_errors():
    """Negative controls: no τ at all; each chain's own mean subtracted; τ capped."""
    chains = _chains(0.9, (N_REPEATS, 20, 100), seed=2)
    offsets = chains.mean(axis=(1, 2)) - MU
    with pytest.raises(AssertionError):
        _assert_calibrated(offsets / (chains.std(axis=(1, 2)) / math.sqrt(2000)))
    own_means = chains - chains.mean(axis=2, keepdims=True)
    errors = [autocorrelation.mean(values).error for values in own_means]
    with pytest.raises(AssertionError):
        _assert_calibrated(offsets / np.array(errors))


@pytest.mark.parametrize(
    ("r", "n_chains", "n"), [(0.0, 1, 4000), (0.6, 4, 2000), (0.9, 4, 5000)]
)
def test_tau_int_is_calibrated(r, n_chains, n):
    chains = _chains(r, (N_REPEATS, n_chains, n), seed=3)
    analyses = [autocorrelation.analyse(values) for values in chains]
    pulls = _pulls(analyses, "tau_int", _tau(r))
    # a low τ comes with a low error: the pulls are skew, hence their mean
    assert abs(pulls.mean()) < 0.35
    assert pulls.std() == pytest.approx(1, abs=5 / math.sqrt(2 * N_REPEATS))
    taus = np.array([analysis.tau_int.value for analysis in analyses])
    errors = np.array([analysis.tau_int.error for analysis in analyses])
    assert taus.mean() == pytest.approx(_tau(r), rel=0.02)
    assert errors.max() < 0.4 * _tau(r)
    assert all(analysis.is_resolved for analysis in analyses)


def test_subtracting_the_mean_is_undone_in_short_runs():
    """N = 1000 and τ = 9.5: uncorrected, τ_int comes out 9 % low, ρ by 0.018."""
    n_repeats, lags = 3000, np.arange(30, 41)  # where ρ itself has nearly gone
    chains = _chains(0.9, (n_repeats, 1, 1000), seed=14)
    taus = np.array([autocorrelation.tau_int(values).value for values in chains])
    # 5 standard errors of this mean, and 2 % that the window cuts off
    assert taus.std() / math.sqrt(n_repeats) < 0.006 * 9.5
    assert taus.mean() == pytest.approx(9.5, rel=0.05)

    def bias(curves):
        offsets = np.mean(np.array(curves)[:, lags] - 0.9**lags, axis=1)
        return offsets.mean(), offsets.std() / math.sqrt(n_repeats)

    corrected, noise = bias(
        [autocorrelation.autocorrelation_function(values, 40)[0] for values in chains]
    )
    assert abs(corrected) < 5 * noise
    # negative control: as it comes out of the sums
    raw = []
    for values in chains:
        deviations = (values - values.mean())[..., None]
        gamma = autocorrelation._autocovariances(deviations)[0]
        raw.append(gamma / gamma[0])
    assert abs(bias(raw)[0]) > 5 * noise


def test_the_bias_of_tau_int_is_what_its_window_cuts_off():
    """Of ρ = r^t, what lies beyond W: Σ_{t>W} r^t, and low by it."""
    r = 0.8
    (values,) = _chains(r, (1, 8, 4000), seed=9)
    found = autocorrelation.analyse(values)
    cut = r ** (found.window + 1) / (1 - r)
    # with its own r, to the power of W: known to a factor of two
    assert -2 * cut < found.tau_int.bias < -cut / 2


def test_tau_int_is_not_capped():
    """A τ_int of 500 in a chain of 10⁵."""
    r = 999 / 1001
    tau = autocorrelation.tau_int(_chains(r, (4, 100_000), seed=4))
    assert tau.error < 100
    assert abs(tau.value - 500) < 5 * tau.error


def test_error_is_between_chains_when_the_window_is_the_run():
    """For 2 τ long chains nothing else is known; the formula says so by itself."""
    values = _chains(0.95, (50, 12), seed=5)
    analysis = autocorrelation.analyse(values)
    between = autocorrelation.between_chains(values)
    assert analysis.window == 11
    assert not analysis.is_resolved
    assert analysis.mean.error == pytest.approx(between.error, rel=1e-12)
    assert analysis.mean.value == pytest.approx(between.value, rel=1e-12)
    assert "not resolved" in analysis.mean.caution


def test_between_chains_agrees_with_gamma():
    values = _chains(0.8, (400, 500), seed=6)
    gamma, between = (
        autocorrelation.mean(values),
        autocorrelation.between_chains(values),
    )
    # the scatter of 400 chains is known to 1/√800
    assert between.error == pytest.approx(gamma.error, rel=5 / math.sqrt(800))
    assert between.n_eff == pytest.approx(gamma.n_eff, rel=10 / math.sqrt(800))


@pytest.mark.parametrize("n_chains", [6, 120])
def test_chains_stuck_in_different_modes_are_not_resolved(n_chains):
    """Each chain alone looks perfect; together they never decorrelate."""
    values = np.random.default_rng(7).normal(size=(n_chains, 1000))
    values[::3] += 6.0
    analysis = autocorrelation.analyse(values)
    assert not analysis.is_resolved
    between = autocorrelation.between_chains(values)
    assert analysis.mean.error == pytest.approx(between.error, rel=0.1)
    assert autocorrelation.analyse(values[:1]).is_resolved


def test_a_lone_short_chain_is_not_resolved():
    chains = _chains(0.95, (200, 1, 200), seed=8)  # τ = 19.5
    resolved = [autocorrelation.analyse(values).is_resolved for values in chains]
    assert np.mean(resolved) < 0.02


def test_a_constant_has_no_error_and_no_resolution():
    for constant in (0.1, 0.0, 1.0):
        values = np.full((3, 1001), constant)
        analysis = autocorrelation.analyse(values)
        assert analysis.mean.error == 0
        assert analysis.mean.value == pytest.approx(constant, rel=1e-12)
        assert analysis.mean.n_eff == 3003
        assert analysis.tau_int.value == 0.5
        assert not analysis.is_resolved
        assert autocorrelation.between_chains(values).n_eff == 3003
        rho, error = autocorrelation.autocorrelation_function(values, 3)
        assert list(rho) == [1, 0, 0, 0]
        assert list(error) == [0, 0, 0, 0]


@pytest.mark.parametrize("shape", [(1, 2), (2, 1), (1, 3), (2, 2), (1, 7)])
def test_a_handful_of_values_gives_finite_numbers(shape):
    for seed in range(200):
        values = np.random.default_rng(seed).normal(size=shape)
        values = np.sign(values) if seed % 2 else values
        analysis = autocorrelation.analyse(values)
        for estimate in (analysis.mean, analysis.tau_int):
            assert np.isfinite([estimate.value, estimate.error, estimate.n_eff]).all()
        assert not analysis.is_resolved
        autocorrelation.autocorrelation_function(values, shape[1] - 1)


def test_two_values_have_the_textbook_error():
    estimate = autocorrelation.mean(np.array([[1.0, 4.0]]))
    assert estimate.value == 2.5
    assert estimate.error == pytest.approx(1.5)  # |a - b| / 2


def test_autocovariance_by_fft_is_the_plain_sum(monkeypatch):
    """Also when the chains are cut into blocks."""
    x = _chains(0.5, (5, 13), seed=9) - MU
    direct = [np.mean(x[:, : 13 - t] * x[:, t:]) for t in range(13)]
    for elements in (autocorrelation.FFT_ELEMENTS, 64):
        monkeypatch.setattr(autocorrelation, "FFT_ELEMENTS", elements)
        gamma = autocorrelation._autocovariances(x[..., None])[0]
        np.testing.assert_allclose(gamma, direct, rtol=1e-12, atol=1e-13)


def test_vectors_equal_their_components():
    values = np.stack([_chains(r, (3, 400), seed=10) for r in (0.2, 0.8)], axis=-1)
    values = values[..., None] * np.ones(2)  # (3, 400, 2, 2)
    together = autocorrelation.analyse(values)
    assert together.mean.value.shape == (2, 2)
    for i in range(2):
        alone = autocorrelation.analyse(values[..., i, 1])
        assert together.mean.error[i, 1] == pytest.approx(alone.mean.error, rel=1e-12)
        assert together.tau_int.value[i, 0] == pytest.approx(alone.tau_int.value)
        assert together.window[i, 1] == alone.window
        assert together.is_resolved[i, 1] == alone.is_resolved
    between = autocorrelation.between_chains(values)
    part = autocorrelation.between_chains(values[..., 1, 1])
    assert between.error[1, 1] == pytest.approx(part.error)
    assert between.n_eff[1, 1] == pytest.approx(part.n_eff)


def _variance(means):
    return means["x2"] - means["x"] ** 2


def test_derived_is_calibrated_and_its_bias_is_the_bias():
    """The variance of AR(1): all observables correlated, autocorrelated, non-linear."""
    r, n_chains, n = 0.7, 8, 250
    chains = _chains(r, (N_REPEATS, n_chains, n), seed=11)
    estimates = [derived.mean({"x": x, "x2": x**2}, _variance) for x in chains]
    bias = -_variance_of_mean(r, n_chains, n)  # exact
    offsets = np.array([estimate.value for estimate in estimates]) - SIGMA**2
    errors = np.array([estimate.error for estimate in estimates])
    _assert_calibrated((offsets - bias) / errors)
    biases = [estimate.bias for estimate in estimates]
    # 2 τ_int is that of the variance, r² for r: the scale of C is approximate
    scaled = bias * _tau(r**2) / _tau(r)
    assert np.mean(biases) == pytest.approx(scaled, rel=0.05)


def test_derived_of_a_vector_is_the_linear_map():
    x = _chains(0.6, (4, 500), seed=12)
    values = {"powers": np.stack([x, x**2], axis=-1), "one": np.ones_like(x)}
    matrix = np.array([[1.0, -0.3], [0.2, 2.0]])
    found = derived.mean(
        values, lambda means: matrix @ means["powers"] + 3 * means["one"]
    )
    direct = autocorrelation.mean(values["powers"] @ matrix.T + 3)
    np.testing.assert_allclose(found.value, direct.value, rtol=1e-12)
    np.testing.assert_allclose(found.error, direct.error, rtol=1e-9)
    np.testing.assert_allclose(found.bias, 0, atol=1e-12)


def test_autocorrelation_function_and_its_error():
    r, max_lag = 0.8, 12
    chains = _chains(r, (300, 4, 1000), seed=13)
    curves = [autocorrelation.autocorrelation_function(x, max_lag) for x in chains]
    rho, error = (np.array(parts) for parts in zip(*curves, strict=True))
    exact = r ** np.arange(max_lag + 1)
    assert np.all(rho[:, 0] == 1)
    assert np.all(error[:, 0] == 0)
    spread = rho[:, 1:].std(axis=0)
    deviation = np.abs(rho.mean(axis=0)[1:] - exact[1:])
    assert np.all(deviation < 5 * spread / math.sqrt(300) + 3e-3)
    np.testing.assert_allclose(error.mean(axis=0)[1:], spread, rtol=0.2)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="at least 2 values"):
        autocorrelation.mean(np.ones((1, 1)))
    with pytest.raises(ValueError, match="NaN or infinite"):
        autocorrelation.mean(np.array([[1.0, np.nan, 2.0]]))
    with pytest.raises(ValueError, match="at least 2 of them"):
        autocorrelation.between_chains(np.ones((1, 10)))
    with pytest.raises(ValueError, match=r"max_lag must be in 0 \.\.\. 9"):
        autocorrelation.autocorrelation_function(np.ones((2, 10)), 10)
    with pytest.raises(ValueError, match="share their samples"):
        derived.mean(
            {"x": np.ones((2, 5)), "y": np.ones((2, 6))}, lambda means: means["x"]
        )
    with pytest.raises(ValueError, match="at least one observable"):
        derived.mean({}, lambda means: 1.0)


def test_derived_without_a_value_nearby_has_no_error():
    """A root whose argument is within one error of 0: NaN, not a crash."""
    values = np.random.default_rng(3).normal(size=(4, 50))
    values -= np.mean(values) - 1e-3
    estimate = derived.mean(
        {"x": values},
        lambda means: (
            np.sqrt(np.maximum(means["x"], 0) / means["x"])
            if means["x"] > 0
            else np.nan
        ),
    )
    assert estimate.value == 1.0
    assert np.isnan(estimate.error)
    assert estimate.flaw == propagation.UNDEFINED
    assert estimate.to_json()["unusable"]


def test_chains_that_never_move_are_stuck_wherever_they_are():
    places = np.random.default_rng(4).normal(size=(6, 1))
    frozen = autocorrelation.analyse(np.repeat(places, 200, axis=1))
    assert frozen.mean.flaw == frozen.tau_int.flaw == autocorrelation.STUCK
    assert not frozen.is_resolved
    # one value each: independent draws
    assert autocorrelation.mean(np.repeat(places, 10, axis=0)).flaw == ""
    one_moves = np.repeat(places, 200, axis=1)
    one_moves[2] += np.random.default_rng(5).normal(size=200)
    assert autocorrelation.mean(one_moves).flaw != autocorrelation.STUCK


def test_too_few_samples_make_no_error():
    random = np.random.default_rng(6)
    for shape in ((1, 9), (2, 4), (4, 2)):
        for _ in range(50):
            values = random.normal(size=shape)
            assert autocorrelation.mean(values).flaw == autocorrelation.TOO_FEW
    for shape in ((1, 100), (40, 2), (6, 30)):
        assert autocorrelation.mean(random.normal(size=shape)).flaw == ""
    slow = _chains(0.995, (1, 1, 300), seed=7)[0]  # one independent draw
    assert autocorrelation.mean(slow).flaw == autocorrelation.TOO_FEW


def test_one_dimension_is_told_the_shape_that_is_wanted():
    as_series = inspect.unwrap(autocorrelation._as_series)  # as where no types are read
    with pytest.raises(ValueError, match=r"one chain being values\[None\]; got"):
        as_series(np.arange(9.0))
    assert as_series(np.array([[1, 2, 4]])).shape == (1, 3, 1)
