"""The Ising model in a field on narrow tori, from slice to slice."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from genlat import lattice

MAX_SITES = 10  # of a slice: 2^10 states diagonalise in a second
MAX_UPDATES = 1_000_000_000  # of single weights when counting: a few seconds


class Slices(NamedTuple):
    """All configurations s of a slice: the states of the transfer matrix.

    - `spins`: ±1; bit i of a state's number is set where site i is down.
    - `bonds`: Σ s s' within the slice. `total`: Σ s.
    """

    spins: Float[np.ndarray, "states sites"]
    bonds: Float[np.ndarray, " states"]
    total: Float[np.ndarray, " states"]


class Averages(NamedTuple):
    """Of S = βH per site, and of slices: see docs/conventions.md.

    `energy_gap` is that of the largest two eigenvalues, NaN where the second is lost in
    the rounding of the first.
    """

    log_z: float
    action_density: float
    specific_heat: float
    mag: float
    mag2: float
    two_point: Float[np.ndarray, " lags"]
    energy_gap: float


def slices(slice_shape: tuple[int, ...]) -> Slices:
    """The states of a slice; no axes stand for the single site of a chain."""
    n_sites = math.prod(slice_shape)
    bits = np.arange(2**n_sites)[:, None] >> np.arange(n_sites) & 1
    spins = 1.0 - 2.0 * bits
    on_lattice = spins.reshape(-1, *slice_shape)
    bonds = np.zeros(len(spins))
    for axis in range(len(slice_shape)):
        pairs = on_lattice * np.roll(on_lattice, -1, axis + 1)
        bonds += pairs.reshape(spins.shape).sum(axis=1)
    return Slices(spins, bonds, spins.sum(axis=1))


def averages(
    *, length: int, slice_shape: tuple[int, ...], beta: float, field: float
) -> Averages:
    r"""By diagonalising the transfer matrix of a torus of `length` slices.

    $$Z = \mathrm{tr}\,T^{T}, \quad T_{ss'} = e^{\beta[\sum_i s_i s'_i
        + (B_s + B_{s'})/2 + h(M_s + M_{s'})/2]}$$

    with B and M bonds and spins of a slice; derivatives in β are those of the trace,
    exact to rounding. β of either sign, any extents.

    **Raises:** `ValueError` for a slice of more than `MAX_SITES` sites.
    """
    n_sites = math.prod(slice_shape)
    if n_sites > MAX_SITES:
        raise ValueError(f"a slice has at most {MAX_SITES} sites, got {n_sites}")
    states, volume = slices(slice_shape), length * n_sites
    energy = (states.bonds + field * states.total) / 2
    exponents = states.spins @ states.spins.T + energy[:, None] + energy[None, :]
    largest = float(np.max(beta * exponents))
    matrix = np.exp(beta * exponents - largest)
    eigenvalues, vectors = np.linalg.eigh(matrix)
    order = np.argsort(-np.abs(eigenvalues))
    top = abs(eigenvalues[order[0]])
    ratio, vectors = eigenvalues[order] / top, vectors[:, order]
    z = float(np.sum(ratio**length))

    def in_eigenbasis(weights: Float[np.ndarray, "states states"]) -> np.ndarray:
        return vectors.T @ (matrix * weights / top) @ vectors

    slope = np.sum(ratio ** (length - 1) * np.diag(in_eigenbasis(exponents))) / z
    # derivatives of ln Z about its slope: squares of extensive numbers would cancel
    first = in_eigenbasis(exponents - slope)
    second = np.diag(in_eigenbasis((exponents - slope) ** 2))
    curvature = length * np.sum(ratio ** (length - 1) * second)
    curvature += length * np.sum(first**2 * _complete_sums(ratio, length - 1))
    magnet = vectors.T @ (states.total[:, None] * vectors)
    lags = np.arange(length // 2 + 1)[:, None]
    correlator = ratio ** (length - lags) @ magnet**2 * ratio**lags
    two_point = correlator.sum(axis=1) / (z * n_sites)
    twice = np.where((lags[:, 0] == 0) | (2 * lags[:, 0] == length), 1, 2)
    return Averages(
        log_z=length * (math.log(top) + largest) + math.log(z),
        action_density=float(-beta * slope / n_sites),
        specific_heat=float(beta**2 * curvature / z / volume),
        mag=float(np.sum(ratio**length * np.diag(magnet)) / z / n_sites),
        mag2=float(twice @ two_point) / volume,
        two_point=two_point,
        energy_gap=_gap(abs(float(ratio[1]))),
    )


def _gap(ratio: float) -> float:
    return -math.log(ratio) if ratio > 1e-3 else math.nan


def _complete_sums(
    x: Float[np.ndarray, " states"], n: int
) -> Float[np.ndarray, "states states"]:
    """Σ_k x_i^k x_j^(n-1-k) over k < n, by doubling; 0 for n = 0."""
    total, power = np.zeros((len(x), len(x))), np.ones_like(x)
    for bit in f"{n:b}":
        total, power = total * (power[:, None] + power[None, :]), power**2
        if bit == "1":
            total, power = total * x[:, None] + power[None, :], power * x
    return total


def magnetisation(
    *, length: int, slice_shape: tuple[int, ...], beta: float, field: float
) -> tuple[Int[np.ndarray, " levels"], Float[np.ndarray, " levels"]] | None:
    """All values of M = Σ s with their probabilities, by counting the spins.

    Weights are added site by site, those of each M apart; all are positive and nothing
    cancels. The first slice is one of each orbit under the slice's symmetries.

    **Returns:** None where that takes more than `MAX_UPDATES`.
    """
    n_sites = math.prod(slice_shape)
    volume = length * n_sites
    if n_sites > MAX_SITES:
        return None
    states = slices(slice_shape)
    starts, orbit_sizes = _orbits(slice_shape)
    if len(starts) * 2**n_sites * volume**2 / 2 > MAX_UPDATES:
        return None
    # axes: start, spins up so far, state of the current slice
    weights = np.zeros((len(starts), 1, 2**n_sites))
    weights[np.arange(len(starts)), 0, starts] = 1
    log_within = beta * states.bonds
    within = np.exp(log_within - log_within.max())
    bond, factor = _pair(beta), _pair(beta * field)
    for _ in range(length):
        for site in range(n_sites):
            weights = _with_site(weights, site, bond, factor)
        weights *= within / weights.max()
    closed = weights[np.arange(len(starts)), :, starts]
    counts = np.asarray(orbit_sizes, float) @ closed
    return 2 * np.arange(volume + 1) - volume, counts / counts.sum()


def _pair(x: float) -> tuple[float, float]:
    """e^x and e^-x, over the larger of them."""
    return math.exp(x - abs(x)), math.exp(-x - abs(x))


def _with_site(
    weights: Float[np.ndarray, "starts levels states"],
    site: int,
    bond: tuple[float, float],
    factor: tuple[float, float],
) -> Float[np.ndarray, "starts more states"]:
    """The spin of one site replaced by that of the next slice, and counted."""
    n_starts, n_levels, n_states = weights.shape
    split = (n_states >> (site + 1), 2, 1 << site)
    old = weights.reshape(n_starts, n_levels, *split)
    old_up, old_down = old[:, :, :, 0], old[:, :, :, 1]
    (aligned, opposed), (up, down) = bond, factor
    new = np.zeros((n_starts, n_levels + 1, *split))
    new[:, 1:, :, 0] = up * (aligned * old_up + opposed * old_down)
    new[:, :-1, :, 1] = down * (aligned * old_down + opposed * old_up)
    return new.reshape(n_starts, n_levels + 1, n_states)


def _orbits(
    slice_shape: tuple[int, ...],
) -> tuple[Int[np.ndarray, " orbits"], Int[np.ndarray, " orbits"]]:
    """A state of every orbit under the slice's symmetries, and the orbit's size."""
    n_sites = math.prod(slice_shape)
    states = np.arange(2**n_sites)
    if not slice_shape:
        return states, np.ones_like(states)
    bits = states[:, None] >> np.arange(n_sites) & 1
    least = states
    for symmetry in lattice.symmetry_group(
        slice_shape, ("translations", "point_group")
    ):
        image = bits[:, symmetry.sites().ravel()] @ (1 << np.arange(n_sites))
        least = np.minimum(least, image)
    return np.unique(least, return_counts=True)
