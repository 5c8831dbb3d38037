"""Periodic hypercubic geometry: neighbours, masks, momenta, symmetry orbits.

Everything takes a lattice shape `(L₀, ..., L_{d-1})`, axis 0 being Euclidean time, or
one configuration of that shape. Lattice units, a = 1.
"""

import math

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Shaped


def check_shape(lattice_shape: tuple[int, ...]) -> None:
    """Refuse a lattice without axes or with an extent smaller than 1.

    **Raises:** `ValueError`.
    """
    if not lattice_shape or any(extent < 1 for extent in lattice_shape):
        raise ValueError(f"every lattice extent must be >= 1, got {lattice_shape}")


def volume(lattice_shape: tuple[int, ...]) -> int:
    """Number of sites V."""
    return math.prod(lattice_shape)


def forward_neighbour_sum(
    phi: Shaped[Array, "*lattice"], d: int | None = None
) -> Shaped[Array, "*lattice"]:
    """Σ_μ φ_{x+μ}. An extent of 2 meets its neighbour here and again going back.

    **Arguments:** `d`: axes of the lattice, if others are behind them.
    """
    axes = range(phi.ndim if d is None else d)
    return sum_arrays([jnp.roll(phi, -1, axis) for axis in axes])


def neighbour_sum(
    phi: Shaped[Array, "*lattice"], d: int | None = None
) -> Shaped[Array, "*lattice"]:
    """Σ_μ (φ_{x+μ} + φ_{x-μ}), all 2d neighbours; `d` as `forward_neighbour_sum`."""
    axes = range(phi.ndim if d is None else d)
    return sum_arrays([_neighbour_sum_along(phi, axis) for axis in axes])


def _neighbour_sum_along(
    phi: Shaped[Array, "*lattice"], axis: int
) -> Shaped[Array, "*lattice"]:
    """Both neighbours along one axis, in three zero-padded pieces.

    Under `vmap` a pad leaves the mapped axis where it is, which `jnp.roll` does not;
    with that axis last it compiles to a loop 2-4 times faster on CPU.
    """
    extent = phi.shape[axis]
    if extent == 1:
        return 2 * phi

    def piece(start: int, stop: int) -> Shaped[Array, "*part"]:
        return lax.slice_in_dim(phi, start, stop, axis=axis)

    def place(part: Shaped[Array, "*part"], start: int) -> Shaped[Array, "*lattice"]:
        widths = [(0, 0, 0)] * phi.ndim
        widths[axis] = (start, extent - start - part.shape[axis], 0)
        return lax.pad(part, jnp.zeros((), phi.dtype), widths)

    first = piece(extent - 1, extent) + piece(1, 2)
    inner = piece(0, extent - 2) + piece(2, extent)
    last = piece(extent - 2, extent - 1) + piece(0, 1)
    return place(first, 0) + place(inner, 1) + place(last, extent - 1)


def sum_arrays(arrays: list[Shaped[Array, "*shape"]]) -> Shaped[Array, "*shape"]:
    """Sum of equally shaped arrays, without the 0 that `sum` starts from."""
    total = arrays[0]
    for array in arrays[1:]:
        total = total + array
    return total


def checkerboard_mask(
    lattice_shape: tuple[int, ...], parity: int
) -> Bool[np.ndarray, "*lattice"]:
    """Sites with (Σ_μ x_μ) mod 2 = `parity`; no two are neighbours.

    **Raises:** `ValueError` for an odd extent (1 excepted: a direction without
    neighbours of its own) or a parity other than 0 and 1.
    """
    if any(extent % 2 and extent > 1 for extent in lattice_shape):
        raise ValueError(f"a checkerboard needs even extents, got {lattice_shape}")
    if parity not in (0, 1):
        raise ValueError(f"parity must be 0 or 1, got {parity}")
    return np.indices(lattice_shape).sum(axis=0) % 2 == parity


def colour_masks(
    lattice_shape: tuple[int, ...],
) -> Bool[np.ndarray, "colours *lattice"]:
    """Classes of sites without neighbours among them: a checkerboard, or three classes.

    Around an even extent the colour alternates. Around an odd one it runs 0, 1, 0, 1,
    ..., 2, where no step is a multiple of 3; so are none of the sums modulo 3 over all
    axes. A site is its own neighbour along an extent of 1, which is not meant.
    """
    check_shape(lattice_shape)
    is_even = all(extent % 2 == 0 or extent == 1 for extent in lattice_shape)
    total = np.zeros(lattice_shape, int)
    for axis, extent in enumerate(lattice_shape):
        colour = np.arange(extent) % 2
        if extent % 2 and extent > 1:
            colour[-1] = 2
        total += np.expand_dims(
            colour, tuple(i for i in range(len(lattice_shape)) if i != axis)
        )
    n_colours = 2 if is_even else 3
    masks = total % n_colours == np.arange(n_colours).reshape(
        -1, *(1 for _ in lattice_shape)
    )
    return masks[masks.reshape(n_colours, -1).any(axis=1)]


def hopping_spectrum(lattice_shape: tuple[int, ...]) -> Float[np.ndarray, "*lattice"]:
    """Σ_μ cos p_μ with p_μ = 2π k_μ / L_μ, at index k: eigenvalues of the hopping."""
    cosines = [np.cos(2 * np.pi * np.arange(n) / n) for n in lattice_shape]
    return sum(np.meshgrid(*cosines, indexing="ij"), np.zeros(lattice_shape))


def real_fourier_matrix(extent: int) -> Float[np.ndarray, "extent extent"]:
    """Orthogonal matrix whose rows are the real Fourier modes of one axis.

    Row 0 is constant; rows 2m-1 and 2m are √(2/L) cos and sin of 2π m x / L; for even L
    the last row is the alternating mode. A real kernel that is even on this axis acts
    diagonally between these rows: `real_momenta` gives the |k| of each row.
    """
    x = np.arange(extent)
    rows = [np.full(extent, 1 / math.sqrt(extent))]
    for m in range(1, (extent - 1) // 2 + 1):
        angle = 2 * np.pi * m * x / extent
        rows += [math.sqrt(2 / extent) * f(angle) for f in (np.cos, np.sin)]
    if extent % 2 == 0:
        rows.append((-1.0) ** x / math.sqrt(extent))
    return np.stack(rows)


def real_momenta(extent: int) -> Int[np.ndarray, " extent"]:
    """|k| of each row of `real_fourier_matrix`: 0, 1, 1, 2, 2, ..., L/2."""
    return (np.arange(extent) + 1) // 2


def momentum_orbits(
    lattice_shape: tuple[int, ...],
) -> tuple[Int[np.ndarray, "*lattice"], Int[np.ndarray, "orbits d"]]:
    """Orbits of momenta under the lattice's point group.

    The group reflects every axis and permutes axes of equal extent: D4 on a square,
    the four reflections on a rectangle. Momenta are indexed as the rows of
    `real_fourier_matrix` on each axis.

    **Returns:** the orbit number at every momentum, and for every orbit one
    representative (|k₀|, ..., |k_{d-1}|), sorted within axes of equal extent.
    """
    axes = np.meshgrid(*map(real_momenta, lattice_shape), indexing="ij")
    momenta = np.stack(axes, axis=-1)
    for extent in set(lattice_shape):
        same = [axis for axis, other in enumerate(lattice_shape) if other == extent]
        momenta[..., same] = np.sort(momenta[..., same], axis=-1)[..., ::-1]
    flat = momenta.reshape(-1, len(lattice_shape))
    representatives, index = np.unique(flat, axis=0, return_inverse=True)
    return index.reshape(lattice_shape), representatives
