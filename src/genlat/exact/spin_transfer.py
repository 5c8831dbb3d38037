"""The Ising model in a field on narrow tori, from slice to slice."""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from genlat import symmetry
from genlat.exact.value import EPS

MAX_SITES = 10  # of a slice: 2^10 states diagonalise in a second
MAX_LOST = 1e-4  # relative error of Z, beyond which nothing is given


@dataclasses.dataclass(frozen=True)
class Torus:
    """An Ising model on `length` slices of `slice_shape`, β ≠ 0 of either sign.

    `slice_shape` is () for the single site of a chain.
    """

    length: int
    slice_shape: tuple[int, ...]
    beta: float
    field: float

    @property
    def n_sites(self) -> int:
        """Of a slice."""
        return math.prod(self.slice_shape)

    @property
    def volume(self) -> int:
        return self.length * self.n_sites

    @property
    def span(self) -> float:
        """The largest ratio of two weights of a slice and its bonds, as a logarithm."""
        n_bonds = self.n_sites * (1 + len(self.slice_shape))
        return 2 * abs(self.beta) * (n_bonds + abs(self.field) * self.n_sites)


class Slices(NamedTuple):
    """All configurations s of a slice: the states of the transfer matrix.

    - `spins`: ±1; bit i of a state's number is set where site i is down.
    - `bonds`: Σ s s' within the slice. `total`: Σ s.
    """

    spins: Float[np.ndarray, "states sites"]
    bonds: Float[np.ndarray, " states"]
    total: Float[np.ndarray, " states"]


class Averages(NamedTuple):
    """Per site, and of slices: see docs/conventions.md. H = S/β.

    `energy_gap` is that of the largest two eigenvalues, NaN where the second is lost in
    the rounding of the first, or not known. Errors of rounding, cancellation included:

    - `relative` is that of Z, and of every other sum over configurations.
    - `energy_error`, `heat_error` are of ⟨H⟩/V and of Var(S)/V, absolute.
    """

    log_z: float
    energy_density: float
    specific_heat: float
    mag: float
    mag2: float
    two_point: Float[np.ndarray, " lags"]
    energy_gap: float
    relative: float
    energy_error: float
    heat_error: float


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


def averages(torus: Torus) -> Averages | None:
    r"""By diagonalising the transfer matrix, from slice to slice.

    $$Z = \mathrm{tr}\,T^{T}, \quad T_{ss'} = e^{\beta[\sum_i s_i s'_i
        + (B_s + B_{s'})/2 + h(M_s + M_{s'})/2]}$$

    with B and M bonds and spins of a slice; derivatives in β are those of the trace.
    β of either sign, any extents. Eigenvalues are known to rounding of the largest: for
    β < 0 some are negative, an odd power of them cancels, and `relative` says how much.

    **Returns:** None where more than `MAX_LOST` of Z is lost.

    **Raises:** `ValueError` for a slice of more than `MAX_SITES` sites.
    """
    length, beta, field, n_sites = torus.length, torus.beta, torus.field, torus.n_sites
    if n_sites > MAX_SITES:
        raise ValueError(f"a slice has at most {MAX_SITES} sites, got {n_sites}")
    states, volume = slices(torus.slice_shape), torus.volume
    within = (states.bonds + field * states.total) / 2
    exponents = states.spins @ states.spins.T + within[:, None] + within[None, :]
    largest = float(np.max(beta * exponents))
    matrix = np.exp(beta * exponents - largest)
    eigenvalues, vectors = np.linalg.eigh(matrix)
    order = np.argsort(-np.abs(eigenvalues))
    top = abs(eigenvalues[order[0]])
    ratio, vectors = eigenvalues[order] / top, vectors[:, order]
    z = float(np.sum(ratio**length))
    rounding = EPS * (8 + math.sqrt(len(ratio)) + abs(largest))
    sizes = np.abs(ratio)
    lost = length * rounding * float(np.sum(sizes ** (length - 1)))
    relative = lost / z if z > lost else math.inf
    if relative > MAX_LOST:
        return None

    def in_eigenbasis(weights: Float[np.ndarray, "states states"]) -> np.ndarray:
        return vectors.T @ (matrix * weights / top) @ vectors

    # about that of the largest weight: what is left is small where β is large
    centre = float(exponents.flat[np.argmax(beta * exponents)])
    diagonal = np.diag(in_eigenbasis(exponents - centre))
    slope = centre + float(np.sum(ratio ** (length - 1) * diagonal)) / z
    # derivatives of ln Z about its slope: squares of extensive numbers would cancel
    first = in_eigenbasis(exponents - slope)
    second = np.diag(in_eigenbasis((exponents - slope) ** 2))
    curvature = length * np.sum(ratio ** (length - 1) * second)
    curvature += length * np.sum(first**2 * _complete_sums(ratio, length - 1))
    absolute = length * np.sum(sizes ** (length - 1) * np.abs(second))
    absolute += length * np.sum(first**2 * _complete_sums(sizes, length - 1))
    magnet = vectors.T @ (states.total[:, None] * vectors)
    lags = np.arange(length // 2 + 1)[:, None]
    correlator = ratio ** (length - lags) @ magnet**2 * ratio**lags
    two_point = correlator.sum(axis=1) / (z * n_sites)
    twice = np.where((lags[:, 0] == 0) | (2 * lags[:, 0] == length), 1, 2)
    width = float(np.ptp(exponents))
    # of a matrix element in the eigenbasis, relative to the largest weight
    absolute += length**2 * rounding * width**2 + length * width * math.sqrt(absolute)
    return Averages(
        log_z=length * (math.log(top) + largest) + math.log(z),
        energy_density=-slope / n_sites,
        specific_heat=float(beta**2 * curvature / z / volume),
        mag=float(np.sum(ratio**length * np.diag(magnet)) / z / n_sites),
        mag2=float(twice @ two_point) / volume,
        two_point=two_point,
        energy_gap=_gap(abs(float(ratio[1]))),
        relative=relative,
        energy_error=relative * width / n_sites,
        heat_error=beta**2 * relative * float(absolute) / (min(z, 1.0) * volume),
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


def orbits(
    slice_shape: tuple[int, ...],
) -> tuple[Int[np.ndarray, " orbits"], Int[np.ndarray, " orbits"]]:
    """A state of every orbit under the slice's symmetries, and the orbit's size."""
    n_sites = math.prod(slice_shape)
    states = np.arange(2**n_sites)
    if not slice_shape:
        return states, np.ones_like(states)
    bits = states[:, None] >> np.arange(n_sites) & 1
    least = states
    for element in symmetry.group(slice_shape, ("translations", "point_group")):
        image = bits[:, element.sites().ravel()] @ (1 << np.arange(n_sites))
        least = np.minimum(least, image)
    return np.unique(least, return_counts=True)
