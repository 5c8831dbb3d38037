"""The chain runner: reproducible whatever the chunks, tuned, free of NaN, right."""

import itertools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from genlat.actions.phi4 import Phi4
from genlat.mcmc import runner
from genlat.mcmc.base import AbstractKernel, ChainInfo, ChainState
from genlat.mcmc.cluster import SignCluster
from genlat.mcmc.hmc import HMC
from genlat.mcmc.metropolis import Metropolis
from genlat.mcmc.runner import init_chains, run_chunk, thermalise
from genlat.mcmc.sequence import Sequence

pytestmark = pytest.mark.usefixtures("long_chains")

SMALL = Phi4((4, 6), 0.31, 0.17)
FLOAT32 = jnp.float32


def measure(phi):
    phi = phi.astype(jnp.float64)
    mag = jnp.mean(phi)
    slices = jnp.mean(phi, axis=1)
    return {"phi2": jnp.mean(phi**2), "mag": mag, "abs_mag": abs(mag), "slices": slices}


def small_kernel():
    return Sequence((HMC(SMALL, 0.25, 4), SignCluster(SMALL)))


def small_states(n_chains):
    phis = init_chains(SMALL, jr.key(0), n_chains, dtype=FLOAT32, start="hot")
    kernel = small_kernel()
    return jax.vmap(kernel.init)(phis), kernel


def run(states, kernel, start, n_samples, *, thin=2, key=5):
    return run_chunk(
        kernel,
        states,
        jr.key(key),
        start,
        n_samples=n_samples,
        thin=thin,
        measure=measure,
    )


def test_two_chunks_are_one():
    states, kernel = small_states(6)
    whole_states, whole = run(states, kernel, 0, 20)
    first_states, first = run(states, kernel, 0, 10)
    second_states, second = run(first_states, kernel, 20, 10)
    for name, history in whole.items():
        joined = np.concatenate([first[name], second[name]], axis=1)
        np.testing.assert_array_equal(joined, history)
    np.testing.assert_array_equal(second_states.phi, whole_states.phi)
    np.testing.assert_array_equal(second_states.action, whole_states.action)
    # a wrong `start` would show
    _, repeated = run(first_states, kernel, 0, 10)
    assert not np.array_equal(repeated["phi2"], second["phi2"])


def test_chains_that_start_alike_part_while_they_thermalise():
    """Every chain has random numbers of its own, from the first step on."""
    _, kernel = small_states(1)
    phis = jnp.broadcast_to(jnp.ones((4, 6), FLOAT32), (5, 4, 6))
    _, states = thermalise(kernel, phis, jr.key(4), n_therm=8)
    pairs = itertools.combinations(np.asarray(states.phi), 2)
    assert min(np.abs(a - b).max() for a, b in pairs) > 0.01


def test_a_chain_does_not_depend_on_the_others(monkeypatch):
    """Nor on the blocks the chains run in: here 16 and 4."""
    monkeypatch.setattr(runner, "_BLOCK_BYTES", 1)
    states, _ = small_states(20)
    kernel = HMC(SMALL, 0.25, 4)
    few = jax.tree.map(lambda leaf: leaf[:3], states)
    _, many_history = run(states, kernel, 0, 5)
    _, few_history = run(few, kernel, 0, 5)
    for name in few_history:
        np.testing.assert_allclose(
            many_history[name][:3], few_history[name], rtol=1e-3, atol=1e-4
        )


def test_histories_are_float64_with_chains_first():
    states, kernel = small_states(6)
    states, history = run(states, kernel, 0, 10)
    assert history["phi2"].shape == history["acceptance"].shape == (6, 10)
    assert history["slices"].shape == (6, 10, 4)
    assert {leaf.dtype for leaf in history.values()} == {jnp.dtype("float64")}
    assert states.phi.shape == (6, 4, 6)
    assert states.phi.dtype == jnp.float32
    np.testing.assert_allclose(states.action, jax.vmap(SMALL)(states.phi), rtol=1e-12)


