"""The interfaces of a theory, and what all scalar φ⁴ potentials share."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, Shaped

from genlat import lattice


class AbstractAction(eqx.Module):
    """A Euclidean action S(φ) on a periodic lattice; the target is p = e^{-S}/Z."""

    lattice_shape: eqx.AbstractVar[tuple[int, ...]]

    @abstractmethod
    def __call__(self, phi: Shaped[Array, "*lattice"]) -> Float[Array, ""]:
        """S(φ), dimensionless, of one configuration, summed in float64."""


class AbstractContinuousAction(AbstractAction):
    """An action of a field that can be moved by a little: it has a slope."""

    @abstractmethod
    def force(self, phi: Float[Array, "*lattice"]) -> Float[Array, "*lattice"]:
        """-∂S/∂φ, in the dtype of `phi`."""


class AbstractScalarAction(AbstractContinuousAction):
    r"""Real scalar field with nearest-neighbour hopping and a quartic potential.

    $$S(\phi) = \sum_x \Big[ -2h\,\phi_x \sum_\mu \phi_{x+\hat\mu}
        + a\,\phi_x^2 + b\,\phi_x^4 \Big]$$

    The theories differ in what they call h, a and b. An extent of 2 counts each bond
    twice, an extent of 1 couples a site to itself.
    """

    @property
    @abstractmethod
    def hopping(self) -> Float[Array, ""]:
        """h: half the coupling of a bond."""

    @property
    @abstractmethod
    def quadratic(self) -> Float[Array, ""]:
        """a: coefficient of φ²."""

    @property
    @abstractmethod
    def quartic(self) -> Float[Array, ""]:
        """b: coefficient of φ⁴."""

    def __call__(self, phi: Float[Array, "*lattice"]) -> Float[Array, ""]:
        phi = phi.astype(jax.dtypes.canonicalize_dtype(jnp.float64))
        phi2 = phi * phi
        hopping = -2 * self.hopping * phi * lattice.forward_neighbour_sum(phi)
        return jnp.sum(hopping + (self.quadratic + self.quartic * phi2) * phi2)

    def force(self, phi: Float[Array, "*lattice"]) -> Float[Array, "*lattice"]:
        h, a, b = (
            coupling.astype(phi.dtype)
            for coupling in (self.hopping, self.quadratic, self.quartic)
        )
        neighbours = lattice.neighbour_sum(phi)
        return 2 * h * neighbours - (2 * a + 4 * b * (phi * phi)) * phi


def is_traced(*values: Array) -> bool:
    """Whether a value is unknown: being differentiated, mapped over or compiled."""
    return any(isinstance(value, Tracer) for value in values)
