"""What is known about a scalar theory: one method for every shape and coupling."""

import numpy as np

from genlat import lattice
from genlat.actions.base import AbstractScalarAction
from genlat.actions.phi4 import Phi4
from genlat.exact import reference
from genlat.exact.free_field import free_field
from genlat.exact.quadrature import COARSE, FINE
from genlat.exact.transfer_matrix import MAX_WIDTH, narrow_lattice
from genlat.exact.value import EPS, Known, UnknownError, compared
from genlat.exact.weak_hopping import weak_hopping

MAX_LOG_Z_ERROR = 1e-3  # a truncation worse than this is no reference
MAX_ERROR = 1e-3  # of the other values of a series, relative
NEGLIGIBLE = 1e-12  # relative error of ln Z by which a series is as good as exact


def scalar(action: AbstractScalarAction) -> dict[str, Known]:
    """Closed forms, transfer matrices and tables, by what couplings and shape allow.

    **Raises:** `UnknownError`, which says why nothing is known.
    """
    h, a, b = (float(x) for x in (action.hopping, action.quadratic, action.quartic))
    shape = action.lattice_shape
    if b == 0:
        return free_field(shape, h, a)
    series = weak_hopping(shape, h, a, b)
    if series and series["log_z"].error <= NEGLIGIBLE * (
        lattice.volume(shape) + abs(series["log_z"].value)
    ):
        return series
    try:
        return _by_transfer(shape, h, a, b)
    except UnknownError:
        if type(action) is Phi4 and (found := reference.tabulated(action)):
            return found
        if series and series["log_z"].error <= MAX_LOG_Z_ERROR:
            return {name: value for name, value in series.items() if _is_sharp(value)}
        raise


def _is_sharp(value: Known) -> bool:
    largest = float(np.max(np.abs(value.value)))
    return float(np.max(value.error)) <= MAX_ERROR * largest


def _by_transfer(
    shape: tuple[int, ...], h: float, a: float, b: float
) -> dict[str, Known]:
    # an extent of 1 couples a site to itself: -2hφ² and one axis fewer
    a -= 2 * h * sum(extent == 1 for extent in shape)
    extents = [extent for extent in shape if extent > 1]
    if h == 0 or not extents:  # a series of one term, which is no number
        raise UnknownError("the integral over one site is beyond floating point")
    if len(extents) > 2 or (len(extents) == 2 and min(extents) > MAX_WIDTH):
        raise UnknownError(
            f"transfer matrices reach slices of {MAX_WIDTH} sites in at most two "
            "dimensions, and no table has these couplings"
        )
    if h > 0:
        return _narrow(shape, extents, h, a, b)
    if any(extent % 2 for extent in extents):
        raise UnknownError("a negative hopping is frustrated by an odd extent")
    # flipping the sign of every other site maps h to -h and keeps φ² and φ⁴
    mapped = _narrow(shape, extents, -h, a, b)
    return {
        key: mapped[key] for key in ("log_z", "phi2", "action_density") if key in mapped
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
    values = strip(length, rest[0] if rest else 1, h, a, b)
    if shape[0] == 1:  # time is the trivial axis: one slice, G(0) = V m²
        volume, mag2 = lattice.volume(shape), values["mag2"]
        values["two_point"] = Known(
            np.array([volume * mag2.value]),
            np.array([volume * mag2.error]),
            mag2.source,
        )
        del values["energy_gap"]
    elif not is_along_first:
        del values["two_point"], values["energy_gap"]
    return values


def strip(length: int, width: int, h: float, a: float, b: float) -> dict[str, Known]:
    """By transfer from slice to slice of `width` sites, at two resolutions.

    **Raises:** `UnknownError` where those disagree by more than `MAX_LOG_Z_ERROR`.
    """
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
        raise UnknownError("the field varies too widely for a transfer matrix's grid")
    source = f"transfer matrix of {width}-site slices"

    def both(key: str, rounding: float) -> Known:
        values = (getattr(fine, key), getattr(coarse, key))
        return compared(*values, rounding=rounding, source=source)

    averaged = ("phi2", "phi4", "mag2", "two_point")
    values = {key: both(key, fine.rounding) for key in averaged}
    log_z, gap, phi4 = (
        both("log_z", 4 * EPS),
        both("energy_gap", 0.0),
        values.pop("phi4"),
    )
    error = log_z.error + length * width * fine.rounding
    if not error <= MAX_LOG_Z_ERROR:
        raise UnknownError(
            f"the basis of a transfer matrix is too small: ln Z within {error:.1g}"
        )
    # ⟨S⟩/V = ½ - b⟨φ⁴⟩, by ⟨Σ φ ∂S/∂φ⟩ = V
    return values | {
        "log_z": Known(log_z.value, error, source),
        # a small gap is a difference of eigenvalues known to rounding
        "energy_gap": Known(gap.value, gap.error + fine.rounding, source),
        "action_density": Known(0.5 - b * phi4.value, b * phi4.error + 1e-14, source),
    }
