"""Real Fourier transforms of batches, as matrix products.

Modes carry the batch on axis 1, `(L₀, n, L₁, ...)`, optionally with channels before it,
`(L₀, c, n, L₁, ...)`: then the first and the last lattice axis are transformed by plain
matrix products, which beats the FFT on CPU up to 32² and more. What computes with modes
keeps that layout inside; `enter` and `leave` are the way from and to that of models.
Components of a field, the last axes of models, are in front of the batch there.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from genlat import lattice


def enter(
    phis: Float[Array, "n *field"], n_components: int = 0
) -> Float[Array, "time *batch_and_space"]:
    """Modes of a batch as models carry it.

    **Arguments:** `n_components`: axes of a value of the field.
    """
    last, first = _axes_of_components(n_components)
    phis = jnp.moveaxis(jnp.moveaxis(phis, 0, 1), last, first)
    return to_modes(phis, 1 + n_components)


def leave(
    modes: Float[Array, "time *batch_and_space"], n_components: int = 0
) -> Float[Array, "n *field"]:
    """Inverse of `enter`, and its transpose."""
    last, first = _axes_of_components(n_components)
    phis = jnp.moveaxis(to_real(modes, 1 + n_components), first, last)
    return jnp.moveaxis(phis, 1, 0)


def _axes_of_components(n: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Behind the lattice, and in front of a batch of modes."""
    return tuple(range(-n, 0)), tuple(range(1, n + 1))


def to_modes(
    phi: Float[Array, "time *batch_and_space"], n_batch_axes: int = 1
) -> Float[Array, "time *batch_and_space"]:
    """Orthonormal real Fourier modes (`lattice.real_fourier_matrix`) on every axis."""
    return _apply(phi, n_batch_axes, is_inverse=False)


def to_real(
    modes: Float[Array, "time *batch_and_space"], n_batch_axes: int = 1
) -> Float[Array, "time *batch_and_space"]:
    """Inverse of `to_modes`, and its transpose."""
    return _apply(modes, n_batch_axes, is_inverse=True)


def _apply(x: Array, n_batch_axes: int, *, is_inverse: bool) -> Array:
    for axis in (0, *range(1 + n_batch_axes, x.ndim)):
        matrix = jnp.asarray(lattice.real_fourier_matrix(x.shape[axis]), x.dtype)
        if is_inverse:
            matrix = matrix.T
        if axis == 0:
            x = jnp.tensordot(matrix, x, 1)
        elif axis == x.ndim - 1:
            x = jnp.tensordot(x, matrix.T, 1)
        else:
            flat = x.reshape(*x.shape[: axis + 1], -1)
            x = jnp.einsum("ij,...jk->...ik", matrix, flat).reshape(x.shape)
    return x
