"""Batches of a model's configurations with everything measured on them."""

import functools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key, Num, PRNGKeyArray

from genlat import observables
from genlat.actions.base import AbstractAction
from genlat.models.base import AbstractModel


class Draws(NamedTuple):
    """Independent draws of q, on the host."""

    phis: Num[np.ndarray, "n *lattice"]
    log_q: Float[np.ndarray, " n"]
    action: Float[np.ndarray, " n"]
    observables: dict[str, Float[np.ndarray, "n ..."]]

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.phis.shape[1:]))
        return f"Draws({len(self.phis)} of {shape}, {', '.join(self.observables)})"

    @property
    def log_w(self) -> Float[np.ndarray, " n"]:
        """ln w̃ = -S - ln q."""
        return -self.action - self.log_q


def draw(
    model: AbstractModel,
    action: AbstractAction,
    key: PRNGKeyArray,
    first: int,
    n: int,
    batch: int,
) -> Draws:
    """Draws number `first` to `first + n - 1` of the stream `key`.

    Each has a key of its own, so draw number i does not depend on how the stream is cut
    into calls. Batches are all of one size, the last one filled up, so that one
    compiled function serves all.
    """
    parts = []
    for start in range(first, first + n, batch):
        keys = jax.vmap(jr.fold_in, (None, 0))(key, jnp.arange(start, start + batch))
        wanted = min(batch, first + n - start)
        part = jax.tree.map(np.asarray, batch_of(model, action, keys))
        parts.append(jax.tree.map(lambda x, count=wanted: x[:count], part))
    return jax.tree.map(lambda *pieces: np.concatenate(pieces), *parts)


@eqx.filter_jit
def batch_of(
    model: AbstractModel, action: AbstractAction, keys: Key[Array, " n"]
) -> Draws:
    phis, log_q = model.sample_batch(keys)
    total = jax.vmap(action)(phis)
    measure = functools.partial(observables.primary, action)
    measured = jax.vmap(measure)(phis)
    wide: dict[str, Array] = {
        name: value.astype(total.dtype) for name, value in measured.items()
    }
    return Draws(phis, log_q, total, wide)  # pyright: ignore[reportArgumentType]  (still on the device)
