"""Gaussian free field of several components, symmetric under their rotations."""

import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key

from genlat import lattice
from genlat.likelihood import EXACT, Likelihood
from genlat.models.prior import AbstractPrior, Pad


class GaussianVectors(AbstractPrior):
    """N independent Gaussian fields around 0, all of one symmetric spectrum.

    Invariant under O(N), translations and the point group.

    **Arguments:**

    - `variance`: of every mode of every component, as that of `GaussianPair`.
    - `n_components`: N ≥ 1.
    """

    log_std: Float[Array, " orbits"]
    lattice_shape: tuple[int, ...] = eqx.field(static=True)
    n_components: int = eqx.field(static=True)
    likelihood: ClassVar[Likelihood] = EXACT

    def __init__(self, variance: Float[np.ndarray, "*lattice"], n_components: int):
        index, orbits = lattice.momentum_orbits(variance.shape)
        log_std = np.zeros(len(orbits))
        log_std[index] = 0.5 * np.log(variance)
        self.log_std = jnp.asarray(log_std, jnp.float32)
        self.lattice_shape = tuple(variance.shape)
        self.n_components = n_components

    @property
    def components(self) -> tuple[int, ...]:
        return (self.n_components,)

    def as_pair(self) -> "GaussianVectors":
        """Itself: it has one phase."""
        return self

    def on(self, lattice_shape: tuple[int, ...], pad: Pad) -> "GaussianVectors":
        blank = GaussianVectors(np.ones(lattice_shape), self.n_components)
        return eqx.tree_at(lambda prior: prior.log_std, blank, pad(self.log_std))

    def sample_modes(
        self, keys: Key[Array, " n"]
    ) -> tuple[Float[Array, "time components n *space"], Float[Array, " n"]]:
        shape, dtype = (*self.components, *self.lattice_shape), self.log_std.dtype
        # (components, time, n, *space): the batch right behind time
        noise = jax.vmap(lambda key: jr.normal(key, shape, dtype), out_axes=2)(keys)
        modes = jnp.moveaxis(noise, 0, 1) * jnp.exp(self._log_std_modes())
        return modes, self.log_prob_modes(modes)

    def log_prob_modes(
        self, modes: Float[Array, "time components n *space"]
    ) -> Float[Array, " n"]:
        log_std = self._log_std_modes()
        wide = jax.dtypes.canonicalize_dtype(jnp.float64)
        scaled = (modes * jnp.exp(-log_std)).astype(wide)
        numbers = self.n_components * lattice.volume(self.lattice_shape)
        log_norm = self.n_components * jnp.sum(log_std, dtype=wide)
        log_norm += 0.5 * numbers * math.log(2 * math.pi)
        axes = (0, 1, *range(3, modes.ndim))
        return -0.5 * jnp.sum(scaled**2, axis=axes) - log_norm

    def score_modes(
        self, modes: Float[Array, "time components n *space"]
    ) -> Float[Array, "time components n *space"]:
        return -modes * jnp.exp(-2 * self._log_std_modes())

    def log_choice(self, keys: Key[Array, " n"]) -> Float[Array, " n"]:
        """0: no choice is made."""
        return jnp.zeros(len(keys), jax.dtypes.canonicalize_dtype(jnp.float64))

    def _log_std_modes(self) -> Float[Array, "time 1 1 *space"]:
        index, _ = lattice.momentum_orbits(self.lattice_shape)
        return self.log_std[index][:, None, None]
