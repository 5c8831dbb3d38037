"""Spins from coarse to fine: normalisation, exact heat baths, draws, transfer."""

import functools
import itertools
import math
import zlib

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from genlat.actions.ising import Ising
from genlat.models.autoregressive.blocks import Learned
from genlat.models.autoregressive.coarse_to_fine import CoarseToFine
from genlat.training import transfer

sample = eqx.filter_jit(lambda model, keys: model.sample_batch(keys))
log_prob = eqx.filter_jit(lambda model, spins: model.log_prob_batch(spins))
per_level = eqx.filter_jit(lambda model, spins: model.log_prob_of_levels(spins))


@functools.cache
def a_model(shape, *, biased=False, beta=0.37, field=0.0) -> CoarseToFine:
    """Of random parameters, so that no network is trivial."""
    model = CoarseToFine(
        shape, beta, field, width=5, depth=2, biased=biased, key=jr.key(1)
    )

    def noisy(path, x):
        key = jr.key(zlib.crc32(jax.tree_util.keystr(path).encode()))
        return x + 0.4 * jr.normal(key, x.shape, x.dtype) if x.ndim else x

    return jax.tree_util.tree_map_with_path(noisy, model)


def networks(model):
    return [c for level in model.levels for c in level if isinstance(c, Learned)]


def all_spins(shape):
    """Every configuration, as a batch."""
    every = np.array(list(itertools.product([1, -1], repeat=math.prod(shape))))
    return jnp.asarray(every.reshape(-1, *shape), jnp.int8)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("shape", [(4, 4), (2, 6), (4, 2)])
def test_the_density_is_normalised_and_odd_only_with_biases(shape, biased):
    log_q = np.asarray(log_prob(a_model(shape, biased=biased), all_spins(shape)))
    assert np.exp(log_q).sum() == pytest.approx(1, abs=1e-6)
    assert np.std(log_q) > 0.3  # not the uniform one, which is anyhow
    odd_part = np.abs(log_q - log_q[::-1]).mean()  # the list backwards is flipped
    assert odd_part > 0.1 if biased else odd_part < 1e-6


@pytest.mark.parametrize(
    ("shape", "field"), [((4, 4), 0.21), ((2, 6), 0.0), ((4, 2), 0.1)]
)
def test_the_last_spins_follow_the_exact_conditional(shape, field):
    """Given those that are learned, from the enumerated distribution itself."""
    model, spins = a_model(shape, beta=0.37, field=field), all_spins(shape)
    log_p = -jax.vmap(Ising(shape, 0.37, field))(spins)
    rows = spins.reshape(len(spins), -1).T
    rows = jnp.concatenate([rows, 0 * rows[:1]]).astype(jnp.float32)
    is_learned, total = np.ones(math.prod(shape), bool), np.zeros(len(spins))
    for block in model.levels[-1]:
        if not isinstance(block, Learned):
            is_learned[block.sites()] = False
            total += block.log_prob(rows)
    is_learned = is_learned.reshape(shape)
    # group the configurations by the spins that are learned
    flags = np.asarray(spins)[:, is_learned] > 0
    group = flags @ (1 << np.arange(flags.shape[1]))
    marginal = np.bincount(group, np.exp(log_p))
    np.testing.assert_allclose(total, log_p - np.log(marginal[group]), atol=1e-5)
    assert is_learned.mean() == (3 / 8 if shape == (4, 4) else 1 / 2)


@pytest.mark.parametrize("shape", [(8, 8), (3, 6)])
def test_draws_come_with_the_density_that_evaluation_gives(shape):
    keys = jr.split(jr.key(0), 64)
    spins, log_q = sample(a_model(shape), keys)
    assert spins.shape == (64, *shape)
    assert spins.dtype == jnp.int8
    assert set(np.unique(spins)) == {-1, 1}
    assert log_q.dtype == jnp.float64
    np.testing.assert_allclose(
        log_q, log_prob(a_model(shape), spins), atol=1e-6 * math.prod(shape)
    )
    alone, _ = sample(a_model(shape), keys[3:4])
    np.testing.assert_array_equal(alone[0], spins[3])


def test_draws_have_the_frequencies_of_the_density():
    shape, n = (2, 4), 100_000
    model = a_model(shape, biased=True)
    spins, _ = sample(model, jr.split(jr.key(5), n))
    weight = 1 << np.arange(8)[::-1]
    drawn = (np.asarray(spins).reshape(n, -1) < 0) @ weight
    expected = n * np.exp(log_prob(model, all_spins(shape)))
    chi2 = ((np.bincount(drawn, minlength=256) - expected) ** 2 / expected).sum()
    # 255 degrees of freedom: mean 255, standard deviation 22.6
    assert abs(chi2 - 255) < 4 * math.sqrt(2 * 255)


