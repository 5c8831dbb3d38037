"""O(N) φ⁴ theory: a field of N real components that turn into each other."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, ScalarLike

from genlat import lattice
from genlat.actions.base import AbstractContinuousAction, is_traced
from genlat.actions.path import AbstractPath
from genlat.groups import VECTORS, Space


class AbstractVectorAction(AbstractContinuousAction):
    r"""N real components with nearest-neighbour hopping and a quartic potential.

    $$S(\phi) = \sum_x \Big[ -2h\,\phi_x \cdot \sum_\mu \phi_{x+\hat\mu}
        + a\,\phi_x^2 + b\,(\phi_x^2)^2 \Big], \quad \phi_x \in \mathbb{R}^N$$

    Invariant under rotations and reflections of all φ_x at once, O(N). Components are
    the last axis of a configuration.
    """

    @property
    def space(self) -> Space:
        return VECTORS

    @property
    def symmetries(self) -> tuple[str, ...]:
        """All: S is even, and the three couplings are those of every site and axis."""
        return lattice.SYMMETRIES

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
        """b: coefficient of (φ²)²."""

    def __call__(self, phi: Float[Array, "*lattice n"]) -> Float[Array, ""]:
        phi = phi.astype(jax.dtypes.canonicalize_dtype(jnp.float64))
        phi2 = jnp.sum(phi * phi, axis=-1)
        bonds = jnp.sum(phi * self._ahead(phi), axis=-1)
        return jnp.sum(
            -2 * self.hopping * bonds + (self.quadratic + self.quartic * phi2) * phi2
        )

    def force(self, phi: Float[Array, "*lattice n"]) -> Float[Array, "*lattice n"]:
        h, a, b = (
            coupling.astype(phi.dtype)
            for coupling in (self.hopping, self.quadratic, self.quartic)
        )
        neighbours = lattice.neighbour_sum(phi, len(self.lattice_shape))
        phi2 = jnp.sum(phi * phi, axis=-1, keepdims=True)
        return 2 * h * neighbours - (2 * a + 4 * b * phi2) * phi

    def observables(
        self, phi: Float[Array, "*lattice n"]
    ) -> dict[str, Float[Array, ""]]:
        """Per site: φ², the bonds Σ_μ φ_x·φ_{x+μ}, and φ·∂S/∂φ of average N, over N."""
        total = jax.dtypes.canonicalize_dtype(jnp.float64)
        volume = lattice.volume(self.lattice_shape)
        bonds = jnp.sum(phi * self._ahead(phi), dtype=total)
        slope = -jnp.sum(phi * self.force(phi), dtype=total)
        return {
            "phi2": jnp.sum(phi**2, dtype=total) / volume,
            "hopping": bonds / volume,
            "schwinger_dyson": slope / phi.size,
        }

    def _ahead(self, phi: Float[Array, "*lattice n"]) -> Float[Array, "*lattice n"]:
        return lattice.forward_neighbour_sum(phi, len(self.lattice_shape))


class On(AbstractVectorAction):
    r"""O(N) φ⁴ theory in form A of φ⁴, which it is for N = 1.

    $$S(\phi) = \sum_x \Big[ -2\kappa\,\phi_x \cdot \sum_\mu \phi_{x+\hat\mu}
        + \phi_x^2 + \lambda\,(\phi_x^2 - 1)^2 - \lambda \Big]$$

    At λ → ∞ it is the O(N) model of unit vectors: XY for N = 2, Heisenberg for N = 3.

    **Source:** Hasenbusch, J. Phys. A 34, 8221 (2001), cond-mat/0010463, for N = 4; the
    constant is left out as in form A.

    **Arguments:**

    - `lattice_shape`: extents (L₀, ..., L_{d-1}), each ≥ 1.
    - `n_components`: N ≥ 1.
    - `kappa`: κ; at λ = 0 below 1/2d in absolute value.
    - `lam`: λ ≥ 0.

    **Raises:** `ValueError` for an argument out of its range.
    """

    kappa: Float[Array, ""]
    lam: Float[Array, ""]
    lattice_shape: tuple[int, ...] = eqx.field(static=True)
    n_components: int = eqx.field(static=True)

    def __init__(
        self,
        lattice_shape: tuple[int, ...],
        n_components: int,
        kappa: ScalarLike,
        lam: ScalarLike,
    ):
        lattice.check_shape(lattice_shape)
        if n_components < 1:
            raise ValueError(f"n_components must be at least 1, got {n_components}")
        self.kappa, self.lam = (jnp.asarray(x, dtype=float) for x in (kappa, lam))
        self.lattice_shape = tuple(lattice_shape)
        self.n_components = n_components
        if is_traced(self.kappa, self.lam):
            return
        if not float(self.lam) >= 0:
            raise ValueError(f"lam must be ≥ 0, got {lam}")
        d = len(lattice_shape)
        if float(self.lam) == 0 and not 2 * d * abs(float(self.kappa)) < 1:
            raise ValueError(f"|kappa| must be < 1/{2 * d} at lam = 0, got {kappa}")

    @property
    def components(self) -> tuple[int, ...]:
        return (self.n_components,)

    @property
    def hopping(self) -> Float[Array, ""]:
        return self.kappa

    @property
    def quadratic(self) -> Float[Array, ""]:
        return 1 - 2 * self.lam

    @property
    def quartic(self) -> Float[Array, ""]:
        return self.lam


class VectorHoppingPath(AbstractVectorAction, AbstractPath):
    """The theory of `end` with its hopping multiplied by `fraction`.

    At 0 the sites are independent; the slope is E = -2h Σ_x φ_x · Σ_μ φ_{x+μ} with h
    that of `end`.
    """

    end: AbstractVectorAction
    fraction: Float[Array, ""]
    lattice_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, end: AbstractVectorAction, fraction: ScalarLike):
        self.end = end
        self.fraction = jnp.asarray(fraction, dtype=float)
        self.lattice_shape = end.lattice_shape

    @property
    def components(self) -> tuple[int, ...]:
        return self.end.components

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

    def energy(self, phi: Float[Array, "*lattice n"]) -> Float[Array, ""]:
        wide = phi.astype(self.end.hopping.dtype)
        return -2 * self.end.hopping * jnp.sum(wide * self._ahead(wide))
