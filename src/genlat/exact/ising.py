"""What is known about an Ising model on a finite torus."""

import math

import numpy as np
from jaxtyping import Float, Int

from genlat import lattice
from genlat.actions.ising import Ising
from genlat.exact import spin_counts, spin_sums, spin_transfer
from genlat.exact.kaufman import kaufman
from genlat.exact.value import EPS, Known, Number, UnknownError

COUNTED = "spins counted by transfer matrix"
ALONG_AXIS_0 = ("two_point", "energy_gap")
LEAST_MAG2 = 1e-30  # below it a ratio of moments is one of numbers that may underflow
ENOUGH = 1e-11  # relative error of Z, beyond which a slower method may do better


def ising(action: Ising) -> dict[str, Known]:
    """By Kaufman in d = 2 without field, by transfer matrix where slices are narrow.

    **Raises:** `UnknownError` where neither applies.

    Kaufman needs β > 0, or even extents, where flipping every other spin maps β to -β.
    A slice is narrow up to `spin_transfer.MAX_SITES` sites, in any dimension, with any
    field and sign of β. Where both know a value, the better one counts.
    """
    shape, beta, field = action.lattice_shape, float(action.beta), float(action.field)
    if beta == 0:
        return _free_spins(shape)
    values = _narrow(shape, beta, field)
    is_bipartite = not any(extent % 2 for extent in shape)
    if len(shape) == 2 and field == 0 and (beta > 0 or is_bipartite):
        closed = kaufman((shape[0], shape[1]), abs(beta))
        density = closed["action_density"]
        closed["energy_density"] = Known(
            density.value / beta, density.error / abs(beta), density.source
        )
        for name, value in closed.items():
            if name not in values or not values[name].error < value.error:
                values[name] = value
    if not values:
        raise UnknownError(_why_not(shape, beta, field))
    return values


def _why_not(shape: tuple[int, ...], beta: float, field: float) -> str:
    if lattice.volume(shape) // max(shape) <= spin_transfer.MAX_SITES:
        return "eigenvalues of both signs cancel, and the torus is too long for sums"
    wide = f"slices of more than {spin_transfer.MAX_SITES} spins"
    if len(shape) != 2:
        return f"{wide} in {len(shape)} dimensions"
    if field != 0:
        return f"{wide} in a field"
    return f"{wide}, and an odd extent that beta = {beta:g} frustrates"


def _narrow(shape: tuple[int, ...], beta: float, field: float) -> dict[str, Known]:
    """Slices along axis 0, where `two_point` and `energy_gap` are, or the longest."""
    volume, longest = lattice.volume(shape), int(np.argmax(shape))
    axis = 0 if volume // shape[0] <= spin_transfer.MAX_SITES else longest
    torus = spin_transfer.Torus(
        shape[axis], (*shape[:axis], *shape[axis + 1 :]), beta, field
    )
    if torus.n_sites > spin_transfer.MAX_SITES:
        return {}
    values = _averages(torus)
    if axis != 0:
        values = {k: v for k, v in values.items() if k not in ALONG_AXIS_0}
    counted = spin_counts.magnetisation(torus)
    if counted is not None:
        levels, p = counted
        # of sums of positive numbers
        rounding = EPS * volume * (8 + torus.span)
        values |= _moments(volume, levels, p, COUNTED, rounding)
    return values


def _averages(torus: spin_transfer.Torus) -> dict[str, Known]:
    """By eigenvalues, or by sums of positive terms where those cancel."""
    found = spin_transfer.averages(torus)
    gap = math.nan if found is None else found.energy_gap
    if found is None or max(found.relative, found.heat_error / 100) > ENOUGH:
        found = spin_sums.averages(torus) or found
    if found is None:
        return {}
    source = f"transfer matrix of {torus.n_sites}-site slices"
    beta, relative = torus.beta, found.relative
    errors = {
        "log_z": relative + 1e-14 * abs(found.log_z),
        "energy_density": found.energy_error,
        "action_density": abs(beta) * found.energy_error,
        "specific_heat": found.heat_error,
        "mag": relative,
        "mag2": relative,
        "two_point": np.full_like(found.two_point, relative * torus.n_sites),
    }
    numbers = found._asdict() | {"action_density": beta * found.energy_density}
    values = {
        name: Known(numbers[name], _at_least(error, numbers[name]), source)
        for name, error in errors.items()
        if np.all(error <= spin_transfer.MAX_LOST * (1 + np.abs(numbers[name])))
    }
    if beta > 0 and torus.length > 1 and math.isfinite(gap):
        error = 2e-14 * (torus.n_sites + math.exp(gap) * (10 + torus.span))
        values["energy_gap"] = Known(gap, error, source)
    return values


def _at_least(error: Number, value: Number) -> Number:
    """Not less than rounding."""
    return error + 1e-13 * np.abs(value) + 1e-15


def _moments(
    volume: int,
    levels: Int[np.ndarray, " levels"],
    p: Float[np.ndarray, " levels"],
    source: str,
    rounding: float,
) -> dict[str, Known]:
    """Moments of m = M/V, and what follows; `rounding` is the relative error of p."""
    m = levels / volume
    abs_mag, mag2, mag4 = (float(p @ f) for f in (np.abs(m), m**2, m**4))
    susceptibility = volume * float(p @ (np.abs(m) - abs_mag) ** 2)
    values = {
        name: Known(value, rounding * scale + 1e-15, source)
        for name, value, scale in (
            ("abs_mag", abs_mag, abs_mag),
            ("mag2", mag2, mag2),
            ("mag4", mag4, mag4),
            ("susceptibility", susceptibility, volume * (mag2 + 1e-15 * abs_mag)),
        )
    }
    if mag2 > LEAST_MAG2:
        ratio = mag4 / (3 * mag2**2)
        values["binder"] = Known(1 - ratio, 3 * (rounding + 1e-15) * ratio, source)
    return values


def _free_spins(shape: tuple[int, ...]) -> dict[str, Known]:
    """β = 0: S = 0 and all configurations are alike."""
    volume, source = lattice.volume(shape), "independent spins"
    two_point = np.zeros(shape[0] // 2 + 1)
    two_point[0] = 1.0
    values = _moments(volume, *_coins(volume), source, 1e-12)
    n_own = sum(extent == 1 for extent in shape)  # bonds of a site to itself
    for name, value, error in (
        ("log_z", volume * math.log(2), 1e-15 * volume),
        ("action_density", 0.0, 0.0),
        ("energy_density", 0.0 - n_own, 0.0),
        ("specific_heat", 0.0, 0.0),
        ("mag", 0.0, 0.0),
        ("two_point", two_point, np.zeros_like(two_point)),
    ):
        values[name] = Known(value, error, source)
    return values


def _coins(
    volume: int,
) -> tuple[Int[np.ndarray, " levels"], Float[np.ndarray, " levels"]]:
    """Values of the sum of independent spins that ever occur, and how often.

    From the middle outwards: the logarithms that are added up stay small.
    """
    middle = (volume + 1) // 2
    n_steps = min(volume - middle, math.ceil(20 * math.sqrt(volume)))
    up = middle + np.arange(n_steps)
    right = np.concatenate([[0.0], np.cumsum(np.log((volume - up) / (up + 1)))])
    levels = 2 * (middle + np.arange(n_steps + 1)) - volume
    # the other half mirrors this one; level 0 of an even number is its own mirror
    mirrored = slice(None, None, -1) if volume % 2 else slice(None, 0, -1)
    p = np.exp(np.concatenate([right[mirrored], right]))
    return np.concatenate([-levels[mirrored], levels]), p / p.sum()
