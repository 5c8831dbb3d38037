"""What is known about a theory without sampling it."""

import numpy as np

from genlat import lattice
from genlat.actions.base import AbstractAction, AbstractScalarAction
from genlat.actions.double_well import DoubleWell
from genlat.actions.ising import Ising
from genlat.actions.phi4 import Phi4
from genlat.exact import reference, single_site
from genlat.exact.free_field import free_field
from genlat.exact.ising import ising
from genlat.exact.quadrature import COARSE, FINE
from genlat.exact.transfer_matrix import MAX_WIDTH, narrow_lattice
from genlat.exact.value import Known, compared

MAX_LOG_Z_ERROR = 1e-3  # a truncation worse than this is no reference


def known(action: AbstractAction) -> dict[str, Known]:
    """Exact and tabulated values under the observable keys of `results.json`.

    Scalar theories: the free field in any dimension, independent sites (no hopping),
    chains and strips up to four sites wide by transfer matrix, and else the table in
    `genlat.exact.reference`. Ising models: `genlat.exact.ising`. Empty where nothing is
    known. Values are those of the action's own field. Milliseconds, a few seconds for
    strips of three and four, or slices of ten spins.

    **Arguments:** `action` with concrete couplings, not traced ones.
    """
    if isinstance(action, Ising):
        return _completed(ising(action), action.lattice_shape)
    if not isinstance(action, AbstractScalarAction):
        return {}
    values = _scalar(action)
    if not values and isinstance(action, Phi4):
        values = reference.tabulated(action)
    if not values:
        return {}
    # φ → -φ is a symmetry of every scalar action here
    values["mag"] = Known(0.0, 0.0, "symmetry φ → -φ")
    if isinstance(action, DoubleWell) and "phi2" in values:
        values["x2"] = values["phi2"]
    return _completed(values, action.lattice_shape)


def _completed(
    values: dict[str, Known], lattice_shape: tuple[int, ...]
) -> dict[str, Known]:
    """With what follows from ln Z and ⟨S⟩/V."""
    values, volume = dict(values), lattice.volume(lattice_shape)
    log_z, density = values.get("log_z"), values.get("action_density")
    if log_z is not None:
        values["free_energy_density"] = Known(
            -log_z.value / volume, log_z.error / volume, log_z.source
        )
    if log_z is not None and density is not None:
        values["entropy_density"] = Known(
            log_z.value / volume + density.value,
            log_z.error / volume + density.error,
            log_z.source,
        )
    return values


def _scalar(action: AbstractScalarAction) -> dict[str, Known]:
    """Closed forms and transfer matrices, by what the couplings and the shape allow."""
    h, a, b = (float(x) for x in (action.hopping, action.quadratic, action.quartic))
    shape = action.lattice_shape
    if b == 0:
        return free_field(shape, h, a)
    # an extent of 1 couples a site to itself: -2hφ² and one axis fewer
    a -= 2 * h * sum(extent == 1 for extent in shape)
    extents = [extent for extent in shape if extent > 1]
    if h == 0 or not extents:
        return _independent_sites(shape, a, b)
    if len(extents) > 2 or (len(extents) == 2 and min(extents) > MAX_WIDTH):
        return {}
    if h > 0:
        return _narrow(shape, extents, h, a, b)
    if any(extent % 2 for extent in extents):
        return {}
    # flipping the sign of every other site maps h to -h and keeps φ² and φ⁴
    mapped = _narrow(shape, extents, -h, a, b)
    return {
        key: mapped[key] for key in ("log_z", "phi2", "action_density") if key in mapped
    }


def _independent_sites(shape: tuple[int, ...], a: float, b: float) -> dict[str, Known]:
    volume, source = lattice.volume(shape), "independent sites, Bessel functions"
    log_z, phi2 = volume * single_site.log_z(a, b), single_site.phi2(a, b)
    two_point = np.zeros(shape[0] // 2 + 1)
    two_point[0] = phi2
    density = 0.25 + a * phi2 / 2  # (1 - 2a⟨φ²⟩)/4 = b⟨φ⁴⟩
    # error: rounding, of 1 + |.| where terms of order 1 cancel
    return {
        "log_z": Known(log_z, 1e-13 * (volume + abs(log_z)), source),
        "phi2": Known(phi2, 1e-12 * phi2, source),
        "action_density": Known(density, 1e-12 * (1 + abs(density)), source),
        "mag2": Known(phi2 / volume, 1e-12 * phi2 / volume, source),
        "two_point": Known(two_point, 1e-12 * two_point, source),
    }


def _narrow(
    shape: tuple[int, ...], extents: list[int], h: float, a: float, b: float
) -> dict[str, Known]:
    """A chain or a strip, its slices along the narrow axis."""
    # along axis 0 where both axes allow: only there is `two_point` a slice correlator
    is_along_first = (
        len(extents) == 1 or extents[1] <= extents[0] or extents[0] > MAX_WIDTH
    )
    length, *rest = extents if is_along_first else extents[::-1]
    width = rest[0] if rest else 1
    fine, coarse = (
        narrow_lattice(
            length=length,
            width=width,
            hopping=h,
            quadratic=a,
            quartic=b,
            resolution=resolution,
        )
        for resolution in (FINE, COARSE)
    )
    if fine is None or coarse is None:
        return {}
    source = f"transfer matrix of {width}-site slices"
    values = {
        key: compared(getattr(fine, key), getattr(coarse, key), source=source)
        for key in ("log_z", "phi2", "phi4", "mag2", "two_point", "energy_gap")
    }
    if values["log_z"].error > MAX_LOG_Z_ERROR:
        return {}
    gap, phi4 = values["energy_gap"], values.pop("phi4")
    # a small gap is a difference of eigenvalues known to rounding
    values["energy_gap"] = Known(gap.value, gap.error + 1e-14, source)
    # ⟨S⟩/V = ½ - b⟨φ⁴⟩, by ⟨Σ φ ∂S/∂φ⟩ = V
    values["action_density"] = Known(
        0.5 - b * phi4.value, b * phi4.error + 1e-14, source
    )
    if shape[0] == 1:  # time is the trivial axis: one slice, G(0) = V m²
        volume, mag2 = lattice.volume(shape), values["mag2"]
        values["two_point"] = Known(
            np.array([volume * mag2.value]), np.array([volume * mag2.error]), source
        )
        del values["energy_gap"]
    elif not is_along_first:
        del values["two_point"], values["energy_gap"]
    return values
