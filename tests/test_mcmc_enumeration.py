"""Transitions of the kernels, one by one, against their probabilities written out.

A cluster step between the 2^n sign states of a few sites is a sum over all patterns of
frozen bonds; a Metropolis step is a decision per site. Both are known exactly, and so
is what they leave invariant.
"""

import itertools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from genlat.actions.on import On
from genlat.actions.phi4 import Phi4
from genlat.mcmc import metropolis
from genlat.mcmc.cluster import SignCluster
from genlat.mcmc.embedded import EmbeddedCluster
from genlat.mcmc.metropolis import Metropolis

LAM = 0.17
SYSTEMS = [((2, 2), 0.11), ((1, 3), -0.27), ((5,), 0.23)]
N_DRAWS = 4000


def modulus_of(shape):
    return np.abs(np.random.default_rng(6).normal(size=shape)) * 0.5 + 0.6


def sign_states(shape):
    """All 2^n sign states; bit i of the number is set where site i is negative."""
    volume = int(np.prod(shape))
    bits = (np.arange(2**volume)[:, None] >> np.arange(volume)) & 1
    return (1 - 2 * bits).reshape(-1, *shape)


def bonds_of(shape):
    """(x, x+μ) for every direction and site, as flat indices."""
    sites = np.arange(np.prod(shape)).reshape(shape)
    return [
        (int(x), int(y))
        for axis in range(len(shape))
        for x, y in zip(sites.ravel(), np.roll(sites, -1, axis).ravel(), strict=True)
    ]


def clusters(n_sites, frozen):
    """Bit masks of the connected components."""
    label = list(range(n_sites))
    for x, y in frozen:
        old, new = label[x], label[y]
        label = [new if entry == old else entry for entry in label]
    return [
        sum(1 << x for x in range(n_sites) if label[x] == root)
        for root in sorted(set(label))
    ]


def cluster_matrix(shape, modulus, kappa):
    """T(s → s') of Swendsen-Wang, summed over all patterns of frozen bonds."""
    signs = sign_states(shape).reshape(-1, modulus.size)
    fields = signs * modulus.ravel()
    bonds = bonds_of(shape)
    products = np.stack([fields[:, x] * fields[:, y] for x, y in bonds], axis=1)
    freeze = 1 - np.exp(-np.maximum(4 * kappa * products, 0))
    numbers = np.arange(len(signs))
    matrix = np.zeros((len(signs), len(signs)))
    for pattern in itertools.product((False, True), repeat=len(bonds)):
        chance = np.prod(np.where(pattern, freeze, 1 - freeze), axis=1)
        if not np.any(chance):
            continue
        parts = clusters(modulus.size, itertools.compress(bonds, pattern))
        for flips in itertools.product((False, True), repeat=len(parts)):
            flipped = numbers ^ sum(itertools.compress(parts, flips))
            matrix[numbers, flipped] += chance / 2 ** len(parts)
    return matrix


def boltzmann(shape, modulus, kappa):
    actions = jax.vmap(Phi4(shape, kappa, LAM))(sign_states(shape) * modulus)
    p = np.exp(-np.asarray(actions) + actions.min())
    return p / p.sum()


@pytest.mark.parametrize(("shape", "kappa"), SYSTEMS)
def test_enumerated_cluster_step_is_in_detailed_balance(shape, kappa):
    modulus = modulus_of(shape)
    p, matrix = boltzmann(shape, modulus, kappa), cluster_matrix(shape, modulus, kappa)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-12)
    flow = p[:, None] * matrix
    np.testing.assert_allclose(flow, flow.T, atol=1e-15)
    # half the coupling of a bond balances another distribution
    flow = p[:, None] * cluster_matrix(shape, modulus, kappa / 2)
    assert np.abs(flow - flow.T).max() > 1e-3


def drawn_counts(kernel, shape, modulus):
    """Counts of s → s' in `N_DRAWS` steps of the kernel from every sign state."""

    def move(key, phi):
        state, _ = kernel.step(key, kernel.init(phi))
        negative = (state.phi.ravel() < 0).astype(int)
        return jnp.sum(negative << jnp.arange(modulus.size))

    phis = jnp.asarray(sign_states(shape) * modulus)
    if isinstance(kernel, EmbeddedCluster):
        phis = phis[..., None]
    keys = jr.split(jr.key(8), (len(phis), N_DRAWS))
    moved = jax.jit(jax.vmap(jax.vmap(move, (0, None))))(keys, phis)
    return np.stack([np.bincount(row, minlength=len(phis)) for row in moved])