def test_chunks_share_one_compilation():
    n_traces = 0

    def counting(phi):
        nonlocal n_traces
        n_traces += 1
        return {"mag": jnp.mean(phi)}

    states, _ = small_states(3)
    for chunk in range(3):
        states, _ = run_chunk(
            Metropolis(SMALL, 0.1 + chunk),
            states,
            jr.key(chunk),
            7 * chunk,
            n_samples=2,
            thin=1,
            measure=counting,
        )
    assert n_traces == 1


@pytest.mark.parametrize(
    ("make", "target"),
    [
        pytest.param(
            lambda size: HMC(SMALL, size, 4, "minimum_norm", 0.9),
            0.9,
            marks=pytest.mark.slow,
        ),
        (lambda size: Metropolis(SMALL, size), 0.5),
    ],
)
def test_tuning_meets_the_target_from_any_start(make, target):
    sizes = []
    for initial in (0.003, 30.0):
        phis = init_chains(SMALL, jr.key(0), 48, dtype=FLOAT32)
        kernel, states = thermalise(make(initial), phis, jr.key(1), n_therm=400)
        _, history = run(states, kernel, 0, 100, thin=1)
        assert np.mean(history["acceptance"]) == pytest.approx(target, abs=0.03)
        sizes.append(float(kernel.step_size))
    assert sizes[0] == pytest.approx(sizes[1], rel=0.05)


@pytest.mark.slow
def test_tuning_a_sequence_tunes_every_part():
    kernel = Sequence((Metropolis(SMALL, 0.1), SignCluster(SMALL), HMC(SMALL, 0.01)))
    phis = init_chains(SMALL, jr.key(0), 48, dtype=FLOAT32)
    kernel, states = thermalise(kernel, phis, jr.key(1), n_therm=300)
    for part in (kernel.kernels[0], kernel.kernels[2]):
        _, history = run(states, part, 0, 100, thin=1)
        target = part.target_acceptance
        assert np.mean(history["acceptance"]) == pytest.approx(target, abs=0.04)


def test_no_chain_stays_stuck_in_the_far_tail():
    phis = init_chains(SMALL, jr.key(0), 64, dtype=FLOAT32, scale=4.0, start="hot")
    stuck = HMC(SMALL, 0.3, 5)
    states = jax.vmap(stuck.init)(phis)
    _, history = run(states, stuck, 0, 100, thin=1)
    assert np.min(np.mean(history["acceptance"], axis=1)) < 1e-3
    kernel, states = thermalise(HMC(SMALL, 0.3, 5), phis, jr.key(1), n_therm=400)
    _, history = run(states, kernel, 0, 100, thin=1)
    assert np.min(np.mean(history["acceptance"], axis=1)) > 0.5


def test_cluster_alone_has_nothing_to_tune():
    phis = init_chains(SMALL, jr.key(0), 4, dtype=FLOAT32, start="cold")
    kernel, states = thermalise(SignCluster(SMALL), phis, jr.key(1), n_therm=8)
    assert isinstance(kernel, SignCluster)
    np.testing.assert_array_equal(np.abs(states.phi), 1)


def test_diverging_steps_never_make_nan():
    states, _ = small_states(4)
    end, history = run(states, HMC(SMALL, 100.0, 10), 0, 10)
    assert np.all(np.asarray(history["acceptance"]) == 0)
    assert not np.isfinite(history["delta_h"]).any()
    np.testing.assert_array_equal(end.phi, states.phi)
    assert np.isfinite(history["phi2"]).all()


def test_starts():
    cold = init_chains(SMALL, jr.key(0), 5, dtype=FLOAT32, scale=1.5, start="cold")
    assert cold.dtype == jnp.float32
    np.testing.assert_array_equal(cold[:, 0, 0], [1.5, -1.5, 1.5, -1.5, 1.5])
    assert np.ptp(cold[0]) == 0
    hot = init_chains(SMALL, jr.key(0), 500, dtype=FLOAT32, scale=1.5, start="hot")
    assert np.std(hot) == pytest.approx(1.5, rel=5 / np.sqrt(2 * hot.size))
    fewer = init_chains(SMALL, jr.key(0), 5, dtype=FLOAT32, scale=1.5, start="hot")
    np.testing.assert_allclose(hot[:5], fewer, rtol=1e-6)
    # ordered either way, and not at all
    mixed = init_chains(SMALL, jr.key(0), 5, dtype=FLOAT32, scale=1.5)
    np.testing.assert_array_equal(mixed[::4], cold[::4])
    np.testing.assert_array_equal(mixed[2:4], hot[2:4])


