"""O(N) φ⁴ theory: a field of N real components that turn into each other."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, ScalarLike

from genlat import lattice
from genlat.actions.base import AbstractVectorAction, is_traced


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
