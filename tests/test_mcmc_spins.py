"""Kernels of Ising spins: every transition's probability, written out, and big tori.

A sweep decides spin by spin, a cluster step is a sum over all patterns of frozen bonds:
both are known exactly on a few sites, and so is what they leave invariant.
"""

import itertools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from genlat import exact, lattice
from genlat.actions.ising import Ising
from genlat.estimators import autocorrelation
from genlat.exact.onsager import CRITICAL_BETA
from genlat.mcmc import runner
from genlat.mcmc.spin_clusters import SwendsenWang, Wolff
from genlat.mcmc.spins import IsingHeatBath, IsingMetropolis
from ising_for_tests import boltzmann, configurations, energies

KERNELS = {
    "metropolis": IsingMetropolis,
    "heatbath": IsingHeatBath,
    "swendsen_wang": SwendsenWang,
    "wolff": Wolff,
}
each_kernel = pytest.mark.parametrize("name", KERNELS)
# extents 1, 2 and odd ones, both signs of β, with and without field
SYSTEMS = [((2, 2), 0.23, 0.0), ((5,), -0.4, 0.3)]
N_DRAWS = 3000


def bonds_of(shape):
    """(x, x+μ) for every direction and site, as flat indices."""
    sites = np.arange(np.prod(shape)).reshape(shape)
    ahead = [np.roll(sites, -1, axis) for axis in range(len(shape))]
    return [pair for y in ahead for pair in zip(sites.flat, y.flat, strict=True)]


def labels_of(n_sites, frozen):
    label = np.arange(n_sites)
    for x, y in frozen:
        label[label == label[y]] = label[x]
    return label


def cluster_matrix(shape, beta, field, flips):
    """T(s → s') of a cluster kernel, summed over all patterns of frozen bonds.

    `flips(clusters, 2βhM, V)` lists (sites to flip as a mask, probability).
    """
    spins = configurations(shape).reshape(-1, np.prod(shape)).astype(float)
    bonds, volume = bonds_of(shape), spins.shape[1]
    products = np.stack([spins[:, x] * spins[:, y] for x, y in bonds], axis=1)
    freeze = 1 - np.exp(-2 * np.maximum(beta * products, 0))
    matrix, numbers = np.zeros((2**volume, 2**volume)), np.arange(2**volume)
    for pattern in itertools.product((False, True), repeat=len(bonds)):
        chance = np.prod(np.where(pattern, freeze, 1 - freeze), axis=1)
        label = labels_of(volume, itertools.compress(bonds, pattern))
        masks = [sum(1 << x for x in range(volume) if label[x] == r) for r in label]
        clusters = sorted(set(masks))
        sums = np.stack([spins[:, label == label[x]].sum(1) for x in range(volume)], 1)
        totals = np.stack([sums[:, masks.index(c)] for c in clusters], 1)
        tilt = 2 * beta * field * totals
        for mask, probability in flips(clusters, tilt, volume):
            matrix[numbers, numbers ^ mask] += chance * probability
    return matrix


def swendsen_wang_flips(clusters, tilt, volume):
    flip = 1 / (1 + np.exp(tilt))
    for choice in itertools.product((False, True), repeat=len(clusters)):
        probability = np.prod(np.where(choice, flip, 1 - flip), axis=1)
        yield sum(itertools.compress(clusters, choice)), probability


def wolff_flips(clusters, tilt, volume):
    for index, mask in enumerate(clusters):
        picked = mask.bit_count() / volume
        accepted = np.minimum(1, np.exp(-tilt[:, index]))
        yield mask, picked * accepted
        yield 0, picked * (1 - accepted)


def sweep_matrix(shape, beta, field, flip_probability):
    """T(s → s') of one sweep: the colours in order, the spins of one independent."""
    spins, volume = configurations(shape), int(np.prod(shape))
    matrix, numbers = np.eye(2**volume), np.arange(2**volume)
    for mask in lattice.colour_masks(shape):
        for site in np.flatnonzero(mask):
            change = beta * (
                energies(spins[numbers ^ (1 << site)], field) - energies(spins, field)
            )
            flip = flip_probability(change)
            step = np.diag(1 - flip)
            step[numbers, numbers ^ (1 << site)] += flip
            matrix = matrix @ step
    return matrix


def matrix_of(name, shape, beta, field):
    return {
        "metropolis": lambda: sweep_matrix(
            shape, beta, field, lambda x: 15 / 16 * np.minimum(1, np.exp(-x))
        ),
        "heatbath": lambda: sweep_matrix(
            shape, beta, field, lambda x: 1 / (1 + np.exp(x))
        ),
        "swendsen_wang": lambda: cluster_matrix(
            shape, beta, field, swendsen_wang_flips
        ),
        "wolff": lambda: cluster_matrix(shape, beta, field, wolff_flips),
    }[name]()


def drawn_counts(name, shape, beta, field):
    """Counts of s → s' in `N_DRAWS` steps of the kernel from every configuration."""
    kernel = KERNELS[name](Ising(shape, beta, field))
    volume = int(np.prod(shape))

    def move(key, spins):
        state, _ = kernel.step(key, kernel.init(spins))
        return jnp.sum((state.phi.ravel() < 0) << jnp.arange(volume))

    spins = jnp.asarray(configurations(shape))
    keys = jr.split(jr.key(8), (len(spins), N_DRAWS))
    moved = jax.jit(jax.vmap(jax.vmap(move, (0, None))))(keys, spins)
    return np.stack([np.bincount(row, minlength=len(spins)) for row in moved])


