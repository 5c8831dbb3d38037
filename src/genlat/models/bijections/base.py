"""The interface of an invertible map of one configuration."""

from abc import abstractmethod
from typing import Literal

import equinox as eqx
from jaxtyping import Array, Float

Direction = Literal["forward", "inverse"]


class AbstractBijection(eqx.Module):
    """z ↦ φ, both on `lattice_shape`. Knows no density.

    Both directions are one method each, told which: what they return is of the map just
    applied. Batches are made by `jax.vmap` over axis 0, where convolutions are fast.
    """

    lattice_shape: eqx.AbstractVar[tuple[int, ...]]

    @abstractmethod
    def apply(
        self, x: Float[Array, "*lattice"], direction: Direction
    ) -> tuple[Float[Array, "*lattice"], Float[Array, ""]]:
        """The image y of x, and the log_det ln |∂y/∂x|, float64."""

    @abstractmethod
    def apply_with_score(
        self,
        x: Float[Array, "*lattice"],
        score: Float[Array, "*lattice"],
        direction: Direction,
    ) -> tuple[Float[Array, "*lattice"], Float[Array, ""], Float[Array, "*lattice"]]:
        r"""`apply`, and the score of the density of y from the `score` of that of x.

        $$G_y = J^{-T} (G_x - \partial_x \ln |J|), \qquad J = \partial y/\partial x.$$

        Only y is differentiable: the log_det and the score are constants.

        **Source:** Vaitl et al., arXiv:2403.15881.
        """

    def forward_and_log_det(
        self, z: Float[Array, "*lattice"]
    ) -> tuple[Float[Array, "*lattice"], Float[Array, ""]]:
        """φ and its log_det."""
        return self.apply(z, "forward")

    def inverse_and_log_det(
        self, phi: Float[Array, "*lattice"]
    ) -> tuple[Float[Array, "*lattice"], Float[Array, ""]]:
        """z and its log_det."""
        return self.apply(phi, "inverse")

    def forward_with_score(
        self, z: Float[Array, "*lattice"], score: Float[Array, "*lattice"]
    ) -> tuple[Float[Array, "*lattice"], Float[Array, ""], Float[Array, "*lattice"]]:
        """φ, the log_det, and the score there."""
        return self.apply_with_score(z, score, "forward")

    def inverse_with_score(
        self, phi: Float[Array, "*lattice"], score: Float[Array, "*lattice"]
    ) -> tuple[Float[Array, "*lattice"], Float[Array, ""], Float[Array, "*lattice"]]:
        """z, the log_det, and the score there."""
        return self.apply_with_score(phi, score, "inverse")
