"""Kernels against exact identities, enumeration and closed forms."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy import integrate

from compiled_for_tests import RUNS_LONG
from genlat import lattice
from genlat.actions.double_well import DoubleWell
from genlat.actions.phi4 import Phi4
from genlat.mcmc import metropolis
from genlat.mcmc.base import ChainState
from genlat.mcmc.cluster import SignCluster, cluster_minima
from genlat.mcmc.hmc import HMC
from genlat.mcmc.metropolis import Metropolis
from genlat.mcmc.noise import gaussian
from genlat.mcmc.sequence import Sequence

SHAPE = (4, 6)
ACTION = Phi4(SHAPE, 0.31, 0.17)
INTEGRATORS = ["leapfrog", "minimum_norm"]


def generic(shape=SHAPE, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape) + 0.3)


@eqx.filter_jit
def trajectory(kernel, phi, pi):
    return kernel.trajectory(phi, pi)


@eqx.filter_jit
def step(kernel, phi):
    return kernel.step(jr.key(0), kernel.init(phi))


# The noise


@pytest.mark.parametrize("shape", [(4, 6), (1, 5), (2, 3), (2, 1, 4)])
def test_neighbour_sum_against_a_loop(shape):
    phi = np.asarray(generic(shape))
    expected = np.zeros(shape)
    for site in np.ndindex(shape):
        for axis, step in itertools.product(range(len(shape)), (-1, 1)):
            other = list(site)
            other[axis] = (other[axis] + step) % shape[axis]
            expected[site] += phi[tuple(other)]
    found = jax.jit(lattice.neighbour_sum)(jnp.asarray(phi))
    np.testing.assert_allclose(found, expected)


# HMC


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_trajectory_is_reversible(integrator):
    kernel = HMC(ACTION, 0.13, 7, integrator)
    phi, pi = generic(), generic(seed=1)
    phi_1, pi_1 = trajectory(kernel, phi, pi)
    phi_0, pi_0 = trajectory(kernel, phi_1, -pi_1)
    assert np.abs(phi_1 - phi).max() > 0.1
    np.testing.assert_allclose(phi_0, phi, atol=1e-12)
    np.testing.assert_allclose(-pi_0, pi, atol=1e-12)


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_trajectory_preserves_volume(integrator):
    kernel = HMC(Phi4((2, 3), 0.31, 0.17), 0.2, 3, integrator)

    def flat(z):
        phi, pi = z.reshape(2, 2, 3)
        return jnp.stack(kernel.trajectory(phi, pi)).ravel()

    column = jax.jit(lambda unit: jax.jvp(flat, (generic((12,)),), (unit,))[1])
    jacobian = np.stack([column(unit) for unit in np.eye(12)], axis=1)
    assert abs(np.linalg.slogdet(jacobian)[1]) < 1e-12
    assert np.abs(jacobian - np.eye(12)).max() > 0.1


def energy_error(integrator, step_size, n_leapfrog):
    return abs(energy_change(HMC(ACTION, step_size, n_leapfrog, integrator)))


def energy_change(kernel):
    """Of the true H, by the kernel's own force."""
    ends = generic(), generic(seed=1)

    @eqx.filter_jit
    def change(kernel):
        before, after = (
            ACTION(phi) + jnp.sum(pi**2) / 2
            for phi, pi in (ends, kernel.trajectory(*ends))
        )
        return after - before

    return float(change(kernel))


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_energy_error_is_of_second_order(integrator):
    errors = [energy_error(integrator, 0.4 / n, n) for n in (16, 32, 64)]
    for coarse, fine in itertools.pairwise(errors):
        assert np.log2(coarse / fine) == pytest.approx(2, abs=0.05)


def test_minimum_norm_is_more_accurate_at_equal_cost():
    leapfrog, minimum_norm = (
        energy_error("leapfrog", 0.4 / 32, 32),
        energy_error("minimum_norm", 0.4 / 16, 16),
    )
    assert minimum_norm < leapfrog / 2


