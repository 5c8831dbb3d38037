"""Dense networks that look back only: spins in a given order, after given ones."""

import itertools

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Int8, Num, PRNGKeyArray

from genlat.models.autoregressive import spins


class MaskedDense(eqx.Module):
    r"""Logits of spins in order, each given the spins before it and a context.

    Every spin and every member of the context has `width` units in each hidden layer. A
    unit of a spin sees the context, and the spins before its own: in the first layer
    themselves, later by their units, its own spin's included. PReLU from slope 1/2 in
    between. The last layer starts at zero.

    **Source:** Germain et al., arXiv:1502.03509 (masks); Wu, Wang, Zhang, Phys. Rev.
    Lett. 122, 080602, arXiv:1809.10606 (units that belong to spins).

    **Arguments:**

    - `n_spins`: number of spins drawn, ≥ 1.
    - `n_context`: number of given spins, ≥ 0.
    - `key`: of the initial weights, N(0, 1/fan-in).
    - `depth`: number of masked layers, ≥ 1.
    - `width`: hidden units per spin, ≥ 1.

    **Raises:** `ValueError` for anything else.
    """

    weights: tuple[Float[Array, "units_in units_out"], ...]
    biases: tuple[Float[Array, " units"], ...]
    slopes: tuple[Float[Array, " units"], ...]
    n_spins: int = eqx.field(static=True)
    n_context: int = eqx.field(static=True)
    depth: int = eqx.field(static=True)
    width: int = eqx.field(static=True)

    def __init__(
        self, n_spins: int, n_context: int, key: PRNGKeyArray, *, depth: int, width: int
    ):
        for name, value in [("n_spins", n_spins), ("depth", depth), ("width", width)]:
            if value < 1:
                raise ValueError(f"{name} must be >= 1, got {value}")
        if n_context < 0:
            raise ValueError(f"n_context must be >= 0, got {n_context}")
        self.n_spins, self.n_context = n_spins, n_context
        self.depth, self.width = depth, width
        masks = self.masks()
        keys = jr.split(key, depth)
        weights = [
            jr.normal(k, mask.shape, jnp.float32) * _inverse_root_fan_in(mask)
            for k, mask in zip(keys, masks[:-1], strict=False)
        ]
        self.weights = (*weights, jnp.zeros(masks[-1].shape, jnp.float32))
        sizes = [mask.shape[1] for mask in masks]
        self.biases = tuple(jnp.zeros(size, jnp.float32) for size in sizes)
        self.slopes = tuple(jnp.full(size, 0.5, jnp.float32) for size in sizes[:-1])

    def logits(
        self, context: Num[Array, "n context"], drawn: Num[Array, "n spins"]
    ) -> Float[Array, "n spins"]:
        """Logits of all spins at once."""
        dtype = self.biases[0].dtype
        h = jnp.concatenate([context.astype(dtype), drawn.astype(dtype)], 1)
        weights = self._masked_weights()
        for slope, weight, bias in zip(
            self.slopes, weights[:-1], self.biases[:-1], strict=True
        ):
            h = _rectified(_affine(h, weight, bias), slope)
        return _affine(h, weights[-1], self.biases[-1])

    def sample(
        self, context: Num[Array, "n context"], uniform: Float[Array, "n spins"]
    ) -> tuple[Int8[Array, "n spins"], Float[Array, "n spins"]]:
        """Spins one by one, and their logits: of each layer, the units of one spin."""
        n, dtype = len(context), self.biases[0].dtype
        from_context, weights, slopes = [], [], []
        h = context.astype(dtype)
        for number, weight in enumerate(self._masked_weights()):
            n_given, is_last = h.shape[1], number == len(self.weights) - 1
            given = 0 if is_last else self.n_context * self.width
            z = _affine(h, weight[:n_given], self.biases[number])
            from_context.append(_by_spin(z[:, given:], self.n_spins))
            weights.append(_by_spin(weight[n_given:, given:], self.n_spins))
            if not is_last:
                slope = self.slopes[number]
                h = _rectified(z[:, :given], slope[:given])
                slopes.append(slope[given:].reshape(self.n_spins, self.width))

        def one_spin(carry, spin):
            inputs = list(carry)
            number, uniform, offsets, weights, slopes = spin
            for layer, slope in enumerate(slopes):
                z = offsets[layer] + inputs[layer] @ weights[layer]
                place = (0, number * self.width)
                inputs[layer + 1] = lax.dynamic_update_slice(
                    inputs[layer + 1], _rectified(z, slope), place
                )
            logit = (offsets[-1] + inputs[-1] @ weights[-1])[:, 0]
            drawn = spins.draw(uniform, logit)
            value = drawn.astype(dtype)
            inputs[0] = lax.dynamic_update_index_in_dim(inputs[0], value, number, 1)
            return inputs, (drawn, logit)

        start = [jnp.zeros((n, weight.shape[1]), dtype) for weight in weights]
        numbers = jnp.arange(self.n_spins)
        _, (drawn, logits) = lax.scan(
            one_spin, start, (numbers, uniform.T, from_context, weights, slopes)
        )
        return drawn.T, logits.T

    def _masked_weights(self) -> list[Float[Array, "units_in units_out"]]:
        masks = self.masks()
        return [w * m.astype(w.dtype) for w, m in zip(self.weights, masks, strict=True)]

    def masks(self) -> list[Bool[np.ndarray, "units_in units_out"]]:
        """Which units see which: the context is number 0, spins are 1, 2, ..."""
        last = np.arange(1, self.n_spins + 1)
        first = np.concatenate([np.zeros(self.n_context, int), last])
        hidden = np.repeat(first, self.width)
        layers = [first] + [hidden] * (self.depth - 1) + [last]
        pairs = itertools.pairwise(layers)
        return [_mask(*pair, is_first=i == 0) for i, pair in enumerate(pairs)]


def _mask(
    above: Int[np.ndarray, " units_in"],
    below: Int[np.ndarray, " units_out"],
    *,
    is_first: bool,
) -> Bool[np.ndarray, "units_in units_out"]:
    number, seer = above[:, None], below[None]
    return (number < seer) | (number == 0) if is_first else number <= seer


def _inverse_root_fan_in(
    mask: Bool[np.ndarray, "units_in units_out"],
) -> Float[np.ndarray, "units_in units_out"]:
    """1/√ of what each unit sees, 0 where it does not."""
    return (mask / np.sqrt(np.maximum(mask.sum(0), 1))).astype(np.float32)


def _affine(
    h: Float[Array, "n units_in"],
    weight: Float[Array, "units_in units_out"],
    bias: Float[Array, " units_out"],
) -> Float[Array, "n units_out"]:
    y = h @ weight
    return y + jnp.broadcast_to(bias, y.shape)


def _rectified(
    h: Float[Array, "n units"], slope: Float[Array, " units"]
) -> Float[Array, "n units"]:
    return jnp.where(h > 0, h, jnp.broadcast_to(slope, h.shape) * h)


def _by_spin(
    array: Float[Array, "rows columns"], n_spins: int
) -> Float[Array, "spins rows width"]:
    """The columns of each spin."""
    width = array.shape[1] // n_spins
    return array.reshape(len(array), n_spins, width).swapaxes(0, 1)
