"""The interfaces of a theory, and what all φ⁴ potentials share."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, Shaped

from genlat import lattice, symmetry
from genlat.groups import REAL, SIGNS, VECTORS, Space

_NAME = "symmetries"
# of the field, of what is measured or declared, and not of S
_OTHER = ("space", "components", "field_shape", "observables", "modes", "line")


def changes_s(cls: type, declaration: str) -> bool:
    """Whether a class, or what is mixed into it, changes what a declaration is of.

    In front of the class that declares it, one defines anew what another behind it
    has implemented.
    """
    order = cls.__mro__
    declaring = next(i for i, base in enumerate(order) if declaration in vars(base))
    return any(
        vars(base).keys() & _implemented(order[i + 1 :])
        for i, base in enumerate(order[:declaring])
    )


def _implemented(bases: tuple[type, ...]) -> set[str]:
    """What is not abstract, nor one of Python's own but for the call."""
    return {
        name
        for base in bases
        for name in vars(base)
        if name not in getattr(base, "__abstractmethods__", ())
        and name not in _OTHER
        and (name == "__call__" or not name.startswith(("__", "_abc")))
    }


class AbstractAction(eqx.Module):
    """A Euclidean action S(φ) on a periodic lattice; the target is p = e^{-S}/Z.

    A declaration of symmetries is one of the S it stands beside. A subclass that
    defines anything of its bases anew (`__call__`, a coupling, `energy`) has another S
    and none of their symmetries, until it declares its own.
    """

    lattice_shape: eqx.AbstractVar[tuple[int, ...]]

    @property
    @abstractmethod
    def space(self) -> Space:
        """What the field takes its values in."""

    @property
    def components(self) -> tuple[int, ...]:
        """Axes of a value of the field; none for a number."""
        return ()

    @property
    def field_shape(self) -> tuple[int, ...]:
        """Of a configuration: the lattice, and behind it the components."""
        return (*self.lattice_shape, *self.components)

    def __init_subclass__(cls):
        super().__init_subclass__()
        if _NAME not in vars(cls) and changes_s(cls, _NAME):
            setattr(cls, _NAME, property(lambda self: ()))

    @property
    def symmetries(self) -> tuple[str, ...]:
        """Names of `symmetry.LATTICE` whose elements g all leave S(gφ) = S(φ).

        What is not declared is not assumed: kernels, priors, augmentation and mixtures
        that rely on more refuse the action. None by default.
        """
        return ()

    @abstractmethod
    def __call__(self, phi: Shaped[Array, "*lattice"]) -> Float[Array, ""]:
        """S(φ), dimensionless, of one configuration, summed in float64."""

    def observables(
        self, phi: Shaped[Array, "*lattice"]
    ) -> dict[str, Float[Array, ""]]:
        """What this theory has measured beside what `genlat.observables` has of all."""
        return {}


class AbstractContinuousAction(AbstractAction):
    """An action of a field that can be moved by a little: it has a slope.

    The field is real unless a subclass says otherwise.
    """

    @property
    def space(self) -> Space:
        return REAL

    @abstractmethod
    def force(self, phi: Float[Array, "*lattice"]) -> Float[Array, "*lattice"]:
        """-∂S/∂φ, in the dtype of `phi`."""


class AbstractSpinAction(AbstractAction):
    """Spins ±1 of an inverse temperature β in a magnetic field h."""

    beta: eqx.AbstractVar[Float[Array, ""]]
    field: eqx.AbstractVar[Float[Array, ""]]

    @property
    def space(self) -> Space:
        return SIGNS


