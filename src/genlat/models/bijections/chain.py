"""Bijections one after another."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from genlat.models.bijections.base import AbstractBijection, Direction


class Chain(AbstractBijection):
    """The first bijection is the one next to z.

    **Raises:** `ValueError` for none, or for different lattices.
    """

    bijections: tuple[AbstractBijection, ...]
    lattice_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, bijections: tuple[AbstractBijection, ...]):
        shapes = {bijection.lattice_shape for bijection in bijections}
        if len(shapes) != 1:
            raise ValueError(f"wanted bijections of one lattice, got {sorted(shapes)}")
        self.bijections = tuple(bijections)
        (self.lattice_shape,) = shapes

    def apply(
        self, x: Float[Array, "*lattice"], direction: Direction
    ) -> tuple[Float[Array, "*lattice"], Float[Array, ""]]:
        total = _zero()
        for bijection in self._in_order(direction):
            x, log_det = bijection.apply(x, direction)
            total = total + log_det
        return x, total

    def apply_with_score(
        self,
        x: Float[Array, "*lattice"],
        score: Float[Array, "*lattice"],
        direction: Direction,
    ) -> tuple[Float[Array, "*lattice"], Float[Array, ""], Float[Array, "*lattice"]]:
        total = _zero()
        for bijection in self._in_order(direction):
            x, log_det, score = bijection.apply_with_score(x, score, direction)
            total = total + log_det
        return x, total, score

    def _in_order(self, direction: Direction) -> tuple[AbstractBijection, ...]:
        return self.bijections if direction == "forward" else self.bijections[::-1]


def _zero() -> Float[Array, ""]:
    return jnp.zeros((), jax.dtypes.canonicalize_dtype(jnp.float64))