@pytest.mark.parametrize(
    ("kappa", "name", "exact", "exact_error", "max_error"),
    [
        (0.25, "phi2", 0.799265, 0.0, 0.0015),
        (0.30, "abs_mag", 2.0879, 0.0004, 0.0006),
        (0.30, "phi2", 4.76566, 0.0, 0.0025),
    ],
)
def test_known_values(kappa, name, exact, exact_error, max_error):
    """16x8, λ = 0.022: tensor network and cluster Monte Carlo."""
    history = long_history(kappa)
    means = np.mean(history[name], axis=1)
    error = np.std(means, ddof=1) / np.sqrt(means.size)
    assert error < max_error
    assert abs(np.mean(means) - exact) < 5 * np.hypot(error, exact_error)
    assert np.mean(history["acceptance"]) == pytest.approx(0.8, abs=0.02)
    signs = np.sign(history["mag"])
    assert np.all(signs.min(axis=1) == -1)
    assert np.all(signs.max(axis=1) == 1)


def test_known_values_see_a_wrong_coupling():
    means = np.mean(long_history(0.25)["phi2"], axis=1)
    shifted = np.mean(long_history(0.245)["phi2"], axis=1)
    error = np.std(means, ddof=1) / np.sqrt(means.size)
    assert abs(np.mean(shifted) - 0.799265) > 8 * error


_HISTORIES = {}


def long_history(kappa):
    """One compilation for all couplings: κ is an array."""
    if kappa not in _HISTORIES:
        action = Phi4((16, 8), kappa, 0.022)
        kernel = Sequence((HMC(action), SignCluster(action)))
        phis = init_chains(action, jr.key(0), 64, dtype=FLOAT32)
        kernel, states = thermalise(kernel, phis, jr.key(1), n_therm=300)
        _HISTORIES[kappa] = run(states, kernel, 0, 1000, thin=1)[1]
    return _HISTORIES[kappa]


def test_hmc_alone_does_not_cross():
    """The trap that the cluster is there for."""
    action = Phi4((16, 8), 0.30, 0.022)
    phis = init_chains(action, jr.key(0), 8, dtype=FLOAT32, scale=2.0, start="cold")
    kernel = HMC(action, 0.2)
    _, history = run(jax.vmap(kernel.init)(phis), kernel, 0, 200, thin=1)
    assert np.all(np.ptp(np.sign(history["mag"]), axis=1) == 0)


class _Twice(AbstractKernel):
    """A kernel from outside: the runner asks for nothing but the interface."""

    def init(self, phi):
        return ChainState(phi, SMALL(phi))

    def step(self, key, state):
        one = jnp.ones_like(state.action)
        return self.init(2 * state.phi), ChainInfo(one, 0 * one)


def test_thin_counts_steps():
    phis = jnp.full((2, 4, 6), 1e-3, FLOAT32)
    states, history = run_chunk(
        _Twice(),
        jax.vmap(_Twice().init)(phis),
        jr.key(0),
        0,
        n_samples=3,
        thin=2,
        measure=lambda phi: {"mag": jnp.mean(phi)},
    )
    np.testing.assert_allclose(history["mag"][0], [4e-3, 16e-3, 64e-3], rtol=1e-6)
    np.testing.assert_allclose(states.phi, 64e-3, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: init_chains(SMALL, jr.key(0), 0, dtype=FLOAT32), "n_chains"),
        (lambda: run(*small_states(2), 0, 0), "n_samples"),
        (lambda: run(*small_states(2), 0, 1, thin=0), "thin"),
        (
            lambda: thermalise(
                small_kernel(), small_states(2)[0].phi, jr.key(0), n_therm=0
            ),
            "n_therm",
        ),
    ],
)
def test_impossible_requests_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
