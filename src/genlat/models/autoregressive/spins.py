"""What autoregressive models of spins share: noise, conditionals, checks.

Spins are ±1. A network gives the logit ℓ of s = 1, so that P(s) = 1/(1 + e^{-sℓ}) in
drawing and in log q alike, without a cut-off.
"""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int8, Key, Num


def uniforms(keys: Key[Array, " n"], n_sites: int) -> Float[Array, "n sites"]:
    """One uniform number per spin, from each key alone.

    In double precision: with 23 bits, conditionals below 10⁻⁷ would be drawn too often.
    """
    return jax.vmap(lambda key: jr.uniform(key, (n_sites,), jnp.float64))(keys)


def draw(
    uniform: Float[Array, "*shape"], logits: Float[Array, "*shape"]
) -> Int8[Array, "*shape"]:
    """Spins that are 1 with the probability of their logit."""
    is_up = uniform < jax.nn.sigmoid(logits.astype(uniform.dtype))
    return jnp.where(is_up, jnp.int8(1), jnp.int8(-1))


def log_conditionals(
    spins: Num[Array, "*shape"], logits: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """ln P of every spin given those before it, float64."""
    return jax.nn.log_sigmoid(spins.astype(jnp.float64) * logits.astype(jnp.float64))


def check(spins: Num[Array, "..."], lattice_shape: tuple[int, ...]) -> None:
    """Refuse a batch on another lattice, or of anything but ±1 where values are known.

    **Raises:** `ValueError`.
    """
    if spins.shape[1:] != lattice_shape:
        raise ValueError(
            "spins must be a batch (n, *lattice) of configurations on "
            f"{lattice_shape}, got an array of shape {spins.shape}"
        )
    if isinstance(spins, Tracer):
        return
    values = np.asarray(spins)
    if not np.all(np.abs(values) == 1):
        wrong = values[np.abs(values) != 1].flat[0]
        raise ValueError(f"spins must be 1 or -1, got {wrong}")
