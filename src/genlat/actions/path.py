"""A line of theories from independent sites to the one wanted."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, ScalarLike, Shaped

from genlat import lattice
from genlat.actions.base import AbstractAction, AbstractScalarAction
from genlat.actions.declared import require_couplings


class AbstractPath(AbstractAction):
    """S_t of a line of theories, which knows its slope."""

    @abstractmethod
    def energy(self, phi: Shaped[Array, "*lattice"]) -> Float[Array, ""]:
        """∂S_t/∂t, in float64: minus ∂ ln Z/∂t on average."""


class HoppingPath(AbstractScalarAction, AbstractPath):
    r"""S_t = S_0 + t·E: the theory of `end` with its hopping multiplied by t.

    E = -2h Σ_x φ_x Σ_μ φ_{x+μ} with h that of `end`. At t = 0 the sites are independent
    and ln Z is V times that of one; for φ⁴ t is κ over its final value, at fixed λ.

    Its symmetries are those of `end`.

    **Arguments:** `end`: the theory at t = 1; `fraction`: t.

    **Raises:** `ValueError` for an `end` whose S is not that of its couplings alone.
    """

    end: AbstractScalarAction
    fraction: Float[Array, ""]
    lattice_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, end: AbstractScalarAction, fraction: ScalarLike):
        require_couplings(end, "HoppingPath")
        self.end = end
        self.fraction = jnp.asarray(fraction, dtype=float)
        self.lattice_shape = end.lattice_shape

    @property
    def symmetries(self) -> tuple[str, ...]:
        return self.end.symmetries

    @property
    def hopping(self) -> Float[Array, ""]:
        return self.fraction * self.end.hopping

    @property
    def quadratic(self) -> Float[Array, ""]:
        return self.end.quadratic

    @property
    def quartic(self) -> Float[Array, ""]:
        return self.end.quartic

    def energy(self, phi: Float[Array, "*lattice"]) -> Float[Array, ""]:
        """E, in float64: minus ∂ ln Z/∂t on average."""
        wide = phi.astype(self.end.hopping.dtype)
        return (
            -2 * self.end.hopping * jnp.sum(wide * lattice.forward_neighbour_sum(wide))
        )