class AbstractHoppingAction(AbstractContinuousAction):
    r"""Real field with nearest-neighbour hopping and a quartic potential.

    $$S(\phi) = \sum_x \Big[ -2h\,\phi_x \cdot \sum_\mu \phi_{x+\hat\mu}
        + a\,\phi_x^2 + b\,(\phi_x^2)^2 \Big]$$

    The theories differ in what they call h, a and b, and in their components, on the
    last axes of φ. An extent of 2 counts each bond twice, an extent of 1 couples a site
    to itself.
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

    def __call__(self, phi: Float[Array, "*field"]) -> Float[Array, ""]:
        phi = phi.astype(jax.dtypes.canonicalize_dtype(jnp.float64))
        phi2 = self._inner(phi, phi)
        hopping = self._inner(-2 * self.hopping * phi, self._ahead(phi))
        return jnp.sum(hopping + (self.quadratic + self.quartic * phi2) * phi2)

    def observables(self, phi: Float[Array, "*field"]) -> dict[str, Float[Array, ""]]:
        """Per site: φ², the bonds Σ_μ φ_x·φ_{x+μ}, and φ·∂S/∂φ of average N, over N."""
        total = jax.dtypes.canonicalize_dtype(jnp.float64)
        volume = lattice.volume(self.lattice_shape)
        slope = -jnp.sum(phi * self.force(phi), dtype=total)
        return {
            "phi2": jnp.sum(phi**2, dtype=total) / volume,
            "hopping": jnp.sum(phi * self._ahead(phi), dtype=total) / volume,
            "schwinger_dyson": slope / phi.size,
        }

    def force(self, phi: Float[Array, "*field"]) -> Float[Array, "*field"]:
        h, a, b = (
            coupling.astype(phi.dtype)
            for coupling in (self.hopping, self.quadratic, self.quartic)
        )
        neighbours = lattice.neighbour_sum(phi, len(self.lattice_shape))
        phi2 = self._inner(phi, phi, keepdims=True)
        return 2 * h * neighbours - (2 * a + 4 * b * phi2) * phi

    def _ahead(self, phi: Float[Array, "*field"]) -> Float[Array, "*field"]:
        return lattice.forward_neighbour_sum(phi, len(self.lattice_shape))

    def _inner(self, x: Array, y: Array, *, keepdims: bool = False) -> Array:
        """x·y at every site."""
        axes = tuple(range(-len(self.components), 0))
        return jnp.sum(x * y, axis=axes, keepdims=keepdims) if axes else x * y


class AbstractScalarAction(AbstractHoppingAction):
    """One number at every site."""

    @property
    def symmetries(self) -> tuple[str, ...]:
        """All: S is even, and the three couplings are those of every site and axis."""
        return symmetry.LATTICE


class AbstractScalarInField(AbstractContinuousAction):
    r"""A scalar theory in a uniform field: S(φ) - h Σ_x φ_x.

    It has no couplings of its own but h: whoever computes S from those of `even` has to
    know of the field.
    """

    even: eqx.AbstractVar[AbstractScalarAction]
    field: eqx.AbstractVar[Float[Array, ""]]

    @property
    def lattice_shape(self) -> tuple[int, ...]:
        return self.even.lattice_shape

    @property
    def symmetries(self) -> tuple[str, ...]:
        """Those of the theory without field but for φ → -φ: h is that of every site."""
        return tuple(name for name in self.even.symmetries if name != "sign")

    def __call__(self, phi: Float[Array, "*lattice"]) -> Float[Array, ""]:
        total = jax.dtypes.canonicalize_dtype(jnp.float64)
        return self.even(phi) - self.field * jnp.sum(phi, dtype=total)

    def observables(self, phi: Float[Array, "*lattice"]) -> dict[str, Float[Array, ""]]:
        """Those without field, and φ·∂S/∂φ of the whole S, which averages to 1."""
        total = jax.dtypes.canonicalize_dtype(jnp.float64)
        found = self.even.observables(phi)
        pull = self.field * jnp.mean(phi, dtype=total)
        return found | {"schwinger_dyson": found["schwinger_dyson"] - pull}

    def force(self, phi: Float[Array, "*lattice"]) -> Float[Array, "*lattice"]:
        return self.even.force(phi) + self.field.astype(phi.dtype)


AnyScalar = AbstractScalarAction | AbstractScalarInField
"""One number at every site, in a field or not."""


class AbstractVectorAction(AbstractHoppingAction):
    """N real components, invariant under rotations and reflections of all φ_x at once.

    Components are the last axis of a configuration.
    """

    @property
    def space(self) -> Space:
        return VECTORS

    @property
    def symmetries(self) -> tuple[str, ...]:
        """All: S knows lengths and angles only, and its couplings no site or axis."""
        return (*symmetry.LATTICE, *symmetry.INTERNAL)


def is_traced(*values: Array) -> bool:
    """Whether a value is unknown: being differentiated, mapped over or compiled."""
    return any(isinstance(value, Tracer) for value in values)
