"""Independence Metropolis: its transition probabilities, alone and with clusters."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from genlat.actions.ising import Ising
from genlat.mcmc.independence import Independence
from genlat.mcmc.sequence import Sequence
from genlat.mcmc.spin_clusters import Wolff
from genlat.models.autoregressive.coarse_to_fine import CoarseToFine
from ising_for_tests import boltzmann, configurations

SHAPE, N = (2, 2), 16
ACTION = Ising(SHAPE, 0.3, 0.2)


def a_poor_proposal():
    """Heat baths of another β and field: no weight is 1."""
    model = CoarseToFine(SHAPE, -0.2, 0.5, width=2, biased=True, key=jr.key(0))

    def biases(model):
        return [level[0].biases[-1] for level in model.levels]

    return eqx.tree_at(biases, model, replace_fn=lambda bias: bias + 0.4)


@eqx.filter_jit
def destinations(kernel, keys, starts):
    """Number of the configuration that one step leads to."""

    def one(key, start):
        return kernel.step(key, kernel.init(start))[0].phi

    after = jax.vmap(one)(keys, starts).reshape(len(keys), -1)
    return (after < 0) @ (1 << jnp.arange(after.shape[1]))


def chi2(counts, expected):
    """In standard deviations from its mean, of cells that are expected at all."""
    is_met = expected > 0
    assert not counts[~is_met].any()
    excess = ((counts - expected)[is_met] ** 2 / expected[is_met]).sum()
    freedom = is_met.sum() - (N if counts.ndim == 2 else 1)
    return (excess - freedom) / math.sqrt(2 * freedom)


def test_transitions_are_those_of_independence_metropolis():
    proposal, spins = a_poor_proposal(), configurations(SHAPE)
    q = np.exp(proposal.log_prob_batch(jnp.asarray(spins)))
    p, _ = boltzmann(SHAPE, 0.3, 0.2)
    weight = p / q
    assert np.ptp(np.log(weight)) > 1.5
    matrix = q * np.minimum(1, weight[None] / weight[:, None])
    matrix[np.diag_indices(N)] = 0
    matrix += np.diag(1 - matrix.sum(axis=1))
    np.testing.assert_allclose(p @ matrix, p, atol=1e-7)  # networks are float32
    starts = np.repeat(np.arange(N), 8000)
    keys = jr.split(jr.key(1), len(starts))
    kernel = Independence(ACTION, proposal)
    ends = destinations(kernel, keys, jnp.asarray(spins[starts]))
    counts = np.histogram2d(starts, ends, bins=(range(N + 1), range(N + 1)))[0]
    assert abs(chi2(counts, 8000 * matrix)) < 5
    assert chi2(counts, 8000 * (matrix + np.roll(matrix, 1, 1)) / 2) > 50


def test_with_clusters_it_leaves_the_distribution_invariant():
    kernel = Sequence((Independence(ACTION, a_poor_proposal()), Wolff(ACTION)))
    p, _ = boltzmann(SHAPE, 0.3, 0.2)
    starts = np.random.default_rng(2).choice(N, 100_000, p=p)
    keys = jr.split(jr.key(3), len(starts))
    spins = jnp.asarray(configurations(SHAPE)[starts])
    counts = np.bincount(destinations(kernel, keys, spins), minlength=N)
    assert abs(chi2(counts, len(starts) * p)) < 5
    wrong, _ = boltzmann(SHAPE, 0.33, 0.2)
    assert chi2(counts, len(starts) * wrong) > 10
