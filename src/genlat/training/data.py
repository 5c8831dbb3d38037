"""Samples of p to train on: kept apart from those of the evaluation, and augmented."""

import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key, Num, PRNGKeyArray

from genlat import symmetry

Data = Num[np.ndarray, "size *lattice"] | Num[Array, "size *lattice"]


def split_chains(
    phis: Num[np.ndarray, "chains n *lattice"], held_out: float
) -> tuple[
    Num[np.ndarray, "training n *lattice"], Num[np.ndarray, "held_out n *lattice"]
]:
    """Chains to train on, and the last ones, held out for the evaluation.

    Whole chains, because configurations of one chain are correlated. Each part has at
    least one.

    **Arguments:** `held_out`: the share to hold out, in (0, 1), rounded to chains.

    **Raises:** `ValueError` for another share, or fewer than two chains.
    """
    if not 0 < held_out < 1:
        raise ValueError(f"held_out must be in (0, 1), got {held_out}")
    if len(phis) < 2:
        raise ValueError(
            "training data must not be evaluation data: holding a chain out needs at "
            f"least 2 independent chains, got {len(phis)}"
        )
    n_held_out = min(max(round(held_out * len(phis)), 1), len(phis) - 1)
    return phis[:-n_held_out], phis[-n_held_out:]


def checked_data(data: Data) -> Num[Array, "size *lattice"]:
    """Configurations in single precision, or as spins are, in int8.

    **Raises:** `ValueError` for none, or values that are not finite.
    """
    if data.ndim < 2 or data.size == 0:
        raise ValueError(f"wanted configurations (n, *lattice), got {data.shape}")
    n_bad = np.count_nonzero(~np.isfinite(data))
    if n_bad:
        raise ValueError(f"data must be finite, got {n_bad} values that are not")
    is_spins = np.issubdtype(data.dtype, np.integer)
    return jnp.asarray(data, jnp.int8 if is_spins else jnp.float32)


def checked_symmetries(augment: tuple[str, ...]) -> tuple[str, ...]:
    """The names, if known and not repeated.

    **Raises:** `ValueError`.
    """
    every = (*symmetry.LATTICE, *symmetry.INTERNAL)
    if unknown := [name for name in augment if name not in every]:
        known = ", ".join(every)
        raise ValueError(f"augment knows {known}; got {unknown}")
    if len(set(augment)) < len(augment):
        raise ValueError(f"every symmetry may be named once, got {augment}")
    return tuple(augment)


def draw_batch(
    data: Num[Array, "size *lattice"],
    keys: Key[Array, " n"],
    augment: tuple[str, ...],
    components: tuple[int, ...] = (),
) -> Num[Array, "n *field"]:
    """One configuration of `data` per key, with replacement, each moved at random.

    "sign" multiplies by ±1, "translations" shifts by any vector, "point_group" reflects
    axes and permutes those of equal extent; "permutations" reorders components, the
    last axis, and "rotations" turns and reflects them; uniform over each. A target with
    these symmetries stays what it is.
    """
    shape = data.shape[1 : data.ndim - len(components)]
    sites = _point_group_sites(shape)

    def draw(key: PRNGKeyArray) -> Num[Array, "*field"]:
        key_index, key_sign, key_shift, key_point = jr.split(key, 4)
        phi = data[jr.randint(key_index, (), 0, len(data))]
        if "point_group" in augment:
            element = jr.randint(key_point, (), 0, len(sites))
            columns = phi.reshape(-1, *components)
            phi = columns[jnp.asarray(sites)[element]].reshape(phi.shape)
        # streams of their own beside those that are split from the key
        if "permutations" in augment:
            phi = jr.permutation(jr.fold_in(key, 1), phi, axis=-1)
        if "rotations" in augment:
            phi = phi @ jr.orthogonal(
                jr.fold_in(key, 2), phi.shape[-1], dtype=phi.dtype
            )
        if "translations" in augment:
            shift = jr.randint(key_shift, (len(shape),), 0, jnp.array(shape))
            phi = jnp.roll(phi, shift, range(len(shape)))
        if "sign" in augment:
            phi = phi * jr.rademacher(key_sign, (), phi.dtype)
        return phi

    return jax.vmap(draw)(keys)


def _point_group_sites(shape: tuple[int, ...]) -> np.ndarray:
    """For every element, the site that each site of the image is read from."""
    index = np.arange(math.prod(shape)).reshape(shape)
    images = []
    for permutation, flips in symmetry.point_group(shape):
        image = index.transpose(permutation)
        for axis, flip in enumerate(flips):
            image = np.roll(np.flip(image, axis), 1, axis) if flip else image
        images.append(image)
    return np.stack(images)
