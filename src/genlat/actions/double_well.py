"""The quantum-mechanical double well as a one-dimensional lattice theory."""

import math

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, ScalarLike

from genlat import lattice
from genlat.actions.base import AbstractScalarAction, is_traced


class DoubleWell(AbstractScalarAction):
    r"""Path integral of the anharmonic oscillator at T = `lattice_shape[0]` times.

    $$S(x) = a \sum_t \Big[ \frac{m_0}{2} \frac{(x_{t+1} - x_t)^2}{a^2}
        + \frac{m_0 \mu^2}{2} x_t^2 + \frac{\lambda}{4} x_t^4 \Big]$$

    Two wells for μ² < 0. Z is the integral over all x_t with flat measure dx_t, without
    the factors √(m₀/2πa) of the propagator.

    **Arguments:**

    - `lattice_shape`: `(T,)`.
    - `m0`: mass m₀ > 0. `mu2`: μ². `lam`: λ ≥ 0; at λ = 0 the theory needs μ² > 0.
    - `spacing`: lattice spacing a > 0.

    **Raises:** `ValueError` for an impossible shape or coupling.
    """

    m0: Float[Array, ""]
    mu2: Float[Array, ""]
    lam: Float[Array, ""]
    spacing: Float[Array, ""]
    lattice_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        lattice_shape: tuple[int, ...],
        m0: ScalarLike,
        mu2: ScalarLike,
        lam: ScalarLike,
        spacing: ScalarLike = 1.0,
    ):
        lattice.check_shape(lattice_shape)
        if len(lattice_shape) != 1:
            raise ValueError(f"the double well has one axis, got shape {lattice_shape}")
        self.m0, self.mu2, self.lam, self.spacing = (
            jnp.asarray(value, dtype=float) for value in (m0, mu2, lam, spacing)
        )
        self.lattice_shape = tuple(lattice_shape)
        if not is_traced(self.m0, self.mu2, self.lam, self.spacing):
            _check_couplings(
                m0=float(self.m0),
                mu2=float(self.mu2),
                lam=float(self.lam),
                spacing=float(self.spacing),
            )

    @property
    def hopping(self) -> Float[Array, ""]:
        return self.m0 / (2 * self.spacing)

    @property
    def quadratic(self) -> Float[Array, ""]:
        return self.m0 / self.spacing + self.spacing * self.m0 * self.mu2 / 2

    @property
    def quartic(self) -> Float[Array, ""]:
        return self.spacing * self.lam / 4


def _check_couplings(*, m0: float, mu2: float, lam: float, spacing: float) -> None:
    for name, value in (("m0", m0), ("mu2", mu2), ("lam", lam), ("spacing", spacing)):
        if not math.isfinite(value):
            raise ValueError(f"couplings must be finite, got {name} = {value}")
    for name, value in (("m0", m0), ("spacing", spacing)):
        if not value > 0:
            raise ValueError(f"{name} must be > 0, got {value}")
    if lam < 0:
        raise ValueError(f"lam must be >= 0 for a bounded action, got {lam}")
    if lam == 0 and not mu2 > 0:
        raise ValueError(f"at lam = 0 mu2 must be > 0, got {mu2}")
