"""The random numbers of the chains: exact distributions, reproducible streams."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy import stats

from genlat.mcmc.noise import folded, gaussian, uniform, words


@pytest.mark.parametrize("shape", [(5, 7), (1,), (2, 3, 4)])
def test_gaussian_is_deterministic_and_independent_of_the_batch(shape):
    keys = jr.split(jr.key(3), 4)
    batch = jax.vmap(lambda key: gaussian(key, shape, jnp.float32))(keys)
    alone = gaussian(keys[2], shape, jnp.float32)
    assert alone.shape == shape
    np.testing.assert_allclose(batch[2], alone, rtol=1e-5)
    assert np.unique(batch).size == batch.size


def test_gaussian_distribution():
    n = 2_000_000
    x = np.asarray(gaussian(jr.key(7), (n,), jnp.float32), np.float64)
    assert np.isfinite(x).all()
    assert abs(x.mean()) < 5 / np.sqrt(n)
    for power, moment, variance in ((2, 1, 2), (4, 3, 96), (6, 15, 10170)):
        assert abs(np.mean(x**power) - moment) < 5 * np.sqrt(variance / n)
    assert abs(np.mean(x[: n // 2] * x[n // 2 :])) < 5 / np.sqrt(n / 2)
    assert abs(np.mean(x[1:] * x[:-1])) < 5 / np.sqrt(n)
    assert stats.kstest(x, "norm").pvalue > 1e-6
    for edge in (3.0, 4.0):
        for tail in (x > edge, x < -edge):
            expected = n * stats.norm.sf(edge)
            assert abs(tail.sum() - expected) < 5 * np.sqrt(expected)
    # the test sees a variance wrong by half a per cent
    assert abs(np.mean((1.0025 * x) ** 2) - 1) > 3 * np.sqrt(2 / n)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_uniform_distribution(dtype):
    n = 500_000
    u = np.asarray(uniform(jr.key(5), (n,), dtype))
    assert u.dtype == dtype
    assert 0 <= u.min() < 1e-4 < 1 - 1e-4 < u.max() < 1
    assert stats.kstest(u.astype(np.float64), "uniform").pvalue > 1e-6


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_noise_takes_any_kind_of_key(impl):
    one, other = jr.split(jr.key(1, impl=impl))
    draws = [gaussian(key, (64,), jnp.float32) for key in (one, other)]
    assert not np.allclose(*draws)


# The geometry that the force rests on


def test_words_are_those_of_the_published_generator():
    """Random123's answers for 13 and 20 rounds at key 0, counter 0."""
    zero = jnp.zeros(2, jnp.uint32)
    assert [hex(word) for word in np.asarray(words(zero, 2))] == [
        "0x9d1c5ec6",
        "0x8bd50731",
    ]
    assert [hex(word) for word in np.asarray(folded(zero, jnp.array(0)))] == [
        "0x6b200159",
        "0x99ba4efe",
    ]


def test_words_with_chains_last_are_those_of_each_chain():
    keys = jr.key_data(jr.split(jr.key(3), 4))
    together = np.asarray(words(keys.T, 7))
    for chain, key in enumerate(keys):
        np.testing.assert_array_equal(together[:, chain], words(key, 7))
    fresh = folded(keys.T, jnp.array(5))
    np.testing.assert_array_equal(fresh[:, 2], folded(keys[2], jnp.array(5)))
    assert np.unique(np.concatenate([keys.T, fresh])).size == 16
    bits = np.unpackbits(np.asarray(words(keys[0], 100_000)).view(np.uint8))
    assert abs(bits.mean() - 0.5) < 5 * 0.5 / np.sqrt(bits.size)
