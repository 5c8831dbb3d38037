"""Convolutions that look back only: at the rows above, and at what is to the left.

A site of a square lattice comes after all rows above its own and all sites to its left.
Rows above are periodic in their columns; the own row is not. Channels are the last
axis, the batch is between rows and columns.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from genlat import lattice

Batch = Float[Array, "L0 n L1 channels"]


class MaskedConvolution(eqx.Module):
    r"""y(x) = b + Σ_{d ≤ 0} W_d h(x + d) for d before (0, 0) in raster order, or there.

    With half the kernel size k: k rows above of 2k + 1 sites, and k + 1 sites of the
    own row. `above[r, c]` is W at d = (-1 - r, c - k), `beside[c]` that at (0, c - k).

    **Source:** van den Oord et al., arXiv:1601.06759 (mask B); periodic columns are
    ours.
    """

    above: Float[Array, "half columns channels_in channels_out"]
    beside: Float[Array, "left channels_in channels_out"]
    bias: Float[Array, " channels_out"]

    def __call__(self, h: Batch) -> Float[Array, "L0 n L1 channels_out"]:
        """On all sites at once. Reverse mode only, of any order."""
        y = _convolve(h, self.above, self.beside)
        return y + jnp.broadcast_to(self.bias, y.shape)

    def below(
        self, row: Float[Array, "L1 n channels"]
    ) -> Float[Array, "half L1 n channels_out"]:
        """What one row adds to each of the next k, the nearest first."""
        half, columns, n_in, n_out = self.above.shape
        weight = self.above.transpose(1, 2, 0, 3).reshape(columns * n_in, half * n_out)
        y = windows(row, half, half, axis=0, is_periodic=True) @ weight
        return jnp.moveaxis(y.reshape(*row.shape[:2], half, n_out), 2, 0)

    def right(
        self, recent: Float[Array, "n channels_left"]
    ) -> Float[Array, "n channels_out"]:
        """The bias, and what the k + 1 latest sites of a row add, the latest last."""
        y = recent @ self.beside.reshape(-1, self.beside.shape[-1])
        return y + jnp.broadcast_to(self.bias, y.shape)


def initial(
    half_kernel: int, n_in: int, n_out: int, key: PRNGKeyArray, scale: float = 1.0
) -> MaskedConvolution:
    """Weights N(0, scale²/fan-in), no bias."""
    key_above, key_beside = jr.split(key)
    columns = 2 * half_kernel + 1
    fan_in = (half_kernel * columns + half_kernel + 1) * n_in
    std = scale / math.sqrt(fan_in)
    shape = (half_kernel, columns, n_in, n_out)
    above = std * jr.normal(key_above, shape, jnp.float32)
    beside = std * jr.normal(key_beside, (half_kernel + 1, n_in, n_out), jnp.float32)
    return MaskedConvolution(above, beside, jnp.zeros(n_out, jnp.float32))


@jax.custom_vjp
def _convolve(
    h: Batch,
    above: Float[Array, "half columns channels_in channels_out"],
    beside: Float[Array, "left channels_in channels_out"],
) -> Float[Array, "L0 n L1 channels_out"]:
    """Matrix products with windows of rows: those of the rows above are shared.

    As for `conditioners.ConvNet`, derivatives are products with windows of the
    cotangent, and neither windows of h nor scattered gradients are kept.
    """
    half, columns, n_in, n_out = above.shape
    own = windows(h, half, 0, axis=2, is_periodic=False)
    y = own @ beside.reshape(-1, n_out)
    weight = above.transpose(1, 2, 0, 3).reshape(columns * n_in, half * n_out)
    below = windows(h, half, half, axis=2, is_periodic=True) @ weight
    parts = jnp.split(below, half, -1)
    return y + lattice.sum_arrays([_down(p, r + 1) for r, p in enumerate(parts)])


def _convolve_forward(h, above, beside):
    return _convolve(h, above, beside), (h, above, beside)


def _convolve_backward(residuals, cotangent):
    h, above, beside = residuals
    half, columns, n_in, n_out = above.shape
    g = cotangent

    # h(x) is seen from x - d: columns in the opposite order
    own = windows(g, 0, half, axis=2, is_periodic=False)
    flipped = jnp.flip(beside, 0).swapaxes(1, 2)
    h_bar = own @ flipped.reshape(-1, n_in)
    beside_bar = h.reshape(-1, n_in).T @ own.reshape(-1, own.shape[-1])
    beside_bar = beside_bar.reshape(n_in, half + 1, n_out).swapaxes(0, 1)

    looking = windows(g, half, half, axis=2, is_periodic=True)
    flipped = jnp.flip(above, 1).transpose(1, 3, 0, 2)
    parts = looking @ flipped.reshape(columns * n_out, half * n_in)
    parts = jnp.split(parts, half, -1)
    h_bar += lattice.sum_arrays([_down(p, -r - 1) for r, p in enumerate(parts)])
    lower = jnp.concatenate([_down(h, r + 1) for r in range(half)], -1)
    above_bar = lower.reshape(-1, half * n_in).T @ looking.reshape(-1, columns * n_out)
    above_bar = above_bar.reshape(half, n_in, columns, n_out).swapaxes(1, 2)
    return h_bar, jnp.flip(above_bar, 1), jnp.flip(beside_bar, 0)


_convolve.defvjp(_convolve_forward, _convolve_backward)


def _down(h: Float[Array, "L0 *rest"], rows: int) -> Float[Array, "L0 *rest"]:
    """Moved down by some rows, or up if negative; 0 where nothing comes from."""
    widths = [(rows, -rows, 0)] + [(0, 0, 0)] * (h.ndim - 1)
    return lax.pad(h, jnp.zeros((), h.dtype), widths)


def windows(
    h: Float[Array, "..."], left: int, right: int, axis: int, is_periodic: bool
) -> Float[Array, "..."]:
    """h at -left, ..., right from each site along an axis, one after another as
    channels; beyond the ends is the other end, or 0."""
    extent = h.shape[axis]
    if is_periodic:
        before = lax.slice_in_dim(h, extent - left, extent, axis=axis)
        after = lax.slice_in_dim(h, 0, right, axis=axis)
        padded = jnp.concatenate([before, h, after], axis)
    else:
        widths = [(0, 0)] * h.ndim
        widths[axis] = (left, right)
        padded = jnp.pad(h, widths)
    parts = [
        lax.slice_in_dim(padded, start, start + extent, axis=axis)
        for start in range(left + right + 1)
    ]
    return jnp.concatenate(parts, -1)
