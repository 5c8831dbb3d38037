"""The Ising model: spins ±1 on the sites of a periodic lattice."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, ScalarLike, Shaped

from genlat import lattice, symmetry
from genlat.actions.base import AbstractSpinAction, is_traced


class Ising(AbstractSpinAction):
    r"""Nearest-neighbour Ising model in any dimension d, p(s) = e^{-βH(s)}/Z.

    $$S(s) = \beta H(s), \qquad
      H(s) = -\sum_x s_x \sum_\mu s_{x+\hat\mu} - h\sum_x s_x$$

    Z is a sum over all 2^V configurations. An extent of 2 counts each bond twice, an
    extent of 1 couples a site to itself. β < 0 is the antiferromagnet; on an odd extent
    it is frustrated. In d = 2, h = 0 the transition is at
    `genlat.exact.onsager.CRITICAL_BETA`.

    Configurations are int8 arrays of ±1, for which bonds and spins are counted in
    integers; floating-point arrays of ±1 give the same, and a gradient.

    **Source:** Ising, Z. Phys. 31, 253 (1925).

    **Arguments:**

    - `lattice_shape`: extents (L₀, ..., L_{d-1}), each ≥ 1.
    - `beta`: inverse temperature β, of either sign.
    - `field`: magnetic field h, in units of the bond's coupling.

    **Raises:** `ValueError` for an impossible shape, or a coupling that is not finite.
    """

    beta: Float[Array, ""]
    field: Float[Array, ""]
    lattice_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self, lattice_shape: tuple[int, ...], beta: ScalarLike, field: ScalarLike = 0.0
    ):
        lattice.check_shape(lattice_shape)
        self.beta = jnp.asarray(beta, dtype=float)
        self.field = jnp.asarray(field, dtype=float)
        self.lattice_shape = tuple(lattice_shape)
        if not is_traced(self.beta, self.field):
            for name, value in (("beta", self.beta), ("field", self.field)):
                if not math.isfinite(float(value)):
                    raise ValueError(f"couplings must be finite, got {name} = {value}")

    def __call__(self, phi: Shaped[Array, "*lattice"]) -> Float[Array, ""]:
        """S of one configuration of spins ±1.

        **Raises:** `ValueError` for other spins, where their values are known.
        """
        return self.beta * self.energy(phi)

    def observables(
        self, phi: Shaped[Array, "*lattice"]
    ) -> dict[str, Float[Array, ""]]:
        """H/V."""
        return {"energy_density": self.energy(phi) / phi.size}

    @property
    def symmetries(self) -> tuple[str, ...]:
        """All but the sign in a field, or one that is being traced."""
        names = symmetry.LATTICE
        return names[1:] if self.may_have_field else names

    @property
    def may_have_field(self) -> bool:
        """False if h is known to be 0; True where it is being traced."""
        return is_traced(self.field) or float(self.field) != 0

    def energy(self, spins: Shaped[Array, "*lattice"]) -> Float[Array, ""]:
        """H of one configuration, in float64."""
        check_spins(spins)
        bonds, total = bond_sum(spins), spin_sum(spins)
        return -bonds.astype(self.beta.dtype) - self.field * total


def bond_sum(spins: Shaped[Array, "*lattice"]) -> Shaped[Array, ""]:
    """Σ_x s_x Σ_μ s_{x+μ}, counted in int32, or in float64 for floating-point spins."""
    return _total(spins * lattice.forward_neighbour_sum(spins))


def spin_sum(spins: Shaped[Array, "*lattice"]) -> Shaped[Array, ""]:
    """Σ_x s_x, counted in int32, or in float64 for floating-point spins."""
    return _total(spins)


def _total(numbers: Shaped[Array, "*lattice"]) -> Shaped[Array, ""]:
    is_integer = jnp.issubdtype(numbers.dtype, jnp.integer)
    wide = jax.dtypes.canonicalize_dtype(jnp.int32 if is_integer else jnp.float64)
    return jnp.sum(numbers, dtype=wide)


def check_spins(spins: Shaped[Array, "*shape"]) -> None:
    """Refuse spins that are not ±1; traced ones, whose values are unknown, pass.

    **Raises:** `ValueError`.
    """
    if is_traced(spins):
        return
    values = np.asarray(spins)
    wrong = values[np.abs(values.astype(np.float64)) != 1]
    if wrong.size:
        raise ValueError(f"spins must be +1 or -1, got {wrong.flat[0]}")