def test_trajectory_conserves_energy_only_with_the_right_force():
    wrong = eqx.tree_at(
        lambda kernel: kernel.action.kappa, HMC(ACTION, 0.01), jnp.array(0.3)
    )
    assert abs(energy_change(wrong)) > 100 * energy_error("leapfrog", 0.01, 10)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_diverging_trajectory_is_rejected(dtype):
    kernel = HMC(ACTION, 50.0, 20)
    phi = generic().astype(dtype)
    new, info = step(kernel, phi)
    assert info.acceptance == 0
    assert not np.isfinite(info.delta_h)
    np.testing.assert_array_equal(new.phi, phi)
    assert new.action == jax.jit(lambda phi: ACTION(phi))(phi)


def test_hmc_sums_in_float64_at_the_dtype_of_the_field():
    state, info = step(HMC(ACTION, 0.1), generic().astype(jnp.float32))
    assert state.phi.dtype == jnp.float32
    assert state.action.dtype == info.delta_h.dtype == jnp.float64


def test_vmapped_trajectory_over_fields_steps_and_couplings():
    phis, pis = generic((5, *SHAPE)), generic((5, *SHAPE), seed=1)
    steps, kappas = np.linspace(0.05, 0.2, 5), np.linspace(0.1, 0.3, 5)

    def run(phi, pi, step, kappa):
        return HMC(Phi4(SHAPE, kappa, 0.17), step, 4).trajectory(phi, pi)

    batch = jax.jit(jax.vmap(run))(phis, pis, steps, kappas)
    one = jax.jit(run)
    for i in range(5):
        alone = one(phis[i], pis[i], steps[i], kappas[i])
        np.testing.assert_allclose(batch[0][i], alone[0], rtol=1e-12)
        np.testing.assert_allclose(batch[1][i], alone[1], rtol=1e-12)


# Metropolis


@pytest.mark.parametrize("shape", [(4, 6), (1, 4), (2, 1, 4)])
def test_local_change_is_the_difference_of_actions(shape):
    action = Phi4(shape, 0.31, 0.17)
    phi, proposal = generic(shape), generic(shape, seed=1)
    change = jax.jit(metropolis.local_change)(action, phi, proposal)
    moved = np.repeat(np.asarray(phi)[None], phi.size, axis=0)
    for one, site in zip(moved, np.ndindex(shape), strict=True):
        one[site] = proposal[site]
    before, *after = np.asarray(jax.jit(jax.vmap(action))(jnp.asarray([phi, *moved])))
    np.testing.assert_allclose(np.ravel(change), after - before, atol=1e-12)


def test_metropolis_needs_a_checkerboard():
    with pytest.raises(ValueError, match="even extents"):
        Metropolis(Phi4((4, 5), 0.31, 0.17))


def test_metropolis_works_on_the_double_well():
    action = DoubleWell((6,), 2.75, -1.0, 1.0)
    kernel = Metropolis(action, 0.5)
    state, info = step(kernel, generic((6,)))
    again = jax.jit(lambda phi: action(phi))(state.phi)
    np.testing.assert_allclose(state.action, again, rtol=1e-12)
    assert 0 < info.acceptance < 1


# Clusters


def flood_fill(bonds):
    shape = bonds.shape[1:]
    labels = np.arange(np.prod(shape)).reshape(shape)
    changed = True
    while changed:
        changed = False
        for axis, site in itertools.product(range(len(shape)), np.ndindex(shape)):
            ahead = list(site)
            ahead[axis] = (ahead[axis] + 1) % shape[axis]
            pair = labels[site], labels[tuple(ahead)]
            if bonds[(axis, *site)] and pair[0] != pair[1]:
                labels[site] = labels[tuple(ahead)] = min(pair)
                changed = True
    return labels


