"""Networks from one configuration to several fields: the conditioners of couplings.

All start at zero, so a flow built of them starts as its identity. Channels are the last
axis inside and a batch is best the first one outside, so that a convolution, the
derivative in its input and that in its weights are plain matrix products.
"""

import itertools
import math
from typing import Literal

import equinox as eqx
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


def _convolve(
    h: Float[Array, "*lattice channels_in"],
    weight: Float[Array, "*kernel channels_in channels_out"],
) -> Float[Array, "*lattice channels_out"]:
    """Σ_d W_d h(x + d) as one matrix product with the neighbourhood of every site."""
    *shape, _ = h.shape
    kernel = weight.shape[:-2]
    for axis, size in enumerate(kernel):
        reach = size // 2
        if reach:
            before = lax.slice_in_dim(h, h.shape[axis] - reach, None, axis=axis)
            after = lax.slice_in_dim(h, 0, reach, axis=axis)
            h = jnp.concatenate([before, h, after], axis)
    parts = []
    for offset in itertools.product(*(range(size) for size in kernel)):
        window = tuple(slice(d, d + n) for d, n in zip(offset, shape, strict=True))
        parts.append(h[window])
    patches = jnp.concatenate(parts, -1)
    return patches @ weight.reshape(-1, weight.shape[-1])


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