def distance(counts, matrix):
    """χ² of all transitions of some weight, in standard deviations from its mean."""
    expected = N_DRAWS * matrix
    used = expected > 5
    chi2 = np.sum((counts[used] - expected[used]) ** 2 / expected[used])
    dof = used.sum() - len(matrix)
    assert counts[matrix == 0].sum() == 0
    return (chi2 - dof) / np.sqrt(2 * dof)


@each_kernel
@pytest.mark.parametrize(("shape", "beta", "field"), SYSTEMS, ids=str)
def test_transitions(name, shape, beta, field):
    """The probabilities leave e^{-S} invariant, are ergodic, and are the kernel's."""
    matrix = matrix_of(name, shape, beta, field)
    p, _ = boltzmann(shape, beta, field)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(p @ matrix, p, atol=1e-14)
    moduli = np.sort(np.abs(np.linalg.eigvals(matrix)))
    assert moduli[-2] < 0.999  # neither a second stationary state nor a period
    counts = drawn_counts(name, shape, beta, field)
    assert abs(distance(counts, matrix)) < 5
    # negative controls: a fifth of β, or another field
    for wrong in ((1.2 * beta, field), (beta, field + 0.2)):
        assert distance(counts, matrix_of(name, shape, *wrong)) > 10


@pytest.mark.parametrize(
    "shape", [(4, 6), (3, 4), (5, 7), (1, 6), (3,), (2, 2, 2), (3, 4, 5), (1, 1)]
)
def test_colours_are_no_neighbours(shape):
    masks = lattice.colour_masks(shape)
    assert np.all(masks.sum(axis=0) == 1)
    for axis, extent in enumerate(shape):
        if extent > 1:
            assert not np.any(masks & np.roll(masks, 1, axis + 1))
    assert len(masks) <= (3 if any(n % 2 and n > 1 for n in shape) else 2)


@each_kernel
def test_against_exact_values(name):
    """Energy and |m| at β_c, by Kaufman and by counting."""
    action = Ising((8, 8), CRITICAL_BETA)
    kernel = KERNELS[name](action)
    spins = runner.init_spins(action, jr.key(0), 64, start="hot")
    kernel, states = runner.thermalise(kernel, spins, jr.key(1), n_therm=100)
    _, history = runner.run_chunk(
        kernel, states, jr.key(2), 0, n_samples=500, thin=1, measure=_measure(action)
    )
    known = exact.known(action)
    for key in ("energy_density", "abs_mag", "mag2"):
        found = autocorrelation.mean(np.asarray(history[key]))
        assert 0 < found.error < 0.01
        assert abs(found.value - known[key].value) < 5 * found.error, key


def _measure(action):
    def measure(spins):
        m = jnp.mean(spins, dtype=float)
        energy = action.energy(spins) / spins.size
        return {"energy_density": energy, "abs_mag": jnp.abs(m), "mag2": m**2}

    return jax.tree_util.Partial(measure)


@pytest.mark.parametrize("name", ["metropolis", "wolff"])
def test_a_history_is_that_of_its_chain_alone(name):
    """Whatever the number of chains, where a chunk begins, and without `vmap`."""
    action = Ising((4, 6), 0.4)
    kernel = KERNELS[name](action)
    spins = runner.init_spins(action, jr.key(0), 5, start="hot")
    measure = jax.tree_util.Partial(lambda spins: {"spins": spins})

    def chunk(states, start, n):
        return runner.run_chunk(
            kernel, states, jr.key(3), start, n_samples=n, thin=1, measure=measure
        )

    states = jax.vmap(kernel.init)(spins)
    end, whole = chunk(states, 0, 6)
    middle, first = chunk(states, 0, 3)
    _, second = chunk(middle, 3, 3)
    parts = np.concatenate([first["spins"], second["spins"]], axis=1)
    np.testing.assert_array_equal(parts, whole["spins"])
    few, _ = chunk(jax.tree.map(lambda leaf: leaf[:2], states), 0, 6)
    np.testing.assert_array_equal(few.phi, end.phi[:2])
    alone = kernel.init(spins[1])
    for t in range(2):
        key = jr.fold_in(jr.fold_in(jr.key(3), 1), t)
        alone, _ = jax.jit(lambda *x: kernel.step(*x))(key, alone)
    np.testing.assert_array_equal(alone.phi, whole["spins"][1, 1])
    assert end.phi.dtype == np.int8
    np.testing.assert_allclose(end.action, jax.vmap(action)(end.phi))


def test_sweeps_of_a_step_differ():
    """Two sweeps are not the first one twice: a key of its own for each."""
    action = Ising((6, 6), 0.4)
    one, two = (IsingHeatBath(action, n_sweeps=n) for n in (1, 2))
    state = one.init(runner.init_spins(action, jr.key(0), 1, start="hot")[0])
    step = jax.jit(lambda state: one.step(jr.key(1), state)[0])
    twice = jax.jit(lambda state: two.step(jr.key(1), state)[0])(state)
    once = step(state)
    again = step(once)
    assert np.any(np.asarray(twice.phi) != np.asarray(again.phi))
    assert np.any(np.asarray(twice.phi) != np.asarray(once.phi))


def test_refusals():
    with pytest.raises(ValueError, match="n_sweeps must be at least 1, got 0"):
        IsingHeatBath(Ising((4, 4), 0.4), n_sweeps=0)
    with pytest.raises(ValueError, match=r"spins must be \+1 or -1, got 0"):
        SwendsenWang(Ising((4, 4), 0.4)).init(jnp.zeros((4, 4)))