@pytest.mark.parametrize("shape", [(4, 6), (2, 3), (1, 5), (3, 2, 4), (16, 16)])
@pytest.mark.parametrize("probability", [0.0, 0.3, 0.5, 1.0])
def test_clusters_against_flood_fill(shape, probability):
    bonds = np.random.default_rng(2).random((3, len(shape), *shape)) < probability
    labels = jax.jit(jax.vmap(cluster_minima))(jnp.asarray(bonds))
    for one, expected in zip(labels, map(flood_fill, bonds), strict=True):
        np.testing.assert_array_equal(one, expected)


@pytest.mark.parametrize(
    ("shape", "kappa"),
    [
        ((2, 2), 0.31),
        ((1, 3), -0.27),
        pytest.param((2, 3), 0.31, marks=pytest.mark.slow),
        pytest.param((2, 3), -0.27, marks=pytest.mark.slow),
    ],
)
def test_cluster_leaves_the_sign_distribution_invariant_and_balanced(shape, kappa):
    """Every sign state moved many times: counts of moves, weighted, are symmetric."""
    action = Phi4(shape, kappa, 0.17)
    kernel = SignCluster(action)
    volume = int(np.prod(shape))
    modulus = np.abs(generic(shape)) * 0.7 + 0.3
    n_states, n_draws = 2**volume, 2000
    codes = np.arange(n_states)
    bits = 2.0 ** np.arange(volume)
    signs = 1 - 2 * ((codes[:, None] >> np.arange(volume)[None]) & 1)
    phis = jnp.asarray(modulus[None] * signs.reshape(-1, *shape))
    actions = np.asarray(jax.jit(jax.vmap(action))(phis))
    p = np.exp(-actions + actions.min())
    p /= p.sum()

    def move(key, phi):
        state = kernel.step(key, ChainState(phi, action(phi)))[0]
        return jnp.sum((state.phi.ravel() < 0) * bits).astype(int), state

    keys = jr.split(jr.key(4), (n_states, n_draws))
    moved, states = jax.jit(jax.vmap(jax.vmap(move, (0, None))))(keys, phis)
    moduli = np.broadcast_to(modulus, states.phi.shape)
    np.testing.assert_allclose(np.abs(states.phi), moduli)
    counts = np.stack([np.bincount(row, minlength=n_states) for row in moved])
    transition = counts / n_draws
    variance = transition * (1 - transition) / n_draws + 1 / n_draws**2

    flow = p[:, None] * transition
    flow_error = np.sqrt(p[:, None] ** 2 * variance)
    pull = (flow - flow.T) / np.hypot(flow_error, flow_error.T)
    assert np.abs(pull).max() < 5
    error = np.sqrt(p**2 @ variance)
    assert np.abs((p @ transition - p) / error).max() < 5
    assert error.max() < 0.01
    # and would be seen not to be invariant at half the coupling
    wrong = np.sqrt(p) / np.sqrt(p).sum()
    wrong_pull = (wrong @ transition - wrong) / np.sqrt(wrong**2 @ variance)
    assert np.abs(wrong_pull).max() > 8


# Stationarity


SCHWINGER_DYSON = [
    ("hmc", HMC(ACTION, 0.2, 5)),
    pytest.param(
        "minimum_norm",
        HMC(ACTION, 0.3, 3, "minimum_norm"),
        marks=pytest.mark.slow,
    ),
    ("metropolis", Metropolis(ACTION, 1.3)),
    ("sequence", Sequence((Metropolis(ACTION, 1.3), SignCluster(ACTION)))),
]


def run(kernel, action, *, n_chains, n_steps, n_therm, measure, dtype=jnp.float64):
    """Chain means of `measure` and of e^-ΔH, independent of the chain runner."""

    def chain(key):
        noise = gaussian(jr.fold_in(key, 0), action.lattice_shape, dtype)
        # close to equilibrium: HMC leaves the far tail of a quartic potential slowly
        state = kernel.init(0.5 * noise)

        def step(state, t):
            state, info = kernel.step(jr.fold_in(key, t), state)
            return state, (measure(state.phi), jnp.exp(-info.delta_h))

        _, history = jax.lax.scan(step, state, 1 + jnp.arange(n_therm + n_steps))
        return jax.tree.map(lambda x: jnp.mean(x[n_therm:]), history)

    run = jax.jit(jax.vmap(chain), compiler_options=RUNS_LONG)
    return run(jr.split(jr.key(11), n_chains))


