r"""What a flow does at one site: odd functions of a number, radial ones of a vector.

Both are series s(θ) = Σ_f w_f sin(fθ) of the angle of a site. Of a number it is ωφ; of
a vector the length ω|φ|, and the value s(θ) φ/|φ| points where φ does, so that
rotations commute with it. One component is the same either way.
"""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from genlat import lattice
from genlat.models import sine


class AbstractSites(eqx.Module):
    """The sites of a batch, in columns (L₀, n L₁ ...), which XLA vectorises.

    A value has the shape (time, *components, columns) there. A `bar` is the cotangent
    of one.
    """

    @abstractmethod
    def series(self, weights: Float[Array, " f"]) -> Float[Array, "time *n columns"]:
        """The value of Σ_f w_f sin(fθ) at every site."""

    @abstractmethod
    def pull_series(
        self, weights: Float[Array, " f"], bar: Float[Array, "time *n columns"]
    ) -> Float[Array, "time *n columns"]:
        """`bar` of `series`, pulled back to ωφ."""

    @abstractmethod
    def divergence(self, slopes: Float[Array, " f"]) -> Float[Array, "time columns"]:
        """By ωφ, of a value whose w_f is D_f/f."""

    @abstractmethod
    def pull_divergence(
        self, slopes: Float[Array, " f"]
    ) -> Float[Array, "time *n columns"]:
        """Its gradient by ωφ."""

    @abstractmethod
    def along(
        self, bar: Float[Array, "time *n columns"]
    ) -> Float[Array, "time columns"]:
        """The part of `bar` that the series feel: along the value."""

    @abstractmethod
    def terms(self, n: int) -> list[Float[Array, "time columns"]]:
        """Of `series`, for w_f = 1."""

    @abstractmethod
    def divergence_terms(self, n: int) -> list[Float[Array, "time columns"]]:
        """Of `divergence`, for D_f = 1."""


class Numbers(AbstractSites):
    """A number at every site.

    **Arguments:** `angle`: ωφ.
    """

    sin: Float[Array, "time columns"]
    cos: Float[Array, "time columns"]

    def __init__(self, angle: Float[Array, "time columns"]):
        self.sin, self.cos = sine.sin_cos(angle)

    def series(self, weights):
        return sine.sine_series(weights, self.sin, self.cos)

    def pull_series(self, weights, bar):
        return bar * sine.cosine_series(_times(weights, 1), self.cos)

    def divergence(self, slopes):
        return sine.cosine_series(slopes, self.cos)

    def pull_divergence(self, slopes):
        return -sine.sine_series(_times(slopes, 1), self.sin, self.cos)

    def along(self, bar):
        return bar

    def terms(self, n):
        return sine.sines(n, self.sin, self.cos)

    def divergence_terms(self, n):
        return sine.cosines(n, self.cos)


class Vectors(AbstractSites):
    r"""N numbers at every site, and functions of their length.

    The Jacobian of s(θ) u, u = φ/|φ|, is s'(θ) along u and s(θ)/θ across it, N - 1
    times: no derivative of a length is taken by autodiff, and all is smooth at φ = 0.

    **Arguments:** `angle`: ωφ, components on axis 1.
    """

    sin: Float[Array, "time columns"]
    cos: Float[Array, "time columns"]
    length: Float[Array, "time columns"]
    unit: Float[Array, "time n columns"]

    def __init__(self, angle: Float[Array, "time n columns"]):
        squares = [angle[:, a] ** 2 for a in range(angle.shape[1])]
        # at φ = 0 any direction will do: sin(fθ)/θ is f however small θ is
        smallest = jnp.finfo(angle.dtype).tiny
        self.length = jnp.sqrt(jnp.maximum(lattice.sum_arrays(squares), smallest))
        self.unit = angle / self.length[:, None]
        self.sin, self.cos = sine.sin_cos(self.length)

    def series(self, weights):
        return sine.sine_series(weights, self.sin, self.cos)[:, None] * self.unit

    def pull_series(self, weights, bar):
        across = self._over_length(weights)
        excess = sine.cosine_series(_times(weights, 1), self.cos) - across
        return across[:, None] * bar + (excess * self.along(bar))[:, None] * self.unit

    def divergence(self, slopes):
        across = self._over_length(_times(slopes, -1))
        return sine.cosine_series(slopes, self.cos) + self._n_across * across

    def pull_divergence(self, slopes):
        slope = -sine.sine_series(_times(slopes, 1), self.sin, self.cos)
        slope += self._n_across * self._slope_over_length(_times(slopes, -1))
        return slope[:, None] * self.unit

    def along(self, bar):
        n = self.unit.shape[1]
        return lattice.sum_arrays([self.unit[:, a] * bar[:, a] for a in range(n)])

    def terms(self, n):
        return sine.sines(n, self.sin, self.cos)

    def divergence_terms(self, n):
        along = sine.cosines(n, self.cos)
        across = [value / self.length for value in self.terms(n)]
        return [
            a + self._n_across / f * b
            for f, (a, b) in enumerate(zip(along, across, strict=True), start=1)
        ]

    @property
    def _n_across(self) -> int:
        return self.unit.shape[1] - 1

    def _over_length(self, weights: Array) -> Array:
        """s(θ)/θ."""
        return sine.sine_series(weights, self.sin, self.cos) / self.length

    def _slope_over_length(self, weights: Array) -> Array:
        """d/dθ of s(θ)/θ; by its series where the two terms cancel."""
        theta = self.length
        slope = sine.cosine_series(_times(weights, 1), self.cos)
        exact = (slope - self._over_length(weights)) / theta
        third, fifth = (jnp.sum(_times(weights, k)) for k in (3, 5))
        short = theta * (fifth / 30 * theta * theta - third / 3)
        # rounding ε/θ against (fθ)⁵/840 that is left out
        is_short = theta < jnp.finfo(theta.dtype).eps ** (1 / 6) / len(weights)
        return jnp.where(is_short, short, exact)


def _times(weights: Float[Array, " f"], power: int) -> Float[Array, " f"]:
    """f^power w_f: derivatives and integrals of a series in multiples of the angle."""
    return weights * jnp.arange(1, len(weights) + 1, dtype=weights.dtype) ** power