def test_gradients_reach_every_network_and_no_coupling():
    model, spins = a_model((4, 4), biased=True), all_spins((4, 4))[::97]
    gradient = eqx.filter_jit(eqx.filter_grad(lambda m: m.log_prob_batch(spins).sum()))(
        model
    )
    for block in networks(gradient)[1:]:  # the first spin has a bias alone
        seen = np.array([len(offsets) for offsets in block.offsets])
        columns = np.arange(block.direct.shape[1])[None] < seen[:, None]
        assert np.all((block.direct != 0) == columns)
        assert np.all(np.any(block.weights[0] != 0, axis=1) == columns)
        for leaf in (*block.weights[1:], *block.biases):
            assert np.all(leaf != 0)
    baths = [c for c in gradient.levels[-1] if not isinstance(c, Learned)]
    assert len(baths) == 2
    assert all(bath.beta == 0 and bath.field == 0 for bath in baths)


def test_likelihood_trains_every_level_by_itself():
    """A level's part of log q moves with its own networks alone: ∂ is block diagonal.

    So maximum likelihood of all levels at once is that of one level after another.
    """
    model = a_model((4, 4), biased=True)
    spins = all_spins((4, 4))[::4001]
    arrays, rest = eqx.partition(model, eqx.is_inexact_array)

    @jax.jit
    @jax.jacrev
    def parts(arrays):
        found = eqx.combine(arrays, rest).log_prob_of_levels(spins)
        return jnp.stack([jnp.mean(part) for part in found])

    # axis 0 of every leaf: of which level the derivative is
    norms = np.array(
        [
            sum(
                np.sum(np.square(x).reshape(3, -1), axis=1)
                for x in jax.tree.leaves(own)
                if x.ndim > 1  # networks; couplings are not trained
            )
            for own in parts(arrays).levels
        ]
    )
    assert np.all(np.diag(norms) > 1e-8)
    assert np.all(norms[~np.eye(3, dtype=bool)] == 0)


def test_on_a_larger_lattice_the_fine_levels_are_what_they_were():
    small = a_model((16, 16))
    blank = CoarseToFine((32, 32), 0.37, width=5, key=jr.key(8))
    large = transfer.refine(small, blank)
    # repeated, a configuration of the small torus is one of the large
    spins = jnp.where(jr.bernoulli(jr.key(2), 0.6, (3, 16, 16)), 1, -1)
    found = per_level(large, jnp.tile(spins, (1, 2, 2)))
    wanted = per_level(small, spins)
    np.testing.assert_allclose(found[-1], 4 * wanted[-1], rtol=1e-5)
    np.testing.assert_allclose(found[-2], 4 * wanted[-2], rtol=1e-5)
    # and every class is one of the small one's: nothing of the blank is left
    leaves = {leaf.tobytes() for leaf in map(np.asarray, jax.tree.leaves(small))}
    assert all(np.asarray(leaf).tobytes() in leaves for leaf in jax.tree.leaves(large))


def test_every_level_is_first_of_all_its_own():
    """On the lattice of the source, where coarser levels see what finer ones see."""
    source, blank = (
        CoarseToFine((16, 16), 0.37, width=1, depth=1, reach=1.5, key=jr.key(seed))
        for seed in (1, 8)
    )
    seen = [block.offsets for block in networks(source)]
    assert len({*seen}) < len(seen)  # or there would be no other level to take
    carried = transfer.refine(source, blank)
    for here, there in zip(networks(carried), networks(source), strict=True):
        np.testing.assert_array_equal(here.weights[0], there.weights[0])


def test_a_field_is_turned_on_with_the_networks_of_the_symmetric_model():
    source = a_model((4, 4))
    blank = CoarseToFine((4, 4), 0.4, 0.2, width=5, biased=True, key=jr.key(8))
    carried = transfer.refine(source, blank)
    spins = all_spins((4, 4))[::97]
    # all but the heat baths: biases start at zero
    np.testing.assert_allclose(
        per_level(carried, spins)[:2], per_level(source, spins)[:2], rtol=1e-6
    )
    back = transfer.refine(a_model((4, 4), biased=True), source)
    assert not any(block.biases for block in networks(back))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lattice_shape": (4,)}, "two extents of at least 1, got"),
        ({"lattice_shape": (0, 4)}, "two extents of at least 1, got"),
        ({"beta": float("nan")}, "finite, got beta = nan"),
        ({"lattice_shape": (14, 14)}, "leaves 7 x 7: at most 36"),
        ({"width": 0}, "at least 1, got 0"),
        ({"reach": 0.5}, "at least 1, got 32, 2, 0.5"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        CoarseToFine(
            **{"lattice_shape": (4, 4), "beta": 0.4, **arguments}, key=jr.key(0)
        )
