"""PixelCNN: spins of a square lattice one by one in raster order, by convolutions."""

import math
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int8, Key, Num, PRNGKeyArray

from genlat import lattice
from genlat.likelihood import EXACT, Likelihood
from genlat.models.autoregressive import masked_convolution, spins
from genlat.models.autoregressive.masked_convolution import MaskedConvolution
from genlat.models.base import AbstractModel


class Block(eqx.Module):
    """A masked convolution, and what is before and after it at each site.

    Plain: y = conv(PReLU(h)), added to h if residual. Gated: (u, v) = conv(h) and
    y = h + M (tanh u · σ(v)).
    """

    slope: Float[Array, " channels"] | None
    convolution: MaskedConvolution
    mix: Float[Array, "channels channels"] | None
    is_residual: bool = eqx.field(static=True)

    def before(self, h: Float[Array, "*sites channels"]):
        """What the convolution is of."""
        if self.slope is None:
            return h
        return jnp.where(h > 0, h, jnp.broadcast_to(self.slope, h.shape) * h)

    def after(self, h: Float[Array, "*sites channels"], y: Float[Array, "*sites out"]):
        """The block's output, y being that of the convolution."""
        if self.mix is not None:
            u, v = jnp.split(y, 2, -1)
            y = (jnp.tanh(u) * jax.nn.sigmoid(v)) @ self.mix
        return h + y if self.is_residual else y


