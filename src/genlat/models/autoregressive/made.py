"""MADE: spins one by one in raster order, by a masked dense network."""

import math
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int8, Key, Num, PRNGKeyArray

from genlat import lattice
from genlat.likelihood import EXACT, Likelihood
from genlat.models.autoregressive import spins
from genlat.models.autoregressive.masked_dense import MaskedDense
from genlat.models.base import AbstractModel


class MADE(AbstractModel):
    r"""q(s) = Π_x q(s_x | s_y, y before x in raster order), by dense layers.

    Knows nothing of translations; for small lattices, of any dimension. Starts as the
    uniform distribution.

    **Source:** Germain et al., arXiv:1502.03509; Wu, Wang, Zhang, Phys. Rev. Lett. 122,
    080602, arXiv:1809.10606.

    **Arguments:**

    - `lattice_shape`: extents.
    - `key`, `depth`, `width`: as `MaskedDense`.

    **Raises:** `ValueError` for an extent, a depth or a width smaller than 1.
    """

    net: MaskedDense
    lattice_shape: tuple[int, ...] = eqx.field(static=True)
    likelihood: ClassVar[Likelihood] = EXACT

    def __init__(
        self,
        lattice_shape: tuple[int, ...],
        key: PRNGKeyArray,
        *,
        depth: int,
        width: int,
    ):
        lattice.check_shape(lattice_shape)
        n_sites = math.prod(lattice_shape)
        self.net = MaskedDense(n_sites, 0, key, depth=depth, width=width)
        self.lattice_shape = tuple(lattice_shape)

    def logits(
        self, configurations: Num[Array, "n *lattice"]
    ) -> Float[Array, "n *lattice"]:
        """Logit of s_x = 1 given the spins before x, of all sites at once."""
        flat = configurations.reshape(len(configurations), -1)
        logits = self.net.logits(flat[:, :0], flat)
        return logits.reshape(configurations.shape)

    def log_prob_batch(self, phis: Num[Array, "n *lattice"]) -> Float[Array, " n"]:
        """log q of given spins.

        **Raises:** `ValueError` for another lattice, or, outside of jit, for values
        that are not ±1.
        """
        spins.check(phis, self.lattice_shape)
        log_p = spins.log_conditionals(phis, self.logits(phis))
        return jnp.sum(log_p, axis=range(1, phis.ndim))

    def sample_batch(
        self, keys: Key[Array, " n"]
    ) -> tuple[Int8[Array, "n *lattice"], Float[Array, " n"]]:
        """One configuration of spins ±1 per key, int8, and log q."""
        uniform = spins.uniforms(keys, math.prod(self.lattice_shape))
        drawn, logits = self.net.sample(uniform[:, :0], uniform)
        log_q = jnp.sum(spins.log_conditionals(drawn, logits), axis=1)
        return drawn.reshape(-1, *self.lattice_shape), log_q
