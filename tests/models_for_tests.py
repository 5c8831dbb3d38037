"""Generic models for the tests: nothing zero, nothing symmetric by accident."""

import functools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from genlat import lattice
from genlat.models import cnf
from genlat.models.cnf import CNF

SHAPES = [(5,), (4, 4), (4, 6), (2, 3, 4)]


def a_spectrum(shape):
    """Variance of every mode, a different number on every orbit."""
    index, _ = lattice.momentum_orbits(shape)
    return 0.3 + 0.9 * np.cos(1 + np.arange(index.max() + 1))[index] ** 2


@functools.cache
def a_model(
    shape, *, mean=0.7, n_steps=8, strength=0.1, dtype=jnp.float64, components=()
) -> CNF:
    """A flow with generic parameters: nothing zero, nothing symmetric by accident."""
    model = cnf.build(
        a_spectrum(shape),
        mean,
        jr.key(1),
        n_features=3,
        n_channels=2,
        n_kernel_terms=3,
        n_mixing_terms=2,
        n_steps=n_steps,
        components=components,
    )
    leaves, tree = jax.tree.flatten(model)
    rng = np.random.default_rng(2)  # JAX would compile a draw of every shape
    shifted = [
        np.asarray(leaf) + strength * rng.standard_normal(leaf.shape) for leaf in leaves
    ]
    return jax.tree.unflatten(tree, [jnp.asarray(x, dtype) for x in shifted])
