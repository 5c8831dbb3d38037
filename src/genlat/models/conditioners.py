"""Networks from one configuration to several fields: the conditioners of couplings.

All start at zero, so a flow built of them starts as its identity. Channels are the last
axis inside and a batch is best the first one outside, some 2000 sites at a time,
so that a convolution, the derivative in its input and that in its weights are matrix
products of operands that fit into cache.
"""

import itertools
import math
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

Parity = Literal["none", "odd", "even"]


class ConvNet(eqx.Module):
    r"""Periodic convolutions with tanh between them, φ ↦ `n_outputs` fields.

    $$y_o(x) = b_o + \sum_{c, d} W_{d c o}\, h_c(x + d), \qquad |d_\mu| \le (k - 1)/2.$$

    **Arguments:**

    - `lattice_shape`: one to three extents.
    - `n_outputs`: number of fields, ≥ 1.
    - `parity`: `"odd"`, net(-φ) = -net(φ), by leaving the biases out; `"even"`,
      net(-φ) = net(φ), by squaring the features of an odd network before its last
      layer, which has a bias; `"none"`, biases everywhere.
    - `key`: of the initial weights, N(0, 1/fan-in); the last layer is zero.
    - `hidden`: channels of the hidden layers, each ≥ 1.
    - `kernel_size`: k, odd, at most the smallest extent.

    **Raises:** `ValueError` for anything else.
    """

    weights: tuple[Float[Array, "*kernel channels_in channels_out"], ...]
    biases: tuple[Float[Array, " channels"] | None, ...]
    lattice_shape: tuple[int, ...] = eqx.field(static=True)
    parity: Parity = eqx.field(static=True)

    def __init__(
        self,
        lattice_shape: tuple[int, ...],
        n_outputs: int,
        parity: Parity,
        key: PRNGKeyArray,
        hidden: tuple[int, ...] = (16, 16, 16),
        kernel_size: int = 3,
    ):
        _check(lattice_shape, n_outputs, hidden, parity)
        if len(lattice_shape) > 3:
            raise ValueError(f"wanted at most 3 axes, got {lattice_shape}")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and >= 1, got {kernel_size}")
        if kernel_size > min(lattice_shape):
            raise ValueError(
                f"kernel_size must be at most the smallest extent of {lattice_shape}, "
                f"got {kernel_size}"
            )
        kernel = (kernel_size,) * len(lattice_shape)
        sizes = (1, *hidden, n_outputs)
        shapes = [(*kernel, *pair) for pair in itertools.pairwise(sizes)]
        self.weights = _initial_weights(shapes, key)
        self.biases = _initial_biases(sizes[1:], parity)
        self.lattice_shape = tuple(lattice_shape)
        self.parity = parity

    def __call__(self, phi: Float[Array, "*lattice"]) -> Float[Array, "out *lattice"]:
        h = phi[..., None]
        for number, (weight, bias) in enumerate(
            zip(self.weights, self.biases, strict=True)
        ):
            if number > 0:
                h = jnp.tanh(h)
            if self.parity == "even" and number == len(self.weights) - 1:
                h = h**2
            h = _convolve(h, weight)
            if bias is not None:
                h = h + jnp.broadcast_to(bias, h.shape)
        return jnp.moveaxis(h, -1, 0)


class DenseNet(eqx.Module):
    r"""Fully connected layers with tanh between them, φ ↦ `n_outputs` fields.

    Knows nothing of translations; for small lattices.

    **Arguments** and **Raises:** as `ConvNet`, `hidden` being the widths of the hidden
    layers; any number of axes.
    """

    weights: tuple[Float[Array, "width_in width_out"], ...]
    biases: tuple[Float[Array, " width"] | None, ...]
    lattice_shape: tuple[int, ...] = eqx.field(static=True)
    n_outputs: int = eqx.field(static=True)
    parity: Parity = eqx.field(static=True)

    def __init__(
        self,
        lattice_shape: tuple[int, ...],
        n_outputs: int,
        parity: Parity,
        key: PRNGKeyArray,
        hidden: tuple[int, ...],
    ):
        _check(lattice_shape, n_outputs, hidden, parity)
        volume = math.prod(lattice_shape)
        sizes = (volume, *hidden, n_outputs * volume)
        self.weights = _initial_weights(list(itertools.pairwise(sizes)), key)
        self.biases = _initial_biases(sizes[1:], parity)
        self.lattice_shape = tuple(lattice_shape)
        self.n_outputs = n_outputs
        self.parity = parity

    def __call__(self, phi: Float[Array, "*lattice"]) -> Float[Array, "out *lattice"]:
        h = phi.ravel()
        for number, (weight, bias) in enumerate(
            zip(self.weights, self.biases, strict=True)
        ):
            if number > 0:
                h = jnp.tanh(h)
            if self.parity == "even" and number == len(self.weights) - 1:
                h = h**2
            h = h @ weight
            if bias is not None:
                h = h + bias
        return h.reshape(self.n_outputs, *self.lattice_shape)