@pytest.mark.parametrize("make", [SignCluster, EmbeddedCluster])
@pytest.mark.parametrize(("shape", "kappa"), SYSTEMS)
def test_cluster_step_is_the_enumerated_one(shape, kappa, make):
    """That of a vector of one component too: its directions are ±1."""
    modulus = modulus_of(shape)
    scalar, vector = Phi4(shape, kappa, LAM), On(shape, 1, kappa, LAM)
    kernel = make(scalar if make is SignCluster else vector)
    counts = drawn_counts(kernel, shape, modulus)
    assert _distance(counts, cluster_matrix(shape, modulus, kappa)) < 5
    for factor in (0.85, 1.15):  # negative controls: 15 per cent in the coupling
        wrong = cluster_matrix(shape, modulus, factor * kappa)
        assert _distance(counts, wrong) > 10


def test_reflections_are_in_every_direction_alike():
    """Of single sites along an axis: e - 2(r·e) r, and r rᵀ is 1/3 in the mean."""
    kernel = EmbeddedCluster(On((1, 2), 3, 0.0, LAM))
    phi = jnp.asarray([[[0.0, 0.0, 1.3], [0.0, 0.7, 0.0]]])

    @jax.jit
    def steps(keys):
        return jax.vmap(lambda key: kernel.step(key, kernel.init(phi))[0].phi)(keys)

    moved = np.asarray(steps(jr.split(jr.key(3), N_DRAWS)))[:, 0]
    for site, axis in ((0, 2), (1, 1)):
        images = moved[:, site] / np.linalg.norm(phi[0, site])
        images = images[images[:, axis] != 1]  # half of them stand still
        assert abs(len(images) - N_DRAWS / 2) < 5 * np.sqrt(N_DRAWS / 4)
        error = images.std(axis=0) / np.sqrt(len(images))
        assert np.all(np.abs(images.mean(axis=0) - np.eye(3)[axis] / 3) < 5 * error)
        assert np.all(error < 0.02)


def _distance(counts, matrix):
    """(χ² - dof)/√(2 dof) over all transitions that are expected ten times or more."""
    expected = N_DRAWS * matrix
    is_frequent = expected > 10
    chi2 = np.sum((counts - expected)[is_frequent] ** 2 / expected[is_frequent])
    dof = is_frequent.sum() - len(counts)
    return (chi2 - dof) / np.sqrt(2 * dof)


# Metropolis

PAIR = Phi4((2,), 0.31, LAM)


def decide(monkeypatch, proposals, thresholds):
    """One sweep of the pair from many fields, the uniform numbers given."""
    kernel = Metropolis(PAIR, 0.8)

    def sweep(phi, proposal, threshold):
        given = iter([(proposal + 1) / 2, threshold])
        with monkeypatch.context() as patch:
            patch.setattr(metropolis, "uniform", lambda key, shape, dtype: next(given))
            return kernel.step(jr.key(0), kernel.init(phi))

    phis = jnp.asarray(np.random.default_rng(3).normal(size=proposals.shape))
    given = jnp.asarray(proposals), jnp.asarray(thresholds)
    states, infos = jax.vmap(sweep)(phis, *given)
    return np.asarray(phis), states, infos


def pair_action(phi):
    """Two sites and two bonds, written out."""
    x, y = phi[..., 0], phi[..., 1]
    bonds = -4 * 0.31 * x * y
    return bonds + (1 - 2 * LAM) * (x**2 + y**2) + LAM * (x**4 + y**4)


def test_metropolis_decides_at_the_ratio_of_densities(monkeypatch):
    """Even site, then odd site at what became of the even one; 4 outcomes of each."""
    rng = np.random.default_rng(5)
    unit = 2 * rng.random((400, 2)) - 1
    for accept_even, accept_odd in itertools.product((False, True), repeat=2):
        phis, _, _ = decide(monkeypatch, unit, np.zeros_like(unit))
        even = phis + 0.8 * unit * [1, 0]
        middle = even if accept_even else phis
        odd = middle + 0.8 * unit * [0, 1]
        end = odd if accept_odd else middle
        ratios = np.exp(
            [
                pair_action(phis) - pair_action(even),
                pair_action(middle) - pair_action(odd),
            ]
        ).T
        margins = np.where([accept_even, accept_odd], 0.999, 1.001)
        _, states, infos = decide(monkeypatch, unit, ratios * margins)
        np.testing.assert_allclose(states.phi, end, rtol=1e-12)
        np.testing.assert_allclose(states.action, pair_action(end), atol=1e-12)
        expected = np.minimum(ratios, 1).mean(axis=1)
        np.testing.assert_allclose(infos.acceptance, expected, rtol=1e-12)