class PixelCNN(AbstractModel):
    r"""q(s) = Π_x q(s_x | s_y, y before x in raster order), by masked convolutions.

    The first layer sees every spin before x within k of x on the torus, around both
    ends; and which of its neighbours those are:

    $$h(x) = \sum_{d:\, x + d < x} \left[W_d\, s(x + d) + B_d\right],$$

    in which d = 0 has weights that nothing uses.
    Then `depth` - 2 blocks and a last one with a single channel, the logit. The last
    one starts at zero, and q with it as the uniform distribution. The first spin is 1
    with the constant probability that this leaves, learned like the others: symmetrise
    q for one that is 1/2.

    A draw costs each site one column of each layer: what complete rows add to the rows
    below is kept, and what is to the left in the own row too.

    **Source:** van den Oord et al., arXiv:1601.06759 (masks), arXiv:1606.05328 (gates);
    Wu, Wang, Zhang, Phys. Rev. Lett. 122, 080602, arXiv:1809.10606 (spins; PReLU from
    slope 1/2). There all edges are padded by zeros; the torus here is ours.

    **Arguments:**

    - `lattice_shape`: two extents (L₀, L₁).
    - `key`: of the initial weights, N(0, 1/fan-in).
    - `half_kernel`: k ≥ 1, for kernels of 2k + 1; k < L₀ and 2k + 1 ≤ L₁.
    - `depth`: number of masked convolutions, ≥ 2.
    - `width`: channels in between, ≥ 1.
    - `block`: `"plain"`, `"residual"` or `"gated"`; see `Block`.

    **Raises:** `ValueError` for anything else.
    """

    spin_kernel: Float[Array, "rows columns width"]
    known_kernel: Float[Array, "rows columns width"]
    blocks: tuple[Block, ...]
    lattice_shape: tuple[int, ...] = eqx.field(static=True)
    half_kernel: int = eqx.field(static=True)
    likelihood: ClassVar[Likelihood] = EXACT

    def __init__(
        self,
        lattice_shape: tuple[int, ...],
        key: PRNGKeyArray,
        *,
        half_kernel: int,
        depth: int,
        width: int,
        block: Literal["plain", "residual", "gated"] = "residual",
    ):
        _check(lattice_shape, half_kernel, depth, width, block)
        key_first, *keys = jr.split(key, depth)
        rows, columns = len(_row_offsets(lattice_shape, half_kernel)), 2 * half_kernel
        shape = (rows, columns + 1, width)
        std = 1 / math.sqrt(half_kernel * (columns + 1) + half_kernel)
        self.spin_kernel = std * jr.normal(key_first, shape, jnp.float32)
        self.known_kernel = jnp.zeros(shape, jnp.float32)
        hidden = [_hidden_block(half_kernel, width, block, key) for key in keys[:-1]]
        last = masked_convolution.initial(half_kernel, width, 1, keys[-1], scale=0.0)
        self.blocks = (*hidden, Block(_slope(width), last, None, False))
        self.lattice_shape = tuple(lattice_shape)
        self.half_kernel = half_kernel

    def logits(self, configurations: Num[Array, "n L0 L1"]) -> Float[Array, "n L0 L1"]:
        """Logit of s_x = 1 given the spins before x, of all sites at once."""
        s = configurations.astype(self.spin_kernel.dtype)
        h = self._first(jnp.moveaxis(s, 0, 1))
        for block in self.blocks:
            h = block.after(h, block.convolution(block.before(h)))
        return jnp.moveaxis(h[..., 0], 1, 0)

    def log_prob_batch(self, phis: Num[Array, "n *lattice"]) -> Float[Array, " n"]:
        """log q of given spins.

        **Raises:** `ValueError` for another lattice, or, outside of jit, for values
        that are not ±1.
        """
        spins.check(phis, self.lattice_shape)
        return jnp.sum(spins.log_conditionals(phis, self.logits(phis)), axis=(1, 2))

    def sample_batch(
        self, keys: Key[Array, " n"]
    ) -> tuple[Int8[Array, "n *lattice"], Float[Array, " n"]]:
        """One configuration of spins ±1 per key, int8, and log q."""
        extent0, extent1 = self.lattice_shape
        n, dtype = len(keys), self.spin_kernel.dtype
        uniform = spins.uniforms(keys, extent0 * extent1).T
        site_bias = self._site_bias()
        beside = self._first_beside()

        def one_site(carry, site):
            return self._one_site(carry, site)

        def one_row(carry, row):
            so_far, pending = carry
            number, uniform, site_bias = row
            first = self._first_above(so_far, number) + jnp.broadcast_to(
                site_bias[:, None], (extent1, n, site_bias.shape[-1])
            )
            recent = tuple(
                jnp.zeros((n, math.prod(block.convolution.beside.shape[:2])), dtype)
                for block in self.blocks
            )
            start = jnp.zeros((n, extent1), dtype), recent
            columns = (
                jnp.arange(extent1),
                uniform,
                beside,
                first,
                [p[0] for p in pending],
            )
            _, (drawn, logits, inputs) = lax.scan(one_site, start, columns)
            so_far = lax.dynamic_update_index_in_dim(so_far, drawn, number, 0)
            pending = tuple(
                jnp.concatenate([p[1:], jnp.zeros_like(p[:1])]) + b.convolution.below(x)
                for b, p, x in zip(self.blocks, pending, inputs, strict=True)
            )
            return (so_far, pending), logits

        pending = tuple(
            jnp.zeros((self.half_kernel, extent1, n, len(b.convolution.bias)), dtype)
            for b in self.blocks
        )
        start = jnp.zeros((extent0, extent1, n), jnp.int8), pending
        rows = jnp.arange(extent0), uniform.reshape(extent0, extent1, n), site_bias
        (drawn, _), logits = lax.scan(one_row, start, rows)
        log_q = jnp.sum(spins.log_conditionals(drawn, logits), axis=(0, 1))
        return jnp.moveaxis(drawn, -1, 0), log_q

    def _one_site(self, carry, site):
        """The next spin of a row: one column of every layer."""
        row, recent = carry
        column, uniform, beside, first, above = site
        h = first + row @ beside
        inputs, kept = [], []
        for block, latest, from_above in zip(self.blocks, recent, above, strict=True):
            x = block.before(h)
            latest = jnp.concatenate([latest[:, x.shape[1] :], x], 1)
            h = block.after(h, from_above + block.convolution.right(latest))
            inputs.append(x)
            kept.append(latest)
        drawn = spins.draw(uniform, h[:, 0])
        row = lax.dynamic_update_index_in_dim(row, drawn.astype(row.dtype), column, 1)
        return (row, tuple(kept)), (drawn, h[:, 0], tuple(inputs))

    def _first(self, s: Float[Array, "L0 n L1"]) -> Float[Array, "L0 n L1 width"]:
        """The first layer on all sites at once."""
        known = jnp.asarray(_known(self.lattice_shape, self.half_kernel), s.dtype)
        own_row = self._columns(s, axis=2)
        rows = [jnp.roll(own_row, -d, 0) for d in self._row_offsets()]
        window = jnp.concatenate(rows, -1)
        h = (window * known[:, None]) @ self.spin_kernel.reshape(-1, self._width)
        return h + jnp.broadcast_to(self._site_bias()[:, None], h.shape)

    def _site_bias(self) -> Float[Array, "L0 L1 width"]:
        known = _known(self.lattice_shape, self.half_kernel)
        known = jnp.asarray(known, self.spin_kernel.dtype)
        return known @ self.known_kernel.reshape(-1, self._width)

    def _first_above(self, so_far, number) -> Float[Array, "L1 n width"]:
        """Of a row, what the others add to the first layer; spins to come are 0."""
        others = np.array([d for d in self._row_offsets() if d != 0])
        rows = jnp.take(so_far, (number + others) % self.lattice_shape[0], axis=0)
        rows = rows.astype(self.spin_kernel.dtype)
        window = jnp.concatenate(list(self._columns(rows, axis=1)), -1)
        kernel = self.spin_kernel[others + self.half_kernel]
        return window @ kernel.reshape(-1, self._width)

    def _first_beside(self) -> Float[Array, "L1 L1 width"]:
        """For each column of a row, the first layer's weights of all columns."""
        extent, k = self.lattice_shape[1], self.half_kernel
        site, offset = np.indices((extent, 2 * k + 1))
        seen = (site + offset - k) % extent
        own_row = self.spin_kernel[k]
        weights = jnp.zeros((extent, extent, self._width), own_row.dtype)
        return weights.at[site, seen].set(own_row[offset])

    def _columns(self, s: Float[Array, "..."], axis: int) -> Float[Array, "... window"]:
        """The spins within k columns of each, around the ends."""
        k = self.half_kernel
        return masked_convolution.windows(s[..., None], k, k, axis, is_periodic=True)

    def _row_offsets(self) -> range:
        return _row_offsets(self.lattice_shape, self.half_kernel)

    @property
    def _width(self) -> int:
        return self.spin_kernel.shape[-1]


