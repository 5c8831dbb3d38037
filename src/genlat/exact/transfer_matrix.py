"""Scalar theories on narrow lattices, by diagonalising the hop from slice to slice."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from genlat.exact.quadrature import Resolution, line_grid
from genlat.exact.slice_basis import (
    Block,
    SiteBasis,
    pair_block,
    single_block,
    site_basis,
)
from genlat.exact.spectrum import Averages, Spectrum, averages
from genlat.exact.value import EPS

MAX_WIDTH = 4
# points of the field at a site that still diagonalise in seconds, by width
MAX_POINTS = {1: 1500, 2: 150, 3: 80, 4: 80}


@dataclasses.dataclass(frozen=True)
class Sector:
    """Slices of one symmetry: two blocks, and how often they occur in a trace.

    `coupling` is e^{-g (x̄ - ȳ)²} at the means of the two blocks, g being h times the
    number of bonds between them.
    """

    multiplicity: int
    blocks: tuple[Block, Block]
    coupling: Float[np.ndarray, "means other"]


@dataclasses.dataclass(frozen=True)
class States:
    """Pairs (p, q) of block functions; `root` is the square root of their hop."""

    first: Int[np.ndarray, " states"]
    second: Int[np.ndarray, " states"]
    root: Float[np.ndarray, " states"]


def narrow_lattice(
    *,
    length: int,
    width: int,
    hopping: float,
    quadratic: float,
    quartic: float,
    resolution: Resolution,
) -> Averages | None:
    r"""Averages of S = Σ [-2h φφ' + aφ² + bφ⁴] on a periodic strip.

    With v = (a - 2hd) φ² + bφ⁴ the hop of one site is K = e^{-v/2 - h(φ-φ')² - v/2} and
    the weight of a slice W = e^{-h Σ (φ_i-φ_{i+1})²}. In the eigenbasis of K, whose
    eigenvalues Λ fall exponentially, M = Λ^½ W Λ^½ is truncated to the products of
    functions with the largest Λ. Truncation can only lower the eigenvalues of M, hence
    ln Z. Width 1, and width 2 while all functions fit, are quadrature without
    truncation.

    **Arguments:**

    - `length`: slices T ≥ 2. `width`: 1 for a chain (d = 1); 2, 3 or 4 sites around a
      periodic slice (d = 2).
    - `hopping`: h > 0; `quartic`: b > 0.

    **Returns:** None for a field that varies too widely for the grid, as near the
    massless free theory or in wells far apart.

    **Raises:** `ValueError` for a width not in 1 ... 4.
    """
    if not 1 <= width <= MAX_WIDTH:
        raise ValueError(f"width must be 1 ... {MAX_WIDTH}, got {width}")
    grid = line_grid(
        hopping=hopping,
        quadratic=quadratic,
        quartic=quartic,
        axes=1 if width == 1 else 2,
        resolution=resolution,
        max_points=MAX_POINTS[width],
    )
    if grid is None:
        return None
    basis = site_basis(*grid, hopping)
    if width == 1:
        spectra = [chain_spectrum(basis)]
    else:
        spectra = [
            slice_spectrum(sector, resolution.states)
            for sector in sectors(basis, width, hopping, resolution.states)
        ]
    # exponents are rounded where they are large, as on the slopes of deep wells
    depth = resolution.reach + 2 * float(np.max(np.abs(grid[1])))
    return averages(
        spectra,
        length=length,
        width=width,
        log_scale=width * basis.log_scale,
        rounding=1e-13 + 4 * EPS * depth,
    )


def chain_spectrum(basis: SiteBasis) -> Spectrum:
    """One site per slice: the hop itself, W = 1."""
    f, x, root = basis.functions, basis.points, np.sqrt(basis.eigenvalues)
    diagonal = np.stack([(x**power) @ f**2 for power in (2, 4, 2)]) * root**2
    field = root[0::2, None] * (f[:, 0::2].T @ (x[:, None] * f[:, 1::2])) * root[1::2]
    return Spectrum(
        1, root[0::2] ** 2, root[1::2] ** 2, diagonal[:, 0::2], diagonal[:, 1::2], field
    )


def sectors(
    basis: SiteBasis, width: int, hopping: float, n_states: int
) -> list[Sector]:
    """Cut a slice of 2, 3 or 4 sites into two blocks, in every exchange symmetry.

    Of three sites, two form a block with a bond of its own; of four, the opposite ones,
    without. There the sectors (+, -) and (-, +) have one spectrum: the two pairs are
    exchanged by a translation.
    """
    single = single_block(basis)
    # more pairs than the largest products use: a single site has few functions
    n_functions = n_states // (4 if width == 3 else 8)

    def coupled(multiplicity: int, first: Block, second: Block, bonds: float) -> Sector:
        distance = first.means[:, None] - second.means[None, :]
        weight = np.exp(-hopping * bonds * distance**2)
        return Sector(multiplicity, (first, second), weight)

    if width == 2:  # a periodic pair has two bonds
        return [coupled(1, single, single, 2.0)]
    # bonds n n' / 4 from the variance in a block, 1 more for the bond within
    pairs = {
        sign: pair_block(
            basis,
            sign=sign,
            stiffness=hopping * (1.5 if width == 3 else 1.0),
            n_functions=n_functions,
        )
        for sign in (1, -1)
    }
    if width == 3:
        return [coupled(1, pairs[sign], single, 2.0) for sign in (1, -1)]
    return [
        coupled(multiplicity, pairs[sign], pairs[other], 4.0)
        for multiplicity, sign, other in ((1, 1, 1), (2, 1, -1), (1, -1, -1))
    ]


def slice_spectrum(sector: Sector, n_states: int) -> Spectrum:
    """Diagonalise one sector in its `n_states` states of largest hop, per parity."""
    first, second = sector.blocks
    total = (
        first.n_sites * first.means[:, None] + second.n_sites * second.means[None, :]
    )
    one = _operator([(first.overlaps[0], second.overlaps[0])], sector.coupling)
    power_sums = [
        _operator(
            [
                (first.overlaps[o], second.overlaps[0]),
                (first.overlaps[0], second.overlaps[o]),
            ],
            sector.coupling,
        )
        for o in (1, 2)
    ]
    field, field_squared = (
        _operator(
            [(first.overlaps[0], second.overlaps[0])], sector.coupling * total**power
        )
        for power in (1, 2)
    )

    even, odd = (largest_states(first, second, parity, n_states) for parity in (0, 1))
    values, vectors, diagonals = [], [], []
    for chosen in (even, odd):
        eigenvalues, u = np.linalg.eigh(_matrix(one, chosen, chosen))
        values.append(eigenvalues)
        vectors.append(u)
        operators = (*power_sums, field_squared)
        matrices = [_matrix(operator, chosen, chosen) for operator in operators]
        diagonals.append(np.stack([np.sum(u * (m @ u), axis=0) for m in matrices]))
    between = vectors[0].T @ _matrix(field, even, odd) @ vectors[1]
    return Spectrum(
        sector.multiplicity,
        values[0],
        values[1],
        diagonals[0],
        diagonals[1],
        field=between,
    )


def largest_states(first: Block, second: Block, parity: int, n_states: int) -> States:
    """The `n_states` products of given parity with the largest eigenvalues of K."""
    hop = first.eigenvalues[:, None] * second.eigenvalues[None, :]
    p, q = np.nonzero((first.parity[:, None] + second.parity[None, :]) % 2 == parity)
    order = np.argsort(-hop[p, q], kind="stable")[:n_states]
    p, q = p[order], q[order]
    return States(p, q, np.sqrt(hop[p, q]))


Operator = tuple[Float[np.ndarray, "p p k"], Float[np.ndarray, "q q k"]]


def _operator(
    terms: list[tuple[Float[np.ndarray, "p p means"], Float[np.ndarray, "q q other"]]],
    coupling: Float[np.ndarray, "means other"],
) -> Operator:
    """Σ_terms Σ_μν A_pp'(μ) C(μ, ν) B_qq'(ν), as Σ_k of a product of two factors."""
    left = np.concatenate([a @ coupling for a, _ in terms], axis=2)
    right = np.concatenate([b for _, b in terms], axis=2)
    return left, right


def _matrix(
    operator: Operator, rows: States, columns: States
) -> Float[np.ndarray, "rows columns"]:
    """Matrix elements of an operator between states, with the roots of their hops."""
    left, right = operator
    if not (rows.root.size and columns.root.size):  # a sector without states
        return np.zeros((rows.root.size, columns.root.size))
    n_first, n_second = rows.first.max() + 1, rows.second.max() + 1
    matrix = np.empty((rows.root.size, columns.root.size))
    # one small matrix product per column is several times faster than gathering rows
    for column, (p, q) in enumerate(zip(columns.first, columns.second, strict=True)):
        products = left[p, :n_first] @ right[q, :n_second].T
        matrix[:, column] = products[rows.first, rows.second]
    return rows.root[:, None] * matrix * columns.root[None, :]
