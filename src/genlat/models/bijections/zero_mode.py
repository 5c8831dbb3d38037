"""A learned map of the zero mode, and of the fluctuations around it."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from genlat import lattice
from genlat.models.bijections.base import AbstractBijection, Direction
from genlat.models.bijections.transformers import OddRationalQuadraticSpline


class ZeroMode(AbstractBijection):
    r"""φ ↦ f(m) + g(m) (φ - m) with m = (1/V) Σ φ: bimodal and radial.

    f is e^a times an odd rational-quadratic spline: steep at 0 and flat further out, it
    makes two wells of one. g > 0 is even,

    $$\ln g = \sum_{k=0}^{3} c_k t^k, \qquad t = m^2 / (m^2 + B^2),$$

    and lets fluctuations be of another width in the wells than between them. log_det is
    ln f' + (V - 1) ln g. Commutes with every symmetry of the lattice and with φ -> -φ.
    Starts as the identity.

    **Arguments:** `width`: expected size of m, > 0; the spline reaches to B, 4 of them
    at the start.

    **Raises:** `ValueError` for another width or a lattice of one site.
    """

    spline: OddRationalQuadraticSpline
    knots: Float[Array, " n_parameters"]
    log_scale: Float[Array, ""]
    radial: Float[Array, " powers"]
    lattice_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, lattice_shape: tuple[int, ...], width: float | Array):
        lattice.check_shape(lattice_shape)
        if lattice.volume(lattice_shape) < 2:
            raise ValueError(f"nothing fluctuates around one site, got {lattice_shape}")
        self.spline = OddRationalQuadraticSpline(4 * width)
        self.knots = jnp.zeros(self.spline.n_even, jnp.float32)
        self.log_scale = jnp.zeros((), jnp.float32)
        self.radial = jnp.zeros(4, jnp.float32)
        self.lattice_shape = tuple(lattice_shape)

    def apply(
        self, x: Float[Array, "*lattice"], direction: Direction
    ) -> tuple[Float[Array, "*lattice"], Float[Array, ""]]:
        mean = jnp.mean(x)
        image, log_slope, log_factor = self._of_mean(mean, direction)
        return image + jnp.exp(log_factor) * (x - mean), self._log_det(
            log_slope, log_factor
        )

    def apply_with_score(
        self,
        x: Float[Array, "*lattice"],
        score: Float[Array, "*lattice"],
        direction: Direction,
    ) -> tuple[Float[Array, "*lattice"], Float[Array, ""], Float[Array, "*lattice"]]:
        """m sees itself alone, the fluctuations a factor: Jᵀ is triangular."""
        y, _ = self.apply(x, direction)
        frozen, still, score = lax.stop_gradient((self, x, score))
        mean, total = jnp.mean(still), jnp.sum(score)
        (_, log_slope, log_factor), pull = jax.vjp(
            lambda mean: frozen._of_mean(mean, direction), mean
        )
        volume, zero, one = still.size, jnp.zeros_like(mean), jnp.ones_like(mean)
        fluctuation = jnp.exp(-log_factor) * (score - total / volume)
        # y - f = e^log_factor (x - m) changes with m by itself times ∂ log_factor
        along = jnp.sum((still - mean) * fluctuation) * jnp.exp(log_factor)
        (drag,) = pull((zero, one, (volume - 1) + along))
        uniform = (total - drag) * jnp.exp(-log_slope) / volume
        log_det = self._log_det(log_slope, log_factor)
        return y, *lax.stop_gradient((log_det, uniform + fluctuation))

    def _of_mean(
        self, mean: Float[Array, ""], direction: Direction
    ) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
        """Image of the mean, log of its slope, log of the factor of fluctuations."""
        if direction == "forward":
            image, log_slope = self.spline.apply(mean, self.knots, direction)
            scaled = image * jnp.exp(self.log_scale)
            return scaled, log_slope + self.log_scale, self._log_gain(mean)
        image, log_slope = self.spline.apply(
            mean * jnp.exp(-self.log_scale), self.knots, direction
        )
        return image, log_slope - self.log_scale, -self._log_gain(image)

    def _log_gain(self, mean: Float[Array, ""]) -> Float[Array, ""]:
        square = (mean * jnp.exp(-self.spline.log_bound)) ** 2
        t = square / (1 + square)
        c0, c1, c2, c3 = self.radial
        return c0 + t * (c1 + t * (c2 + t * c3))

    def _log_det(
        self, log_slope: Float[Array, ""], log_factor: Float[Array, ""]
    ) -> Float[Array, ""]:
        wide = jax.dtypes.canonicalize_dtype(jnp.float64)
        volume = lattice.volume(self.lattice_shape)
        return log_slope.astype(wide) + (volume - 1) * log_factor.astype(wide)
