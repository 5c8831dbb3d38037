"""Pulls of what chains say: lone and short ones, and ln Z along a line of couplings."""

import math

import numpy as np
import pytest
from scipy import special, stats

from genlat.estimators import autocorrelation, integration, quantity
from genlat.estimators.quantity import Quantity
from pulls_for_tests import Pulls, assert_caught, unchecked
from targets_for_tests import LOG_SCALE, ar1

R = 0.8  # of the chains along couplings, τ_int = 4.5


@pytest.fixture(autouse=True)
def _unchecked():
    with unchecked():
        yield


# Short chains


@pytest.mark.parametrize(
    ("r", "n_chains", "n"), [(0.9, 1, 500), (0.9, 1, 1000), (0.6, 1, 400)]
)
def test_pulls_of_a_lone_short_chain_are_students(r, n_chains, n):
    """50 to 200 τ_int: the error is right in the mean square, and uncertain."""
    chains = ar1(np.random.default_rng(31), r, (1500, n_chains, n))
    analyses = [autocorrelation.analyse(values) for values in chains]
    means = np.array([analysis.mean.value for analysis in analyses])
    errors = np.array([analysis.mean.error for analysis in analyses])
    ratio = means.std() / math.sqrt(np.mean(errors**2))
    assert ratio == pytest.approx(1, abs=5 / math.sqrt(2 * means.size))
    freedom = n_chains * n / (2 * np.mean([a.window for a in analyses]) + 1)
    pulls = np.abs(means / errors)
    for coverage in (0.6827, 0.95):
        tolerance = 5 * math.sqrt(coverage * (1 - coverage) / means.size)
        inside = np.mean(pulls < stats.t(freedom).ppf(0.5 + coverage / 2))
        assert inside == pytest.approx(coverage, abs=tolerance)
    assert np.mean(pulls < 1.96) < 0.95 - tolerance / 5  # a normal's would be too short


@pytest.mark.parametrize(
    ("r", "n_chains", "n"),
    [(0.9, 1, 1000), (0.9, 20, 100), (0.9, 50, 60), (0.0, 1, 100), (-0.6, 4, 500)],
)
def test_errors_of_tau_int_hold_for_any_shape_of_the_run(r, n_chains, n):
    """Never far too small: before, one pull in a thousand was above 100 here."""
    chains = ar1(np.random.default_rng(32), r, (800, n_chains, n))
    estimates = [autocorrelation.tau_int(values) for values in chains]
    off = np.array([estimate.value for estimate in estimates]) - (1 + r) / (2 - 2 * r)
    errors = np.array([estimate.error for estimate in estimates])
    assert 0.75 < off.std() / math.sqrt(np.mean(errors**2)) < 1.1
    assert 0.8 < np.std(off / errors) < 1.2
    assert np.abs(off / errors).max() < 8
    assert np.mean(np.abs(off) < 1.96 * errors) > 0.9


# Integration along couplings

COUPLINGS = np.array([0.0, 0.2, 0.35, 0.6, 0.8, 1.1])


def _gaussian_path(rng, n_repeats):
    """S_t = (1 + t) Σx²/2 of seven x: E = Σx²/2 is a gamma variable."""
    energies = [
        special.gammaincinv(3.5, special.ndtr(ar1(rng, R, (n_repeats, 8, 250))))
        / (1 + t)
        for t in COUPLINGS
    ]
    return energies, -3.5 * np.log1p(COUPLINGS)


def _bimodal_path(rng, n_repeats):
    """E = x in 0.3/0.7 of two Gaussians: the tilt e^{-tx} shifts and reweights them."""
    shares, means, widths = np.array([[0.3, 0.7], [-2.0, 1.3], [0.5, 0.8]])
    x = np.linspace(-12, 11, 20_001)
    energies, log_z = [], []
    for t in COUPLINGS:
        parts = shares * np.exp(-t * means + t**2 * widths**2 / 2)
        centres = means - t * widths**2
        p = parts / parts.sum()
        cumulative = stats.norm.cdf(x[:, None], centres, widths) @ p
        u = special.ndtr(ar1(rng, R, (n_repeats, 8, 250)))
        energies.append(np.interp(u, cumulative, x))
        log_z.append(math.log(parts.sum()))
    return energies, np.array(log_z)


PATHS = {"gaussian": _gaussian_path, "bimodal": _bimodal_path}
N_PATHS = 300


@pytest.fixture(scope="module")
def paths():
    """name -> (energies by repetition, exact ln Z along the grid)."""
    rng = np.random.default_rng(41)
    made = {name: make(rng, N_PATHS) for name, make in PATHS.items()}
    return {
        name: (list(zip(*e, strict=True)), log_z) for name, (e, log_z) in made.items()
    }


@pytest.fixture(scope="module")
def integrated(paths):
    """name -> `integration.along` of every repetition."""
    with unchecked():  # before the one of the test
        return {
            name: [integration.along(COUPLINGS, e, LOG_SCALE) for e in energies]
            for name, (energies, _) in paths.items()
        }


@pytest.mark.parametrize("name", PATHS)
def test_integration_along_couplings_is_calibrated(paths, integrated, name):
    energies, log_z = paths[name]
    for k in (1, 5):
        estimates = [path.log_z[k].estimate("bar") for path in integrated[name]]
        Pulls(estimates, LOG_SCALE + log_z[k]).assert_calibrated()
    one_sided = [
        integration.reweighting(COUPLINGS, e, LOG_SCALE).estimate("") for e in energies
    ]
    Pulls(one_sided, LOG_SCALE + log_z[-1]).assert_calibrated()


def test_thermodynamic_integration_has_the_error_it_claims(paths):
    """Its rule is another matter: the value is compared with the rule's own."""
    energies, log_z = paths["gaussian"]
    estimates = [
        integration.thermodynamic(COUPLINGS, e, LOG_SCALE).estimate("")
        for e in energies
    ]
    # ⟨E⟩ = 3.5/(1 + t), Var E = 3.5/(1 + t)²
    means, widths = 3.5 / (1 + COUPLINGS), np.diff(COUPLINGS)
    slopes = means**2 / 3.5
    rule = -np.sum(widths * (means[1:] + means[:-1]) / 2)
    rule += np.sum(widths**2 * (slopes[:-1] - slopes[1:]) / 12)
    assert rule == pytest.approx(log_z[-1], abs=0.01)
    Pulls(estimates, LOG_SCALE + rule).assert_calibrated()


def test_intervals_that_share_chains_are_not_independent(paths, integrated):
    """Negative control: errors of the intervals added in quadrature are too small."""
    _, log_z = paths["gaussian"]
    apart = []
    for path in integrated["gaussian"]:
        total = quantity.constant(LOG_SCALE)
        for i, step in enumerate(path.steps):
            influences = {f"{i} {key}": x for key, x in step.influences.items()}
            total += Quantity(step.value, influences, step.bias)
        apart.append(total.estimate("bar"))
    assert_caught(Pulls(apart, LOG_SCALE + log_z[-1]))
