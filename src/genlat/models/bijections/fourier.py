"""A learned rescaling of Fourier modes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from genlat import lattice
from genlat.models import fourier
from genlat.models.bijections.base import AbstractBijection, Direction


class FourierScaling(AbstractBijection):
    """Real Fourier mode k times exp(log_scale), one number per momentum orbit.

    Commutes with every symmetry of the lattice and with φ -> -φ. Starts as the
    identity.
    """

    log_scale: Float[Array, " orbits"]
    lattice_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, lattice_shape: tuple[int, ...]):
        _, orbits = lattice.momentum_orbits(lattice_shape)
        self.log_scale = jnp.zeros(len(orbits), jnp.float32)
        self.lattice_shape = tuple(lattice_shape)

    def apply(
        self, x: Float[Array, "*lattice"], direction: Direction
    ) -> tuple[Float[Array, "*lattice"], Float[Array, ""]]:
        index, orbits = lattice.momentum_orbits(self.lattice_shape)
        log_scale = self.log_scale if direction == "forward" else -self.log_scale
        wide = jax.dtypes.canonicalize_dtype(jnp.float64)
        count = jnp.asarray(np.bincount(index.ravel(), minlength=len(orbits)), wide)
        return _scaled(x, log_scale[index]), count @ log_scale.astype(wide)

    def apply_with_score(
        self,
        x: Float[Array, "*lattice"],
        score: Float[Array, "*lattice"],
        direction: Direction,
    ) -> tuple[Float[Array, "*lattice"], Float[Array, ""], Float[Array, "*lattice"]]:
        y, log_det = self.apply(x, direction)
        # symmetric, and its log_det the same everywhere: the score meets the inverse
        back = "inverse" if direction == "forward" else "forward"
        score, _ = self.apply(score, back)
        return y, *lax.stop_gradient((log_det, score))


def _scaled(
    x: Float[Array, "*lattice"], log_scale: Float[Array, "*lattice"]
) -> Float[Array, "*lattice"]:
    modes = fourier.to_modes(x, n_batch_axes=0) * jnp.exp(log_scale)
    return fourier.to_real(modes, n_batch_axes=0)
