"""Both sides of ln Z: recorded biases, and what cannot be estimated says so."""

import math

import numpy as np
import pytest

from genlat.estimators import autocorrelation, integration, two_sided
from pulls_for_tests import unchecked
from targets_for_tests import TARGETS

RNG = np.random.default_rng(8)
TARGET = TARGETS["gaussian"]
VOLUME = 3
N_Q, CHAINS, N_REPEATS = 40, (12, 2), 600

# Biases: the value less its first-order response, of mean zero and known here, leaves
# the bias clear of the noise.


def _remainders():
    """name -> (value - exact - linear part, recorded bias) of all repetitions."""
    rng = np.random.default_rng(21)
    grid, log_z = TARGET.grid, TARGET.log_z
    x_q = TARGET.draws(rng, (N_REPEATS, N_Q))
    # independent samples: a bias needs no autocorrelation
    x_p = TARGET.chains(rng, 0.0, (N_REPEATS, *CHAINS))
    ess = 1 / TARGET.p_average(np.exp(TARGET.log_w(grid) - log_z))
    kl = TARGET.p_average(TARGET.log_w(grid)) - log_z
    found = {name: [] for name in ("p_estimator", "bar", "ess", "kl")}
    for log_w_q, log_w_p in zip(TARGET.log_w(x_q), TARGET.log_w(x_p), strict=True):
        v = np.exp(log_z - log_w_p)
        u = np.exp(log_w_p - log_z) * ess
        ratio = two_sided.bar(log_w_q, log_w_p).log_z
        linear = _linear_bar(log_w_q, log_w_p, ratio)
        for name, quantity, exact, response in (
            ("p_estimator", two_sided.log_z_p(log_w_p), log_z, 1 - np.mean(v)),
            ("bar", ratio, log_z, linear),
            (
                "ess",
                two_sided.ess_forward(log_w_p),
                ess,
                ess * (2 - np.mean(u) - np.mean(v)),
            ),
            (
                "kl",
                two_sided.kl_forward(log_w_p, VOLUME),
                kl / VOLUME,
                (np.mean(log_w_p) - log_z - kl - (1 - np.mean(v))) / VOLUME,
            ),
        ):
            found[name].append((quantity.value - exact - response, quantity.bias))
    return {name: np.array(pairs).T for name, pairs in found.items()}


def _linear_bar(log_w_q, log_w_p, ratio):
    """Bennett's first-order response, with σ at the exact ln Z and its exact means."""
    shift = _shift(log_w_q, log_w_p)
    grid = TARGET.grid
    y = TARGET.log_w(grid) - TARGET.log_z + shift
    accepted = TARGET.q_average(1 / (1 + np.exp(-y)))
    returned = TARGET.p_average(1 / (1 + np.exp(y)))
    y_q, y_p = (x - TARGET.log_z + shift for x in (log_w_q, log_w_p))
    here = np.mean(1 / (1 + np.exp(-y_q))) / accepted
    there = np.mean(1 / (1 + np.exp(y_p))) / returned
    return here - there


def _shift(log_w_q, log_w_p):
    n_eff = autocorrelation.mean(log_w_p).n_eff
    return math.log(n_eff / log_w_q.size)


@pytest.fixture(scope="module")
def remainders():
    with unchecked():
        return _remainders()


def _assert_bias(shifts, biases):
    noise = np.std(shifts) / math.sqrt(shifts.size)
    tolerance = 5 * noise + 0.2 * abs(np.mean(biases))  # the next order in 1/n
    assert abs(np.mean(shifts)) > 10 * noise  # a bias of zero would be noticed
    assert np.mean(shifts) == pytest.approx(np.mean(biases), abs=tolerance)


@pytest.mark.parametrize("name", ["p_estimator", "bar", "ess", "kl"])
def test_recorded_bias_is_the_bias(remainders, name):
    shifts, biases = remainders[name]
    _assert_bias(shifts, biases)
    for wrong in (-biases, 2 * biases):
        with pytest.raises(AssertionError):
            _assert_bias(shifts, wrong)


FROZEN = np.repeat(RNG.normal(size=(30, 1)), 20, axis=1)


def test_chains_frozen_at_different_places_have_no_error():
    """The scatter between them is no error: nothing says that they sample p."""
    log_w_q = RNG.normal(size=400)
    ratio = two_sided.bar(log_w_q, FROZEN).log_z
    for found in (
        two_sided.log_z_p(FROZEN),
        two_sided.upper_log_z(FROZEN),
        two_sided.mode_weight(log_w_q, FROZEN),
        ratio,
    ):
        assert found.estimate("").flaw == autocorrelation.STUCK


def test_equal_weights_of_draws_are_no_flaw():
    """A perfect model: independent draws that agree are known without error."""
    equal = np.full(300, 1.5)
    for found in (two_sided.log_z_q(equal), two_sided.lower_log_z(equal)):
        estimate = found.estimate("")
        assert (estimate.value, estimate.error, estimate.flaw) == (1.5, 0.0, "")


def _gaussians(distance, n):
    """ln(p1/p0) on draws of two Gaussians of unit width."""
    x = RNG.normal(size=(2, 10, n // 10))
    return tuple(
        distance * (side - distance / 2 + distance * k) for k, side in enumerate(x)
    )


def test_neighbours_that_hardly_overlap_have_no_error():
    """Overlaps 0.12 and 0.0014: of 2000 draws a side, 240 and 3 draws."""
    for distance, is_flawed in ((3.5, False), (6.8, True)):
        log_w_0, log_w_1 = _gaussians(distance, 2000)
        for log_w in (log_w_0, log_w_0.ravel()):  # chains or a model
            flaw = two_sided.bar(log_w, log_w_1).log_z.flaw
            assert bool(flaw) == is_flawed, flaw
        # E of S_0 + t E along a path of one step
        path = integration.along(np.array([0.0, 1.0]), [-log_w_0, -log_w_1], 0.3)
        assert bool(path.log_z[-1].flaw) == is_flawed


def test_the_side_with_fewer_draws_says_whether_they_overlap():
    """An overlap of 0.12 is that of 240 draws of 2000, and of 7 of 60."""
    many = [x.ravel() for x in _gaussians(3.5, 2000)]
    assert not two_sided.bar(*many).log_z.flaw
    for few in (0, 1):
        sides = [x[:60] if k == few else x for k, x in enumerate(many)]
        flaw = two_sided.bar(*sides).log_z.flaw
        assert flaw.endswith("of 60 independent draws"), flaw


@pytest.mark.parametrize("side", ["q", "p"])
def test_influences_are_what_a_draw_more_would_do(side):
    """Of ratios of both sides: by leaving single draws out, sign included."""
    rng = np.random.default_rng(12)
    log_w_q, log_w_p = 0.5 * rng.normal(size=400), 0.5 * rng.normal(size=(8, 50))
    whole = two_sided.mode_weight(log_w_q, log_w_p)
    index = 7
    if side == "q":
        found = whole.influences[two_sided.Q].ravel()
        less = two_sided.mode_weight(np.delete(log_w_q, index), log_w_p)
    else:
        found = whole.influences[two_sided.P].ravel()
        others = np.delete(log_w_p.ravel(), index)[None]
        less = two_sided.mode_weight(log_w_q, others)
    # of n draws one moves the mean by its influence over n - 1
    moved = (whole.value - less.value) * (found.size - 1)
    assert moved == pytest.approx(found[index], rel=1e-9)
