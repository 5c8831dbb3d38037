"""Models of spins with generic weights, and every configuration of a small lattice."""

import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np


def generic(build):
    """A model in double precision with no weight at zero; nothing is compiled."""
    model = eqx.filter_eval_shape(build)
    random = np.random.default_rng(7)
    return jax.tree.map(
        lambda x: jnp.asarray(0.6 * random.standard_normal(x.shape)), model
    )


def all_spins(shape):
    """Every configuration, as a batch."""
    flat = np.array(list(itertools.product([-1, 1], repeat=math.prod(shape))), np.int8)
    return jnp.asarray(flat.reshape(-1, *shape))