def _row_offsets(lattice_shape: tuple[int, ...], half_kernel: int) -> range:
    """Rows that the first layer sees, relative to its own: each of them once."""
    below = min(half_kernel, lattice_shape[0] - 1 - half_kernel)
    return range(-half_kernel, below + 1)


def _known(
    lattice_shape: tuple[int, ...], half_kernel: int
) -> Bool[np.ndarray, "L0 L1 window"]:
    """Which sites of the window around each site come before it."""
    extent0, extent1 = lattice_shape
    rows = np.array(_row_offsets(lattice_shape, half_kernel))
    columns = np.arange(-half_kernel, half_kernel + 1)
    i, j = np.indices(lattice_shape)[..., None, None]
    seen = (i + rows[:, None]) % extent0 * extent1 + (j + columns) % extent1
    return (seen < i * extent1 + j).reshape(extent0, extent1, -1)


def _slope(width: int) -> Float[Array, " width"]:
    return jnp.full(width, 0.5, jnp.float32)


def _hidden_block(half_kernel: int, width: int, kind: str, key: PRNGKeyArray) -> Block:
    key_conv, key_mix = jr.split(key)
    if kind == "gated":
        mix = jr.normal(key_mix, (width, width), jnp.float32) / math.sqrt(width)
        conv = masked_convolution.initial(half_kernel, width, 2 * width, key_conv)
        return Block(None, conv, mix, True)
    conv = masked_convolution.initial(half_kernel, width, width, key_conv)
    return Block(_slope(width), conv, None, kind == "residual")


def _check(
    lattice_shape: tuple[int, ...], half_kernel: int, depth: int, width: int, block: str
) -> None:
    lattice.check_shape(lattice_shape)
    if len(lattice_shape) != 2:
        raise ValueError(f"lattice_shape must be two extents, got {lattice_shape}")
    if half_kernel < 1:
        raise ValueError(f"half_kernel must be >= 1, got {half_kernel}")
    if half_kernel >= lattice_shape[0] or 2 * half_kernel + 1 > lattice_shape[1]:
        raise ValueError(
            f"half_kernel k must have k < L0 and 2k + 1 <= L1 on {lattice_shape}, "
            f"got {half_kernel}"
        )
    if depth < 2:
        raise ValueError(f"depth must be >= 2, got {depth}")
    if width < 1:
        raise ValueError(f"width must be >= 1, got {width}")
    if block not in ("plain", "residual", "gated"):
        raise ValueError(f'block must be "plain", "residual" or "gated", got {block!r}')
