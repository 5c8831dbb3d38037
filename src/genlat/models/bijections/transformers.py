"""Families of monotone maps of one number, for coupling layers.

A family takes, at every site, parameters made by a network: first the `n_odd` that
change sign with the field in a Z₂-equivariant layer, then the `n_even` that do not.
Zero parameters are the identity.
"""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from genlat.models.bijections import spline
from genlat.models.bijections.base import Direction

Mapped = tuple[Float[Array, "*lattice"], Float[Array, "*lattice"]]


class AbstractTransformer(eqx.Module):
    """Elementwise maps x ↦ y, increasing in x."""

    n_odd: eqx.AbstractVar[int]
    n_even: eqx.AbstractVar[int]

    @abstractmethod
    def apply(
        self,
        x: Float[Array, "*lattice"],
        parameters: Float[Array, "n_parameters *lattice"],
        direction: Direction,
    ) -> Mapped:
        """y, and the log of ∂y/∂x, of the map or its inverse."""


class Additive(AbstractTransformer):
    """x + t. **Source:** Dinh et al., arXiv:1410.8516 (NICE)."""

    n_odd: int = eqx.field(default=1, init=False, static=True)
    n_even: int = eqx.field(default=0, init=False, static=True)

    def apply(
        self,
        x: Float[Array, "*lattice"],
        parameters: Float[Array, "n_parameters *lattice"],
        direction: Direction,
    ) -> Mapped:
        (shift,) = parameters
        return x + (shift if direction == "forward" else -shift), jnp.zeros_like(x)


class Affine(AbstractTransformer):
    """x e^s + t with s = a tanh(parameter), a learned: slopes cannot run away.

    **Source:** Dinh et al., arXiv:1605.08803 (RealNVP).
    """

    limit: Float[Array, ""]
    n_odd: int = eqx.field(default=1, init=False, static=True)
    n_even: int = eqx.field(default=1, init=False, static=True)

    def __init__(self):
        self.limit = jnp.ones((), jnp.float32)

    def apply(
        self,
        x: Float[Array, "*lattice"],
        parameters: Float[Array, "n_parameters *lattice"],
        direction: Direction,
    ) -> Mapped:
        shift, raw = parameters
        log_slope = self.limit * jnp.tanh(raw)
        if direction == "forward":
            return x * jnp.exp(log_slope) + shift, log_slope
        return (x - shift) * jnp.exp(-log_slope), -log_slope


class RationalQuadraticSpline(AbstractTransformer):
    """Spline on [-B, B], B learned, with `n_bins` bins; the identity outside.

    **Arguments:** `bound`: initial B > 0; `n_bins`: from 2 to 50.

    **Raises:** `ValueError` for other numbers.
    """

    log_bound: Float[Array, ""]
    n_bins: int = eqx.field(static=True)
    n_odd: int = eqx.field(static=True)
    n_even: int = eqx.field(static=True)

    def __init__(self, bound: float | Array, n_bins: int = 8):
        self.log_bound = _log_bound(bound, n_bins)
        self.n_bins = n_bins
        self.n_odd, self.n_even = 0, 3 * n_bins - 1

    def apply(
        self,
        x: Float[Array, "*lattice"],
        parameters: Float[Array, "n_parameters *lattice"],
        direction: Direction,
    ) -> Mapped:
        n, bound = self.n_bins, jnp.exp(self.log_bound)
        one = jnp.ones_like(parameters[:1])
        inner = spline.slopes(parameters[2 * n :])
        knots = spline.Knots(
            spline.edges(parameters[:n], -bound, bound),
            spline.edges(parameters[n : 2 * n], -bound, bound),
            jnp.concatenate([one, inner, one]),
        )
        run = spline.evaluate if direction == "forward" else spline.invert
        return run(x, knots)


class OddRationalQuadraticSpline(AbstractTransformer):
    """An odd spline on [-B, B], B learned, with `n_bins` bins on either side of 0.

    Knots are mirror images, so all parameters are even under Z₂; the identity outside.

    **Arguments** and **Raises:** as `RationalQuadraticSpline`.
    """

    log_bound: Float[Array, ""]
    n_bins: int = eqx.field(static=True)
    n_odd: int = eqx.field(static=True)
    n_even: int = eqx.field(static=True)

    def __init__(self, bound: float | Array, n_bins: int = 8):
        self.log_bound = _log_bound(bound, n_bins)
        self.n_bins = n_bins
        self.n_odd, self.n_even = 0, 3 * n_bins

    def apply(
        self,
        x: Float[Array, "*lattice"],
        parameters: Float[Array, "n_parameters *lattice"],
        direction: Direction,
    ) -> Mapped:
        n, bound = self.n_bins, jnp.exp(self.log_bound)
        inner = spline.slopes(parameters[2 * n :])
        knots = spline.Knots(
            spline.edges(parameters[:n], jnp.zeros_like(bound), bound),
            spline.edges(parameters[n : 2 * n], jnp.zeros_like(bound), bound),
            jnp.concatenate([inner, jnp.ones_like(inner[:1])]),
        )
        run = spline.evaluate if direction == "forward" else spline.invert
        side = jnp.where(x < 0, -1, 1).astype(x.dtype)  # never 0: the slope at 0 counts
        y, log_slope = run(side * x, knots)
        return side * y, log_slope


def _log_bound(bound: float | Array, n_bins: int) -> Float[Array, ""]:
    if not bound > 0:
        raise ValueError(f"a spline needs a bound > 0, got {bound}")
    if not 2 <= n_bins <= 50:
        raise ValueError(f"n_bins must be from 2 to 50, got {n_bins}")
    return jnp.log(jnp.asarray(bound, jnp.float32))
