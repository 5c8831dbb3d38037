"""Lines of theories: from independent sites to one wanted, and between couplings."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, ScalarLike, Shaped

from genlat import lattice
from genlat.actions.base import (
    AbstractAction,
    AbstractHoppingAction,
    AbstractScalarAction,
    AbstractScalarInField,
    AbstractVectorAction,
)
from genlat.actions.declared import require_couplings, without_field


class AbstractLine(eqx.Module):
    """Theories S_t of one field, from the first, at t = 0, to the last, at t = 1.

    Annealing, integration along couplings and derivatives of ln Z ask it alone.
    """

    @abstractmethod
    def at(self, t: ScalarLike) -> AbstractAction:
        """S_t; t may be traced."""

    def slope(
        self, t: Float[Array, ""], phi: Shaped[Array, "*field"]
    ) -> Float[Array, ""]:
        """∂S_t/∂t, in float64: minus ∂ ln Z/∂t on average."""
        return jax.jvp(lambda t: self.at(t)(phi), (t,), (jnp.ones_like(t),))[1]


class CouplingLine(AbstractLine):
    """Every coupling linear in t.

    **Arguments:** `start`, `end`: of one kind and on one lattice.

    **Raises:** `ValueError` for others.
    """

    start: AbstractAction
    end: AbstractAction

    def __check_init__(self):
        if jax.tree.structure(self.start) != jax.tree.structure(self.end):
            raise ValueError(
                "a line of couplings must start in the theory it ends in: from "
                f"{self.start} to {self.end}"
            )

    def at(self, t: ScalarLike) -> AbstractAction:
        return jax.tree.map(lambda a, b: a + t * (b - a), self.start, self.end)


class HoppingLine(AbstractLine):
    r"""S_t = S_0 + t·E: the hopping multiplied by t, in the same field if there is one.

    E = -2h Σ_x φ_x · Σ_μ φ_{x+μ} with h that of `end`. At t = 0 the sites are
    independent and ln Z is V times that of one; for φ⁴ t is κ over its final value, at
    fixed λ.

    **Arguments:** `end`: the theory at t = 1.

    **Raises:** `ValueError` for one whose S is not that of its couplings alone, or that
    is none of numbers or vectors with a hopping.
    """

    end: AbstractAction

    def __check_init__(self):
        self.at(1.0)

    def at(self, t: ScalarLike) -> AbstractAction:
        if isinstance(self.end, AbstractScalarInField):
            return HoppingPathInField(self.end, t)
        if isinstance(self.end, AbstractVectorAction):
            return VectorHoppingPath(self.end, t)
        if isinstance(self.end, AbstractScalarAction):
            return HoppingPath(self.end, t)
        raise ValueError(f"{type(self.end).__name__} has no hopping to multiply by t")

    def slope(
        self, t: Float[Array, ""], phi: Shaped[Array, "*field"]
    ) -> Float[Array, ""]:
        """E, at any t."""
        even = without_field(self.end)
        assert isinstance(even, AbstractHoppingAction)  # others have no path
        wide = phi.astype(even.hopping.dtype)
        ahead = lattice.forward_neighbour_sum(wide, len(even.lattice_shape))
        return -2 * even.hopping * jnp.sum(wide * ahead)


class AbstractHoppingPath(AbstractHoppingAction):
    """The theory of `end` with its hopping multiplied by t: `HoppingLine`.

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


class HoppingPath(AbstractHoppingPath, AbstractScalarAction):
    """Of numbers: `AbstractHoppingPath`."""

    end: AbstractScalarAction
    fraction: Float[Array, ""]

    def __init__(self, end: AbstractScalarAction, fraction: ScalarLike):
        self.end = end
        self.fraction = jnp.asarray(fraction, dtype=float)


class HoppingPathInField(AbstractScalarInField):
    """In a field, which stays as it is: `AbstractHoppingPath`."""

    even: HoppingPath
    field: Float[Array, ""]

    def __init__(self, end: AbstractScalarInField, fraction: ScalarLike):
        require_couplings(without_field(end), type(self).__name__)
        self.even = HoppingPath(end.even, fraction)
        self.field = end.field


class VectorHoppingPath(AbstractHoppingPath, AbstractVectorAction):
    """Of several components: `AbstractHoppingPath`."""

    end: AbstractVectorAction
    fraction: Float[Array, ""]

    def __init__(self, end: AbstractVectorAction, fraction: ScalarLike):
        self.end = end
        self.fraction = jnp.asarray(fraction, dtype=float)
