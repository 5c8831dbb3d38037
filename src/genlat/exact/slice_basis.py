"""A slice of a narrow lattice, cut into two blocks that hop into each other.

With every bond written as a square (see `quadrature.line_grid`), all bonds between two
blocks depend on the block means alone: for n and n' sites x and y

    Σ_ij (x_i - y_j)² = n n' [(x̄ - ȳ)² + var x + var y].

So a block enters a slice through its basis functions resolved by its mean, and a slice
of up to four sites is two blocks of at most two. The two sites of a block have the same
neighbours in the other block: exchanging them is a symmetry.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int


@dataclasses.dataclass(frozen=True)
class SiteBasis:
    """Eigenfunctions of the hop of one site along the transfer axis, largest first.

    `functions[:, n]` is orthonormal on the grid `points`, with parity (-1)^n under
    φ → -φ; `eigenvalues` are relative to exp(`log_scale`), the largest.
    """

    points: Float[np.ndarray, " points"]
    functions: Float[np.ndarray, "points n"]
    eigenvalues: Float[np.ndarray, " n"]
    log_scale: float


@dataclasses.dataclass(frozen=True)
class Block:
    """One or two sites of a slice, with basis functions of definite symmetry.

    `overlaps[o, p, p', j]` is Σ φ_p O φ_p' over the grid points whose mean is
    `means[j]`, times the weight e^{-bonds n n' h var x}, for O = 1, Σ_i x_i², Σ_i x_i⁴.
    `eigenvalues` are those of the hop, `parity` is 0 or 1 for even and odd functions.
    """

    n_sites: int
    means: Float[np.ndarray, " means"]
    overlaps: Float[np.ndarray, "3 p p means"]
    eigenvalues: Float[np.ndarray, " p"]
    parity: Int[np.ndarray, " p"]


def site_basis(
    points: Float[np.ndarray, " points"],
    log_weight: Float[np.ndarray, " points"],
    hopping: float,
) -> SiteBasis:
    """Diagonalise exp(-v(x)/2 - h(x-y)² - v(y)/2) Δ on a grid symmetric about 0.

    Even and odd functions are diagonalised apart, which keeps the parity of nearly
    degenerate pairs pure. Eigenvalues below rounding are left out.
    """
    step = points[1] - points[0]
    top = log_weight.max()
    kernel = np.exp(
        (log_weight[:, None] + log_weight[None, :]) / 2
        - top
        - hopping * (points[:, None] - points[None, :]) ** 2
    )
    half = points.size // 2
    right, across = kernel[half:, half:], kernel[half:, :half][:, ::-1]
    eigenvalues, functions = [], []
    for sign in (1, -1):
        values, vectors = np.linalg.eigh(right + sign * across)
        eigenvalues.append(values[::-1])
        vectors = vectors[:, ::-1] / np.sqrt(2)
        functions.append(np.concatenate([sign * vectors[::-1], vectors]))
    # even and odd alternate: 0, 1, 0, 1, ...
    interleaved = np.stack(eigenvalues, axis=1).ravel()
    stacked = np.stack(functions, axis=2).reshape(points.size, -1)
    keep = interleaved > 1e-15 * interleaved[0]
    n_kept = int(np.argmin(keep)) if not keep.all() else keep.size
    return SiteBasis(
        points,
        stacked[:, :n_kept],
        interleaved[:n_kept] / interleaved[0],
        float(top + np.log(step * interleaved[0])),
    )


def single_block(basis: SiteBasis) -> Block:
    """One site; its mean is its value."""
    f, x = basis.functions, basis.points
    product = np.einsum("xp,xq->pqx", f, f)
    overlaps = np.stack([product * x**power for power in (0, 2, 4)])
    return Block(1, x, overlaps, basis.eigenvalues, np.arange(f.shape[1]) % 2)


def pair_block(
    basis: SiteBasis, *, sign: int, stiffness: float, n_functions: int
) -> Block:
    """Two sites, symmetric (`sign` = 1) or antisymmetric (-1) under their exchange.

    **Arguments:**

    - `stiffness`: e^{-stiffness (x₀ - x₁)²} is the weight within the block: its own
      bond, and the variance from the bonds to the other block.
    - `n_functions`: how many of the functions with the largest eigenvalues to keep.
    """
    f, x = basis.functions, basis.points
    first, second = np.triu_indices(f.shape[1], k=0 if sign > 0 else 1)
    eigenvalues = basis.eigenvalues[first] * basis.eigenvalues[second]
    order = np.argsort(-eigenvalues, kind="stable")[:n_functions]
    first, second, eigenvalues = first[order], second[order], eigenvalues[order]

    # grid points x₀ ≤ x₁; those off the diagonal stand for two
    i, j = np.triu_indices(x.size)
    direct, exchanged = (
        f[i][:, first] * f[j][:, second],
        f[j][:, first] * f[i][:, second],
    )
    norm = np.where(first == second, 2.0, np.sqrt(2.0))
    functions = (direct + sign * exchanged) / norm
    weight = np.where(i == j, 1.0, 2.0) * np.exp(-stiffness * (x[i] - x[j]) ** 2)

    # i + j counts the possible means (x_i + x_j)/2 of a uniform grid
    means = x[0] + (x[1] - x[0]) / 2 * np.arange(2 * x.size - 1)
    n = order.size
    overlaps = np.zeros((3, n, n, means.size))
    for mean in range(means.size):
        at = np.flatnonzero(i + j == mean)
        for o, power in enumerate((0, 2, 4)):
            factor = 1.0 if power == 0 else x[i[at]] ** power + x[j[at]] ** power
            g = functions[at]
            overlaps[o, :, :, mean] = (g * (weight[at] * factor)[:, None]).T @ g
    return Block(2, means, overlaps, eigenvalues, (first + second) % 2)
