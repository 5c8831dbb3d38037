"""Gaussian free-field prior in Fourier space, or its Z₂-symmetric pair."""

import math
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key, PRNGKeyArray

from genlat import lattice
from genlat.likelihood import EXACT, Likelihood
from genlat.models.prior import AbstractPrior, Pad

Wells = Literal["both", "one"]


class GaussianPair(AbstractPrior):
    r"""φ = ±v + χ with both signs equally likely, χ Gaussian with a symmetric spectrum.

    In the orthonormal real Fourier modes of the lattice all modes but the zero mode are
    independent Gaussians; with μ = v√V the zero mode has the density
    ½N(-μ, σ₀²) + ½N(μ, σ₀²). Without `mean` it is the Gaussian free field. A flow that
    is odd carries either sign to its own well, so the pair is the exact mixture of
    what it does in one.

    **Arguments:**

    - `variance`: variance of every mode (rows of `lattice.real_fourier_matrix`), equal
      on each symmetry orbit, > 0. Its logarithm is trainable, one number per orbit.
    - `mean`: v, trainable; 0 for a single Gaussian around 0.
    - `wells`: `"one"` keeps the sign + only, a single Gaussian around v: what a theory
      in a field wants, and drops a mode on purpose of one without.
    """

    log_std: Float[Array, " orbits"]
    mean: Float[Array, ""] | None
    lattice_shape: tuple[int, ...] = eqx.field(static=True)
    wells: Wells = eqx.field(static=True)
    likelihood: ClassVar[Likelihood] = EXACT

    def __init__(
        self,
        variance: Float[np.ndarray, "*lattice"],
        mean: float = 0.0,
        wells: Wells = "both",
    ):
        index, orbits = lattice.momentum_orbits(variance.shape)
        log_std = np.zeros(len(orbits))
        log_std[index] = 0.5 * np.log(variance)
        self.log_std = jnp.asarray(log_std, jnp.float32)
        self.mean = jnp.asarray(mean, jnp.float32) if mean != 0 else None
        self.lattice_shape = tuple(variance.shape)
        self.wells = wells

    def in_wells(self, wells: Wells) -> "GaussianPair":
        """The same Gaussians, in both wells or in one."""
        mean = 0.0 if self.mean is None else 1.0
        blank = GaussianPair(np.ones(self.lattice_shape), mean, wells)
        return eqx.tree_at(
            lambda prior: (prior.log_std, prior.mean),
            blank,
            (self.log_std, self.mean),
            is_leaf=lambda leaf: leaf is None,
        )

    def as_pair(self) -> "GaussianPair":
        """The same density with v a parameter, 0 where it had none."""
        if self.mean is not None:
            return self
        pair = GaussianPair(np.ones(self.lattice_shape), 1.0, self.wells)
        return eqx.tree_at(
            lambda prior: (prior.log_std, prior.mean),
            pair,
            (self.log_std, jnp.zeros((), self.log_std.dtype)),
        )

    def on(self, lattice_shape: tuple[int, ...], pad: Pad) -> "GaussianPair":
        mean = 0.0 if self.mean is None else 1.0
        return eqx.tree_at(
            lambda prior: (prior.log_std, prior.mean),
            GaussianPair(np.ones(lattice_shape), mean, self.wells),
            (pad(self.log_std), self.mean),
            is_leaf=lambda leaf: leaf is None,
        )

    def sample_modes(
        self, keys: Key[Array, " n"]
    ) -> tuple[Float[Array, "time n *space"], Float[Array, " n"]]:
        def draw(key: PRNGKeyArray):
            key_noise, key_sign = jr.split(key)
            noise = jr.normal(key_noise, self.lattice_shape, self.log_std.dtype)
            return noise, jr.rademacher(key_sign, (), self.log_std.dtype)

        noise, sign = jax.vmap(draw, out_axes=(1, 0))(keys)
        modes = noise * jnp.exp(self._log_std_modes())
        if self.mean is not None:
            side = sign if self.wells == "both" else 1
            modes = modes.at[_zero_mode(modes)].add(side * self._zero_mode_mean())
        return modes, self.log_prob_modes(modes)

    def log_prob_modes(
        self, modes: Float[Array, "time n *space"]
    ) -> Float[Array, " n"]:
        log_std = self._log_std_modes()
        wide = jax.dtypes.canonicalize_dtype(jnp.float64)
        scaled = (modes * jnp.exp(-log_std)).astype(wide)
        axes = (0, *range(2, modes.ndim))
        volume = lattice.volume(self.lattice_shape)
        log_norm = jnp.sum(log_std, dtype=wide) + 0.5 * volume * math.log(2 * math.pi)
        log_q = -0.5 * jnp.sum(scaled**2, axis=axes) - log_norm
        if self.mean is None:
            return log_q
        distance = (self._zero_mode_mean() * jnp.exp(-self.log_std[0])).astype(wide)
        pull = scaled[_zero_mode(modes)] * distance
        if self.wells == "one":
            return log_q - 0.5 * distance**2 + pull
        pull = jnp.abs(pull)
        # ln cosh(pull), which exp would overflow
        log_cosh = pull + jnp.log1p(jnp.exp(-2 * pull)) - math.log(2)
        return log_q - 0.5 * distance**2 + log_cosh

    def score_modes(
        self, modes: Float[Array, "time n *space"]
    ) -> Float[Array, "time n *space"]:
        precision = jnp.exp(-2 * self._log_std_modes())
        score = -modes * precision
        if self.mean is None:
            return score
        zero = _zero_mode(modes)
        slope = self._zero_mode_mean() * jnp.exp(-2 * self.log_std[0])
        side = jnp.tanh(modes[zero] * slope) if self.wells == "both" else 1
        return score.at[zero].add(slope * side)

    def log_choice(self, keys: Key[Array, " n"]) -> Float[Array, " n"]:
        """0: the choice of a sign is the same whatever the parameters."""
        return jnp.zeros(len(keys), jax.dtypes.canonicalize_dtype(jnp.float64))

    def _zero_mode_mean(self) -> Float[Array, ""]:
        assert self.mean is not None
        return self.mean * math.sqrt(lattice.volume(self.lattice_shape))

    def _log_std_modes(self) -> Float[Array, "time 1 *space"]:
        index, _ = lattice.momentum_orbits(self.lattice_shape)
        return self.log_std[index][:, None]


def _zero_mode(modes: Array) -> tuple:
    """Index of the zero mode of every configuration; it is also orbit 0."""
    return (0, slice(None), *(0,) * (modes.ndim - 2))
