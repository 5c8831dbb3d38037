"""Independence Metropolis, by enumeration on four states and on skewed targets."""

import math

import jax
import jax.random as jr
import numpy as np
import pytest

from genlat.estimators import autocorrelation, nmcmc

P = np.array([0.45, 0.05, 0.3, 0.2])
Q = np.array([0.15, 0.4, 0.25, 0.2])
LOG_W = np.log(P / Q) + 1.2e4  # unnormalised, far from what exp can hold
VALUES = np.array([1.0, -2.0, 2.5, -4.0])


def _transition_matrix():
    """P(a -> b) = q_b min(1, w_b/w_a), and the rest stays."""
    ratio = np.exp(LOG_W[None, :] - LOG_W[:, None])
    moves = Q[None, :] * np.minimum(1.0, ratio)
    np.fill_diagonal(moves, 0)
    return moves + np.diag(1 - moves.sum(axis=1))


def _discrete(n_chains, n_steps, seed):
    draws = np.random.default_rng(seed).choice(4, size=(n_chains, n_steps), p=Q)
    return draws, nmcmc.run(jr.key(seed), LOG_W[draws])


def test_enumerated_kernel_has_the_target_as_its_stationary_state():
    matrix = _transition_matrix()
    flow = P[:, None] * matrix
    np.testing.assert_allclose(flow, flow.T, rtol=1e-9)  # detailed balance
    np.testing.assert_allclose(P @ matrix, P, rtol=1e-9)


def test_transitions_are_those_of_the_enumerated_kernel():
    """Every entry of the matrix to five binomial standard errors."""
    draws, chain = _discrete(1000, 1000, seed=0)
    states = draws.reshape(-1)[chain.index]
    counts = np.zeros((4, 4))
    np.add.at(counts, (states[:, :-1].ravel(), states[:, 1:].ravel()), 1)
    visits = counts.sum(axis=1, keepdims=True)
    exact = _transition_matrix()
    error = np.sqrt(exact * (1 - exact) / visits)
    assert np.all(error < 0.003)
    assert np.all(np.abs(counts / visits - exact) <= 5 * error + 1e-12)


def test_first_states_are_already_of_the_target():
    draws, chain = _discrete(200_000, 3, seed=1)
    first = draws.reshape(-1)[chain.index[:, 0]]
    frequency = np.bincount(first, minlength=4) / first.size
    assert np.all(np.abs(frequency - P) < 5 * np.sqrt(P * (1 - P) / first.size))


def test_mean_tau_int_and_acceptance_are_the_enumerated_ones():
    draws, chain = _discrete(500, 2000, seed=2)
    matrix = _transition_matrix()
    mean = P @ VALUES
    deviation = VALUES - mean
    # Σ_{t≥0} P^t on functions of mean zero
    summed = np.linalg.solve(np.eye(4) - matrix + P[None, :], deviation)
    tau = (P * deviation) @ summed / ((P * deviation) @ deviation) - 0.5
    ratio = np.minimum(1.0, np.exp(LOG_W[None, :] - LOG_W[:, None]))
    acceptance = P @ ratio @ Q
    analysis = autocorrelation.analyse(VALUES[draws.reshape(-1)[chain.index]])
    for estimate, exact, max_error in (
        (analysis.mean, mean, 0.01),
        (analysis.tau_int, tau, 0.05 * tau),
        (chain.acceptance, acceptance, 0.003),
    ):
        assert 0 < estimate.error < max_error
        assert abs(estimate.value - exact) < 5 * estimate.error


def _agrees_with_target(states):
    estimate = autocorrelation.mean(VALUES[states])
    return abs(estimate.value - P @ VALUES) < 5 * estimate.error


def test_the_check_has_power():
    """Negative controls: the ways in which draws of q pass for draws of p."""
    draws, chain = _discrete(500, 2000, seed=3)
    flat = draws.reshape(-1)
    assert _agrees_with_target(flat[chain.index])
    # by counter: the k-th state is the k-th draw, as many as were accepted
    n_accepted = chain.accepted.sum(axis=1).min()
    assert not _agrees_with_target(draws[:, :n_accepted])
    # accepted draws only: rejections must repeat the state
    assert not _agrees_with_target(flat[chain.index[chain.accepted]][None, :])
    # position within the chain taken for position among all draws
    assert not _agrees_with_target(flat[chain.index % 2000])


def test_index_moves_exactly_where_accepted():
    draws, chain = _discrete(7, 50, seed=4)
    own = np.arange(7 * 50).reshape(7, 50)
    assert np.all(chain.index[chain.accepted] == own[chain.accepted])
    stays = ~chain.accepted[:, 1:]
    assert np.all(chain.index[:, 1:][stays] == chain.index[:, :-1][stays])
    assert draws.shape == chain.index.shape == chain.accepted.shape


def test_equal_weights_always_move():
    chain = nmcmc.run(jr.key(5), np.full((3, 20), -7e3))
    assert chain.accepted.all()
    assert np.array_equal(chain.index, np.arange(60).reshape(3, 20))
    assert chain.acceptance.value == 1
    assert chain.acceptance.error == 0


