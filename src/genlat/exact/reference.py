"""Published and tabulated values of φ⁴ on lattices without an exact solution."""

import dataclasses
import math

from genlat import lattice
from genlat.actions.phi4 import Form, Phi4
from genlat.exact.value import Known

TENSOR = "tabulated: tensor network, checked by thermodynamic integration"
CLUSTER = "tabulated: cluster Monte Carlo"
LINE_B = "tabulated: form B line m² = -4, correlation length L/4"
# the table states no error of ⟨φ²⟩ in form A: one unit of the fifth decimal is assumed
PHI2_ERROR = 1e-5

Pair = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Row:
    """Values with errors at couplings (κ, λ), (m², λ_B) or (m², g) of `form`."""

    form: Form
    lattice_shape: tuple[int, ...]
    couplings: tuple[float, float]
    log_z: Pair | None = None
    abs_mag: Pair | None = None
    phi2: Pair | None = None
    action_density: Pair | None = None


def _row_a(shape: tuple[int, int], kappa: float, *values: Pair) -> Row:
    return Row("A", shape, (kappa, 0.022), *values)


ROWS = (
    _row_a(
        (16, 8), 0.20, (80.10462, 1e-5), (0.1039, 1e-4), (0.602351, PHI2_ERROR),
        (0.47738, 9e-5),
    ),
    _row_a(
        (16, 8), 0.25, (85.7468, 3e-4), (0.2233, 4e-4), (0.799265, PHI2_ERROR),
        (0.4616, 1e-4),
    ),
    _row_a(
        (16, 8), 0.27, (91.437, 1e-3), (0.785, 2e-3), (1.48753, PHI2_ERROR),
        (0.3915, 2e-4),
    ),
    _row_a(
        (16, 8), 0.30, (134.943, 2e-3), (2.0879, 4e-4), (4.76566, PHI2_ERROR),
        (-0.1504, 1e-4),
    ),
    _row_a(
        (64, 8), 0.25, (342.984, 1e-3), (0.1111, 2e-4), (0.798939, PHI2_ERROR),
        (0.46156, 6e-5),
    ),
    _row_a(
        (64, 8), 0.27, (365.082, 5e-3), (0.419, 1e-3), (1.41451, PHI2_ERROR),
        (0.3992, 1e-4),
    ),
    _row_a(
        (64, 8), 0.30, (537.691, 6e-3), (2.0873, 3e-4), (4.76566, PHI2_ERROR),
        (-0.1499, 1e-4),
    ),
    Row("B", (6, 6), (-4.0, 6.975), log_z=(6.98495, 1e-5)),
    Row("B", (12, 12), (-4.0, 5.276), log_z=(43.744, 3e-3), phi2=(0.2103, 1e-4)),
    Row("B", (20, 20), (-4.0, 4.807), phi2=(0.2372, 1e-4)),
    Row("B", (32, 32), (-4.0, 4.572), phi2=(0.2566, 2e-4)),
)  # fmt: skip


def tabulated(action: Phi4) -> dict[str, Known]:
    """The row of the table with this theory's couplings and extents, in its own field.

    A theory is found in whichever form it is written: couplings are compared in the
    form of the table, and ln Z, ⟨φ²⟩ and ⟨|m|⟩ converted to that of the action.
    """
    for row in ROWS:
        if sorted(row.lattice_shape) == sorted(action.lattice_shape) and all(
            math.isclose(mine, theirs, rel_tol=1e-9)
            for mine, theirs in zip(
                _couplings(action, row.form), row.couplings, strict=True
            )
        ):
            return _converted(row, action)
    return {}


def _couplings(action: Phi4, form: Form) -> tuple[float, float]:
    kappa, lam = float(action.kappa), float(action.lam)
    if kappa == 0:
        return {"A": (kappa, lam)}.get(form, (math.inf, math.inf))
    m2 = (1 - 2 * lam) / kappa - 2 * len(action.lattice_shape)
    quartic = lam / kappa / kappa  # κ² may be 0
    return {"A": (kappa, lam), "B": (m2, quartic), "C": (m2, 6 * quartic)}[form]


def _converted(row: Row, action: Phi4) -> dict[str, Known]:
    in_row = {"A": 1.0, "B": float(action.kappa), "C": 2 * float(action.kappa)}
    scale = float(action.field_scale) / math.sqrt(in_row[row.form])
    log_z_shift = lattice.volume(action.lattice_shape) * math.log(scale)
    tensor, cluster = (TENSOR, CLUSTER) if row.form == "A" else (LINE_B, LINE_B)
    factors = {
        "log_z": (row.log_z, tensor, 1.0, log_z_shift),
        "abs_mag": (row.abs_mag, cluster, scale, 0.0),
        "phi2": (row.phi2, tensor, scale**2, 0.0),
        "action_density": (row.action_density, cluster, 1.0, 0.0),
    }
    return {
        key: Known(pair[0] * factor + shift, pair[1] * factor, source)
        for key, (pair, source, factor, shift) in factors.items()
        if pair is not None
    }
