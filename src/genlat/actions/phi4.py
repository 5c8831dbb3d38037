"""φ⁴ theory in its three usual parametrisations."""

from typing import Any, Literal, get_args

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, ScalarLike

from genlat import lattice
from genlat.actions.base import (
    AbstractScalarAction,
    AbstractScalarInField,
    is_traced,
)

Form = Literal["A", "B", "C"]


class Phi4(AbstractScalarAction):
    r"""Real scalar φ⁴ theory in any dimension d, in the user's own parametrisation.

    | form | S(φ) = Σ_x of | couplings | field |
    |---|---|---|---|
    | A | -2κ Σ_μ φ_x φ_{x+μ} + (1-2λ) φ² + λ φ⁴ | `kappa`, `lam` | φ |
    | B | Σ_μ (φ_{x+μ} - φ_x)² + m² φ² + λ_B φ⁴ | `m2`, `lam_b` | √κ φ |
    | C | ½ Σ_μ (φ_{x+μ} - φ_x)² + ½ m² φ² + (g/4!) φ⁴ | `m2`, `g` | √(2κ) φ |

    m² = (1-2λ)/κ - 2d in B and C, λ_B = λ/κ², g = 6λ/κ². The field `phi`, ln Z and
    every observable are those of the form it was built in: `field_scale` is φ over the
    field of form A, so ln Z = ln Z_A + V ln `field_scale`.

    `Phi4(shape, kappa, lam)` builds form A; `Phi4.form_b` and `Phi4.form_c` the others.

    **Source:** A as in Nicoli et al., Phys. Rev. Lett. 126, 032001 (2021),
    arXiv:2007.07115; B as in Albergo et al., Phys. Rev. D 100, 034515 (2019),
    arXiv:1904.12072.

    **Arguments:**

    - `lattice_shape`: extents (L₀, ..., L_{d-1}), each ≥ 1.
    - `kappa`: hopping parameter κ; with λ = 0 the theory needs 2|κ|d < 1.
    - `lam`: quartic coupling λ ≥ 0 of form A.

    **Raises:** `ValueError` for an impossible shape or coupling.
    """

    kappa: Float[Array, ""]
    lam: Float[Array, ""]
    lattice_shape: tuple[int, ...] = eqx.field(static=True)
    form: Form = eqx.field(static=True)

    def __init__(
        self,
        lattice_shape: tuple[int, ...],
        kappa: ScalarLike,
        lam: ScalarLike,
        form: Form = "A",
    ):
        lattice.check_shape(lattice_shape)
        if form not in get_args(Form):
            raise ValueError(f"form must be one of {get_args(Form)}, got {form!r}")
        self.kappa = jnp.asarray(kappa, dtype=float)
        self.lam = jnp.asarray(lam, dtype=float)
        self.lattice_shape = tuple(lattice_shape)
        self.form = form
        if not is_traced(self.kappa, self.lam):
            _check_couplings(float(self.kappa), float(self.lam), len(lattice_shape))
            if form != "A" and not self.kappa > 0:
                raise ValueError(f"form {form} needs kappa > 0, got {self.kappa}")

    @classmethod
    def form_b(
        cls, lattice_shape: tuple[int, ...], m2: ScalarLike, lam_b: ScalarLike
    ) -> "Phi4":
        """Form B: no factor ½. `m2` may be negative when `lam_b` > 0."""
        kappa = _kappa(m2, lam_b, len(lattice_shape))
        return cls(lattice_shape, kappa, lam_b * kappa**2, "B")

    @classmethod
    def form_c(
        cls, lattice_shape: tuple[int, ...], m2: ScalarLike, g: ScalarLike
    ) -> "Phi4":
        """Form C: canonical, quartic coupling g/4!."""
        kappa = _kappa(m2, g / 6, len(lattice_shape))
        return cls(lattice_shape, kappa, g / 6 * kappa**2, "C")

    @property
    def field_scale(self) -> Float[Array, ""]:
        """φ in this form over φ in form A."""
        squared = {"A": jnp.ones_like(self.kappa), "B": self.kappa, "C": 2 * self.kappa}
        return jnp.sqrt(squared[self.form])

    @property
    def hopping(self) -> Float[Array, ""]:
        return self.kappa / self.field_scale**2

    @property
    def quadratic(self) -> Float[Array, ""]:
        return (1 - 2 * self.lam) / self.field_scale**2

    @property
    def quartic(self) -> Float[Array, ""]:
        return self.lam / self.field_scale**4


class Phi4InField(AbstractScalarInField):
    """φ⁴ theory in a field: S(φ) - h Σ φ, φ that of the form of `even`.

    **Arguments:** `even`: the theory without field; `field`: h, of either sign.

    **Raises:** `ValueError` for a field that is not finite.
    """

    even: Phi4
    field: Float[Array, ""]

    def __init__(self, even: Phi4, field: ScalarLike):
        self.even = even
        self.field = jnp.asarray(field, dtype=float)
        if not is_traced(self.field) and not jnp.isfinite(self.field):
            raise ValueError(f"couplings must be finite, got field = {field}")

    # arrays; stand-ins while `eqx.tree_at` looks for the place of one
    @property
    def kappa(self) -> Any:
        return self.even.kappa

    @property
    def lam(self) -> Any:
        return self.even.lam


def _kappa(m2: ScalarLike, lam_b: ScalarLike, d: int) -> ScalarLike:
    """Positive root of 2 λ_B κ² + (m² + 2d) κ - 1 = 0, without cancellation."""
    m2, lam_b = jnp.asarray(m2, dtype=float), jnp.asarray(lam_b, dtype=float)
    if not is_traced(m2, lam_b):
        if not (jnp.isfinite(m2) and jnp.isfinite(lam_b)):
            raise ValueError(f"couplings must be finite, got {m2} and {lam_b}")
        if lam_b < 0:
            raise ValueError(f"the quartic coupling must be >= 0, got {lam_b}")
        if lam_b == 0 and not m2 > 0:
            raise ValueError(f"the free field needs m2 > 0, got {m2}")
    mass = m2 + 2 * d
    root = jnp.sqrt(mass**2 + 8 * lam_b)
    # for mass < 0 the plain formula 2 / (mass + root) cancels; its twin does not
    is_negative = mass < 0
    return jnp.where(
        is_negative,
        (root - mass) / jnp.where(is_negative, 4 * lam_b, 1.0),
        2 / jnp.where(is_negative, 1.0, mass + root),
    )


def _check_couplings(kappa: float, lam: float, d: int) -> None:
    if not (jnp.isfinite(kappa) and jnp.isfinite(lam)):
        raise ValueError(f"couplings must be finite, got kappa = {kappa}, lam = {lam}")
    if lam < 0:
        raise ValueError(f"lam must be >= 0 for a bounded action, got {lam}")
    if lam == 0 and 2 * abs(kappa) * d >= 1:
        bound = 1 / (2 * d)
        raise ValueError(f"at lam = 0 |kappa| must be < {bound:g}, got {kappa}")
