"""What is known about an Ising model on a finite torus."""

import math

import numpy as np
from jaxtyping import Float, Int

from genlat import lattice
from genlat.actions.ising import Ising
from genlat.exact import spin_transfer
from genlat.exact.kaufman import kaufman
from genlat.exact.value import Known, Number

COUNTED = "spins counted by transfer matrix"


def ising(action: Ising) -> dict[str, Known]:
    """By Kaufman in d = 2 without field, by transfer matrix where slices are narrow.

    Kaufman needs β > 0, or even extents, where flipping every other spin maps β to -β.
    A slice is narrow up to `spin_transfer.MAX_SITES` sites, in any dimension, with any
    field and sign of β.
    """
    shape, beta, field = action.lattice_shape, float(action.beta), float(action.field)
    if beta == 0:
        return _free_spins(shape)
    values = _narrow(shape, beta, field)
    is_bipartite = not any(extent % 2 for extent in shape)
    if len(shape) == 2 and field == 0 and (beta > 0 or is_bipartite):
        values |= kaufman((shape[0], shape[1]), abs(beta))
    if density := values.get("action_density"):
        values["energy_density"] = Known(
            density.value / beta, density.error / abs(beta), density.source
        )
    if field == 0:
        values["mag"] = Known(0.0, 0.0, "symmetry s → -s")
    return values


def _narrow(shape: tuple[int, ...], beta: float, field: float) -> dict[str, Known]:
    """Slices along axis 0, where `two_point` and `energy_gap` are, or the longest."""
    volume, longest = lattice.volume(shape), int(np.argmax(shape))
    axis = 0 if volume // shape[0] <= spin_transfer.MAX_SITES else longest
    length, slice_shape = shape[axis], (*shape[:axis], *shape[axis + 1 :])
    n_sites = math.prod(slice_shape)
    if n_sites > spin_transfer.MAX_SITES:
        return {}
    found = spin_transfer.averages(
        length=length, slice_shape=slice_shape, beta=beta, field=field
    )
    source = f"transfer matrix of {n_sites}-site slices"
    values = {name: _rounded(value, source) for name, value in found._asdict().items()}
    if axis != 0:
        del values["two_point"], values["energy_gap"]
    elif beta < 0 or length == 1 or math.isnan(found.energy_gap):
        del values["energy_gap"]
    counted = spin_transfer.magnetisation(
        length=length, slice_shape=slice_shape, beta=beta, field=field
    )
    return values if counted is None else values | _moments(*counted, COUNTED)


def _moments(
    levels: Int[np.ndarray, " levels"], p: Float[np.ndarray, " levels"], source: str
) -> dict[str, Known]:
    """Moments of m = M/V, and what follows from them."""
    volume = int(levels[-1])
    m = levels / volume
    abs_mag, mag2, mag4 = (float(p @ f) for f in (np.abs(m), m**2, m**4))
    values = {
        "abs_mag": abs_mag,
        "mag2": mag2,
        "mag4": mag4,
        "susceptibility": volume * float(p @ (np.abs(m) - abs_mag) ** 2),
        "binder": 1 - mag4 / (3 * mag2**2),
    }
    return {name: _rounded(value, source) for name, value in values.items()}


def _free_spins(shape: tuple[int, ...]) -> dict[str, Known]:
    """β = 0: S = 0 and all configurations are alike."""
    volume, source = lattice.volume(shape), "independent spins"
    up = np.arange(volume + 1)
    log_counts = np.cumsum(np.log(np.maximum(volume - up[:-1], 1) / (up[:-1] + 1)))
    p = np.exp(np.append(0.0, log_counts) - volume * math.log(2))
    two_point = np.zeros(shape[0] // 2 + 1)
    two_point[0] = 1.0
    values = _moments(2 * up - volume, p / p.sum(), source)
    n_own = sum(extent == 1 for extent in shape)  # bonds of a site to itself
    for name, value in (
        ("log_z", volume * math.log(2)),
        ("action_density", 0.0),
        ("energy_density", 0.0 - n_own),
        ("specific_heat", 0.0),
        ("mag", 0.0),
        ("two_point", two_point),
    ):
        values[name] = _rounded(value, source)
    return values


def _rounded(value: Number, source: str) -> Known:
    """With an error of rounding, that of terms of order 1 or of the value itself."""
    if np.ndim(value) == 0:
        return Known(float(value), 1e-12 * (1 + abs(float(value))), source)
    return Known(value, 1e-12 * (1 + np.abs(value)), source)