def test_zero_weights_are_never_visited():
    log_w = np.random.default_rng(6).normal(size=(40, 100))
    log_w[:, ::2] = -math.inf
    log_w[:20] = -math.inf  # chains without a single possible proposal
    chain = nmcmc.run(jr.key(6), log_w)
    assert np.isfinite(log_w.reshape(-1)[chain.index]).all()
    assert not chain.accepted[:20].any()
    assert chain.accepted[20:].any(axis=1).all()
    assert not chain.accepted[:, ::2].any()


def test_scan_leaves_a_zero_weight_at_the_first_chance():
    log_w = np.array([[-math.inf, -math.inf, -5e3, -5e3]])
    start, log_w_start = np.array([0]), np.array([-math.inf])
    index, accepted = nmcmc._scan(jr.key(0), log_w, start, log_w_start)
    assert np.asarray(index).tolist() == [[0, 0, 2, 3]]
    assert np.asarray(accepted).tolist() == [[False, False, True, True]]


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_broken_weights_are_refused(broken):
    log_w = np.zeros((4, 10))
    log_w[2, 3] = broken
    with pytest.raises(ValueError, match="1 of 40 log-weights"):
        nmcmc.run(jr.key(7), log_w)


def test_single_precision_is_refused():
    with jax.enable_x64(False), pytest.raises(ValueError, match="float64"):
        nmcmc.run(jr.key(8), np.zeros((2, 3)))


def test_same_key_same_chain():
    first, second, other = (
        _discrete(5, 40, seed=9)[1],
        _discrete(5, 40, seed=9)[1],
        nmcmc.run(jr.key(10), LOG_W[_discrete(5, 40, seed=9)[0]]),
    )
    assert np.array_equal(first.index, second.index)
    assert not np.array_equal(first.accepted, other.accepted)


def _skewed(rng, shape):
    """Target: exponential of mean 1; proposal: exponential of mean 1/0.55. ESS 0.80."""
    x = rng.exponential(1 / 0.55, shape)
    return x, -x + 0.55 * x


def _log_normal_density(x, mean, std):
    return -0.5 * ((x - mean) / std) ** 2 - math.log(std * math.sqrt(2 * math.pi))


def _log_mixture(x, share, std):
    left = math.log(share) + _log_normal_density(x, -2.0, std)
    right = math.log(1 - share) + _log_normal_density(x, 2.0, std)
    return np.logaddexp(left, right)


def _bimodal(rng, shape):
    """Target: 70 % at -2, 30 % at 2; proposal: wider, with 35 % at -2. Mean -0.8."""
    x = np.where(rng.random(shape) < 0.35, -2.0, 2.0) + 0.7 * rng.normal(size=shape)
    return x, _log_mixture(x, 0.7, 0.5) - _log_mixture(x, 0.35, 0.7)


def _chain_pulls(density, exact, shape, n_repeats):
    pulls = np.empty(n_repeats)
    for seed in range(n_repeats):
        x, log_w = density(np.random.default_rng(seed), shape)
        chain = nmcmc.run(jr.key(seed), log_w)
        estimate = autocorrelation.mean(x.reshape(-1)[chain.index])
        pulls[seed] = (estimate.value - exact) / estimate.error
    return pulls


@pytest.mark.parametrize("shape", [(20, 150), (300, 10), (1, 3000)])
@pytest.mark.parametrize(("density", "exact"), [(_skewed, 1.0), (_bimodal, -0.8)])
def test_errors_are_calibrated_without_burn_in(density, exact, shape):
    """Also for 300 chains of 10 steps, where a start from q would show."""
    n = 400
    pulls = _chain_pulls(density, exact, shape, n)
    assert abs(pulls.mean()) < 5 / math.sqrt(n)
    assert pulls.std() == pytest.approx(1, abs=5 / math.sqrt(2 * n))
    for width, coverage in ((1, 0.6827), (2, 0.9545)):
        tolerance = 5 * math.sqrt(coverage * (1 - coverage) / n)
        assert np.mean(np.abs(pulls) < width) == pytest.approx(coverage, abs=tolerance)


def test_a_start_from_q_is_caught(monkeypatch):
    """Negative control of the calibration on short chains."""
    monkeypatch.setattr(
        nmcmc, "_resample", lambda key, log_w: np.arange(log_w.shape[0]) * 10
    )
    pulls = _chain_pulls(_bimodal, -0.8, (300, 10), 100)
    assert abs(pulls.mean()) > 5 / math.sqrt(100)


def test_a_million_steps_are_one_compiled_loop(monkeypatch):
    """Nothing of the work is Python's: a second run of any shape traces nothing."""
    traced = []
    where = nmcmc.jnp.where
    monkeypatch.setattr(nmcmc.jnp, "where", lambda *a: (traced.append(1), where(*a))[1])
    for shape in ((1000, 1000), (1, 1_000_000)):
        log_w = np.random.default_rng(11).normal(size=shape)
        nmcmc.run(jr.key(0), log_w)
        before = len(traced)
        assert nmcmc.run(jr.key(1), log_w).index.shape == shape
        assert len(traced) == before
    assert 0 < len(traced) < 10