@jax.custom_vjp
def _convolve(
    h: Float[Array, "*lattice channels_in"],
    weight: Float[Array, "*kernel channels_in channels_out"],
) -> Float[Array, "*lattice channels_out"]:
    """Σ_d W_d h(x + d) as one matrix product.

    Its derivatives are products with the neighbourhoods of the cotangent g,
    Σ_d W_d^T g(x - d) and Σ_x h(x) g(x - d): those of h need not be kept, nor scattered
    back, which XLA does slowly on CPU. Reverse mode only, of any order.
    """
    patches = _neighbourhoods(h, weight.shape[:-2])
    return patches @ weight.reshape(-1, weight.shape[-1])


def _convolve_forward(h, weight):
    return _convolve(h, weight), (h, weight)


def _convolve_backward(residuals, cotangent):
    h, weight = residuals
    *kernel, n_in, n_out = weight.shape
    axes = tuple(range(len(kernel)))
    patches = _neighbourhoods(cotangent, tuple(kernel))
    # the neighbourhood runs over x + d: flipped, it is the x - d of the formula
    flipped = jnp.swapaxes(jnp.flip(weight, axes), -1, -2)
    h_bar = patches @ flipped.reshape(-1, n_in)
    flat = h.reshape(-1, n_in).T @ patches.reshape(-1, patches.shape[-1])
    weight_bar = jnp.moveaxis(flat.reshape(n_in, *kernel, n_out), 0, -2)
    weight_bar = jnp.flip(weight_bar, axes)
    return h_bar.astype(h.dtype), weight_bar.astype(weight.dtype)


_convolve.defvjp(_convolve_forward, _convolve_backward)


def _neighbourhoods(
    h: Float[Array, "*lattice channels"], kernel: tuple[int, ...]
) -> Float[Array, "*lattice patch"]:
    """h(x + d) for all offsets d of the kernel, in order, as channels."""
    *shape, _ = h.shape
    for axis, size in enumerate(kernel):
        reach = size // 2
        if reach:
            before = lax.slice_in_dim(h, h.shape[axis] - reach, None, axis=axis)
            after = lax.slice_in_dim(h, 0, reach, axis=axis)
            h = jnp.concatenate([before, h, after], axis)
    corners = itertools.product(*(range(size) for size in kernel))
    windows = [
        h[tuple(slice(d, d + n) for d, n in zip(corner, shape, strict=True))]
        for corner in corners
    ]
    return jnp.concatenate(windows, -1)


def _check(
    lattice_shape: tuple[int, ...],
    n_outputs: int,
    hidden: tuple[int, ...],
    parity: Parity,
) -> None:
    if not lattice_shape or min(lattice_shape) < 1:
        raise ValueError(f"lattice_shape must be positive extents, got {lattice_shape}")
    if n_outputs < 1:
        raise ValueError(f"n_outputs must be >= 1, got {n_outputs}")
    if any(size < 1 for size in hidden):
        raise ValueError(f"hidden sizes must be >= 1, got {hidden}")
    if parity not in ("none", "odd", "even"):
        raise ValueError(f'parity must be "none", "odd" or "even", got {parity!r}')


def _initial_weights(
    shapes: list[tuple[int, ...]], key: PRNGKeyArray
) -> tuple[Float[Array, "..."], ...]:
    keys = jr.split(key, len(shapes))
    hidden = [
        jr.normal(key, shape, jnp.float32) / math.sqrt(math.prod(shape[:-1]))
        for key, shape in zip(keys, shapes[:-1], strict=False)
    ]
    return (*hidden, jnp.zeros(shapes[-1], jnp.float32))


def _initial_biases(
    sizes: tuple[int, ...], parity: Parity
) -> tuple[Float[Array, " channels"] | None, ...]:
    has_bias = {
        "none": [True] * len(sizes),
        "odd": [False] * len(sizes),
        "even": [False] * (len(sizes) - 1) + [True],
    }[parity]
    return tuple(
        jnp.zeros(size, jnp.float32) if with_bias else None
        for size, with_bias in zip(sizes, has_bias, strict=True)
    )