def pull(chain_means, exact):
    """(mean - exact) / error and the error, from independent chains."""
    x = np.asarray(chain_means)
    error = x.std(ddof=1) / np.sqrt(x.size)
    return (x.mean() - exact) / error, error


@pytest.mark.parametrize(("name", "kernel"), SCHWINGER_DYSON)
def test_schwinger_dyson_and_energy_identity(name, kernel):
    volume = np.prod(SHAPE)

    def virial(phi):
        return -jnp.sum(phi * ACTION.force(phi)) / volume

    means, exp_h = run(
        kernel, ACTION, n_chains=192, n_steps=300, n_therm=100, measure=virial
    )
    deviation, error = pull(means, 1.0)
    assert abs(deviation) < 5
    assert error < 0.005
    if name in ("hmc", "minimum_norm"):
        deviation, error = pull(exp_h, 1.0)
        assert abs(deviation) < 5
        assert error < 0.005
        assert error > 0


def test_schwinger_dyson_sees_a_wrong_coupling():
    wrong = Phi4(SHAPE, 0.29, 0.17)
    means, _ = run(
        HMC(wrong, 0.2, 5),
        wrong,
        n_chains=192,
        n_steps=300,
        n_therm=100,
        measure=lambda phi: -jnp.sum(phi * ACTION.force(phi)) / phi.size,
    )
    assert abs(pull(means, 1.0)[0]) > 8


@pytest.mark.parametrize(
    "make", [lambda a: HMC(a, 0.23, 7), lambda a: Metropolis(a, 1.4)]
)
def test_free_field_exact(make):
    """λ = 0: ⟨φ²⟩ = (1/V) Σ_p 1 / (2 (1 - 2κ Σ cos p))."""
    action = Phi4(SHAPE, 0.17, 0.0)
    exact = np.mean(0.5 / (1 - 2 * 0.17 * lattice.hopping_spectrum(SHAPE)))
    how = {"n_chains": 192, "n_steps": 400, "n_therm": 100, "dtype": jnp.float32}
    means, _ = run(make(action), action, measure=lambda phi: jnp.mean(phi**2), **how)
    deviation, error = pull(means, exact)
    assert abs(deviation) < 5
    assert error < 0.004


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [lambda a: HMC(a, 0.3, 5), lambda a: Metropolis(a, 1.7)]
)
def test_independent_sites_against_quadrature(make):
    lam = 0.17
    action = Phi4(SHAPE, 0.0, lam)

    def weight(x, power):
        return x**power * np.exp(-(1 - 2 * lam) * x**2 - lam * x**4)

    norm, square = (integrate.quad(weight, -8, 8, args=(k,))[0] for k in (0, 2))
    means, _ = run(
        make(action),
        action,
        n_chains=192,
        n_steps=300,
        n_therm=50,
        measure=lambda phi: jnp.mean(phi**2),
    )
    deviation, error = pull(means, square / norm)
    assert abs(deviation) < 5
    assert error < 0.002


# Refusals


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HMC(ACTION, 0.0), "step_size"),
        (lambda: HMC(ACTION, 0.1, 0), "n_leapfrog"),
        (lambda: HMC(ACTION, target_acceptance=1.0), "target_acceptance"),
        (lambda: Metropolis(ACTION, -1.0), "step_size"),
        (lambda: Metropolis(ACTION, target_acceptance=0.0), "target_acceptance"),
        (lambda: Sequence(()), "at least one"),
    ],
)
def test_impossible_kernels_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
