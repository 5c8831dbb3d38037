"""Mixtures over orders of components: the group, densities, draws and scores."""

import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from genlat import symmetry
from genlat.likelihood import EXACT
from genlat.models.base import AbstractFlow, AbstractModel
from genlat.models.symmetrized import Symmetrized, SymmetrizedSpins
from genlat.symmetry import Symmetry
from genlat.symmetry import group as symmetry_group


def test_orders_of_components_are_a_group():
    group = symmetry_group((2, 3), ("sign", "permutations"), 3)
    assert len(group) == 12
    symmetry.check_group(group)
    phi = jr.normal(jr.key(0), (2, 3, 3))
    for g, h in itertools.product(group, repeat=2):
        np.testing.assert_array_equal((g @ h).apply(phi), g.apply(h.apply(phi)))
        np.testing.assert_array_equal(g.inverse().apply(g.apply(phi)), phi)
    first = symmetry_group((2, 3), ("translations",))[1]
    mixed = first @ group[-1]
    np.testing.assert_array_equal(mixed.apply(phi), first.apply(group[-1].apply(phi)))
    assert symmetry_group((2,), ("permutations",), 1) == symmetry_group((2,), ())
    with pytest.raises(ValueError, match="order must be a permutation"):
        Symmetry((2,), 1, (0,), (0,), (False,), (0, 2))
    with pytest.raises(ValueError, match=r"finite groups are .*; got .'rotations'"):
        symmetry_group((2,), ("rotations",), 2)


class Uneven(AbstractFlow):
    """Independent Gaussian components of different widths: no symmetry of O(N)."""

    std: jax.Array
    lattice_shape: tuple[int, ...] = eqx.field(static=True)
    likelihood = EXACT

    @property
    def components(self):
        return self.std.shape

    def sample_batch(self, keys):
        shape = self.field_shape
        phis = jax.vmap(lambda key: jr.normal(key, shape))(keys) * self._wide()
        return phis, self.log_prob_batch(phis)

    def sample_batch_with_score(self, keys):
        phis, log_q = self.sample_batch(keys)
        return phis, log_q, -phis / self._wide() ** 2

    def log_prob_batch(self, phis):
        density = jax.scipy.stats.norm.logpdf(phis, scale=self._wide())
        return jnp.sum(density, axis=tuple(range(1, phis.ndim)))

    def _wide(self):
        ones = (1,) * (1 + len(self.lattice_shape))
        return self.std.reshape(*ones, -1)


def test_a_mixture_over_orders_of_components():
    """Against the sum over orders; draws, scores, and both directions."""
    model = Uneven(jnp.asarray([0.5, 1.0, 2.0]), (2, 2))
    mixture = Symmetrized(model, symmetry_group((2, 2), ("permutations",), 3))
    assert mixture.field_shape == (2, 2, 3)
    phis, log_q, score = mixture.sample_batch_with_score(jr.split(jr.key(0), 50))
    images = jnp.stack(
        [phis[..., jnp.array(order)] for order in itertools.permutations(range(3))]
    )
    wanted = jax.nn.logsumexp(jax.vmap(model.log_prob_batch)(images), axis=0)
    np.testing.assert_allclose(log_q, wanted - math.log(6), rtol=1e-12)
    np.testing.assert_allclose(mixture.log_prob_batch(phis), log_q, rtol=1e-12)
    np.testing.assert_allclose(
        mixture.log_prob_batch(phis[..., ::-1]), log_q, rtol=1e-12
    )
    found = jax.grad(lambda x: jnp.sum(mixture.log_prob_batch(x)))(phis)
    np.testing.assert_allclose(score, found, atol=1e-10)
    with pytest.raises(ValueError, match="group of 2 components, model of"):
        Symmetrized(model, symmetry_group((2, 2), ("permutations",), 2))


class Coin(AbstractModel):
    """All up or all down, by a key that is used as it comes."""

    lattice_shape: tuple[int, ...] = eqx.field(static=True)
    likelihood = EXACT

    def sample_batch(self, keys):
        is_down = jax.vmap(lambda key: jr.randint(key, (), 0, 2))(keys)
        phis = jnp.broadcast_to(1 - 2 * is_down[:, None], (len(keys), 3))
        return phis, self.log_prob_batch(phis)

    def log_prob_batch(self, phis):
        return jnp.where(jnp.abs(phis.sum(axis=1)) == 3, -math.log(2), -jnp.inf)


def test_elements_are_independent_of_draws():
    """Where both come of the same random number, every image is up."""
    mixture = SymmetrizedSpins(Coin((3,)), symmetry_group((3,), ("sign",)))
    keys = jr.split(jr.key(0), 400)
    phis, log_q = jax.jit(lambda: mixture.sample_batch(keys))()
    np.testing.assert_allclose(log_q, -math.log(2))
    assert abs(np.mean(phis)) < 5 / math.sqrt(400)
