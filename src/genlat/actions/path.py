"""A line of theories from independent sites to the one wanted."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, ScalarLike

from genlat import lattice
from genlat.actions.base import (
    AbstractHoppingAction,
    AbstractPath,
    AbstractScalarAction,
    AbstractScalarInField,
    AbstractVectorAction,
)
from genlat.actions.declared import require_couplings, without_field


class AbstractHoppingPath(AbstractHoppingAction, AbstractPath):
    r"""S_t = S_0 + t·E: the theory of `end` with its hopping multiplied by t.

    E = -2h Σ_x φ_x · Σ_μ φ_{x+μ} with h that of `end`. At t = 0 the sites are
    independent and ln Z is V times that of one; for φ⁴ t is κ over its final value, at
    fixed λ.

    Its symmetries are those of `end`.

    **Arguments:** `end`: the theory at t = 1; `fraction`: t.

    **Raises:** `ValueError` for an `end` whose S is not that of its couplings alone.
    """

    end: eqx.AbstractVar[AbstractHoppingAction]
    fraction: eqx.AbstractVar[Float[Array, ""]]

    def __check_init__(self):
        require_couplings(self.end, type(self).__name__)

    @property
    def lattice_shape(self) -> tuple[int, ...]:
        return self.end.lattice_shape

    @property
    def symmetries(self) -> tuple[str, ...]:
        return self.end.symmetries

    @property
    def components(self) -> tuple[int, ...]:
        return self.end.components

    @property
    def hopping(self) -> Float[Array, ""]:
        return self.fraction * self.end.hopping

    @property
    def quadratic(self) -> Float[Array, ""]:
        return self.end.quadratic

    @property
    def quartic(self) -> Float[Array, ""]:
        return self.end.quartic

    def energy(self, phi: Float[Array, "*field"]) -> Float[Array, ""]:
        """E, in float64: minus ∂ ln Z/∂t on average."""
        wide = phi.astype(self.end.hopping.dtype)
        ahead = lattice.forward_neighbour_sum(wide, len(self.lattice_shape))
        return -2 * self.end.hopping * jnp.sum(wide * ahead)


class HoppingPath(AbstractHoppingPath, AbstractScalarAction):
    """Of numbers: `AbstractHoppingPath`."""

    end: AbstractScalarAction
    fraction: Float[Array, ""]

    def __init__(self, end: AbstractScalarAction, fraction: ScalarLike):
        self.end = end
        self.fraction = jnp.asarray(fraction, dtype=float)


class HoppingPathInField(AbstractScalarInField, AbstractPath):
    """In a field, which stays as it is: `AbstractHoppingPath`."""

    even: HoppingPath
    field: Float[Array, ""]

    def __init__(self, end: AbstractScalarInField, fraction: ScalarLike):
        require_couplings(without_field(end), type(self).__name__)
        self.even = HoppingPath(end.even, fraction)
        self.field = end.field

    def energy(self, phi: Float[Array, "*lattice"]) -> Float[Array, ""]:
        """That of the hopping."""
        return self.even.energy(phi)


class VectorHoppingPath(AbstractHoppingPath, AbstractVectorAction):
    """Of several components: `AbstractHoppingPath`."""

    end: AbstractVectorAction
    fraction: Float[Array, ""]

    def __init__(self, end: AbstractVectorAction, fraction: ScalarLike):
        self.end = end
        self.fraction = jnp.asarray(fraction, dtype=float)
