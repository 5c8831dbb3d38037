"""Samples of p to train on: held-out chains, augmentation, learning from them."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from genlat.actions.on import On
from genlat.actions.phi4 import Phi4
from genlat.training.data import draw_batch, split_chains


def test_whole_chains_are_held_out():
    phis = np.arange(5 * 3 * 4, dtype=float).reshape(5, 3, 4)
    for share, n_held_out in [(0.01, 1), (0.35, 2), (0.4, 2), (0.99, 4)]:
        training, held_out = split_chains(phis, share)
        assert len(held_out) == n_held_out
        np.testing.assert_array_equal(np.concatenate([training, held_out]), phis)
    with pytest.raises(ValueError, match="at least 2 independent chains, got 1"):
        split_chains(phis[:1], 0.5)
    with pytest.raises(ValueError, match=r"in \(0, 1\), got 1"):
        split_chains(phis, 1.0)


@pytest.mark.parametrize("shape", [(4, 6), (3, 3)], ids=str)
def test_augmentation_draws_every_image_and_keeps_the_action(shape):
    """One configuration, drawn often: all its images, and each as often as another."""
    data = jr.normal(jr.key(0), (1, *shape))
    action = Phi4(shape, 0.31, 0.17)
    points = 8 if shape[0] == shape[1] else 4
    sizes = {"sign": 2, "translations": data.size, "point_group": points}
    for augment in [(), *((name,) for name in sizes), tuple(sizes)]:
        n_images = int(np.prod([sizes[name] for name in augment]))
        keys = jr.split(jr.key(1), 40 * n_images)
        phis = jax.jit(draw_batch, static_argnums=2)(data, keys, augment)
        images, counts = np.unique(
            phis.reshape(len(phis), -1), axis=0, return_counts=True
        )
        assert len(images) == n_images
        if n_images > 1:  # chi² of equal shares, 5 standard deviations
            chi2 = np.sum((counts - 40) ** 2 / 40)
            assert abs(chi2 - (n_images - 1)) < 5 * np.sqrt(2 * (n_images - 1)) + 20
        actions = jax.vmap(action)(jnp.asarray(images.reshape(-1, *shape)))
        np.testing.assert_allclose(actions, action(data[0]), rtol=1e-12)
    moved = data[0].at[0].multiply(-1)  # no symmetry
    assert abs(action(moved) - action(data[0])) > 0.1


def test_draws_come_from_all_data():
    data = jnp.arange(7.0)[:, None] * jnp.ones((7, 5))
    keys = jr.split(jr.key(1), 700)
    values, counts = np.unique(draw_batch(data, keys, ())[:, 0], return_counts=True)
    assert len(values) == 7
    assert np.all(abs(counts - 100) < 5 * np.sqrt(100 * 6 / 7))


def test_components_are_permuted_and_turned():
    """Of one configuration: every order as often as another; rotations by Haar."""
    data = jr.normal(jr.key(0), (1, 3, 2, 3))
    action = On((3, 2), 3, 0.2, 0.3)
    keys = jr.split(jr.key(1), 1200)
    draw = jax.jit(draw_batch, static_argnums=(2, 3))
    phis = draw(data, keys, ("permutations",), (3,))
    images, counts = np.unique(phis.reshape(1200, -1), axis=0, return_counts=True)
    assert len(images) == 6
    assert np.sum((counts - 200) ** 2 / 200) < 5 + 5 * np.sqrt(10)
    turned = draw(data, keys, ("rotations", "point_group", "translations"), (3,))
    for images in (phis, turned):
        actions = jax.vmap(action)(images)
        np.testing.assert_allclose(actions, action(data[0]), rtol=1e-12)
    # ⟨φ_a φ_b⟩ of a site is δ_ab φ²/3, and no direction is preferred
    only = draw(data, keys, ("rotations",), (3,))[:, 1, 1]
    size = float(jnp.sum(data[0, 1, 1] ** 2))
    np.testing.assert_allclose(jnp.mean(only, axis=0), 0, atol=5 * (size / 3600) ** 0.5)
    second = jnp.mean(only[:, :, None] * only[:, None, :], axis=0)
    np.testing.assert_allclose(second, size / 3 * np.eye(3), atol=5 * size / 1200**0.5)
    determinant = jnp.linalg.det(draw(jnp.eye(3)[None], keys, ("rotations",), (3,)))
    assert 500 < int(jnp.sum(determinant > 0)) < 700  # reflections, too
