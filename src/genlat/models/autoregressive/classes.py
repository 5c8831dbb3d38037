"""Classes of sites of the levels of a coarse-to-fine model: no spins, only places."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

Site = tuple[int, int]

NEIGHBOURS: tuple[Site, ...] = ((1, 0), (-1, 0), (0, 1), (0, -1))
LARGEST_BASE = 36  # sites; each has a network of its own, that sees all before it


class Classes(NamedTuple):
    """The sites `starts[i]` + `stride` · ℤ² of a lattice of `extents`, for every i.

    `offsets[i]`: where what they see is, relative to a site.
    """

    starts: tuple[Site, ...]
    stride: Site
    extents: Site
    offsets: tuple[tuple[Site, ...], ...]


def coarsest(lattice_shape: tuple[int, ...]) -> Site:
    """The extents, halved as often as both are even.

    **Raises:** `ValueError` for other than two extents, or too many sites left.
    """
    if len(lattice_shape) != 2 or min(lattice_shape) < 1:
        raise ValueError(f"wanted two extents of at least 1, got {lattice_shape}")
    first, second = lattice_shape
    while first % 2 == 0 and second % 2 == 0:
        first, second = first // 2, second // 2
    if first * second > LARGEST_BASE:
        raise ValueError(
            f"halving {lattice_shape} while both are even leaves {first} x {second}: "
            f"at most {LARGEST_BASE} sites are drawn one by one"
        )
    return first, second


def one_by_one(extents: Site) -> tuple[Site, ...]:
    """Every site of the coarsest lattice, one by one."""
    return tuple((i, j) for i in range(extents[0]) for j in range(extents[1]))


def between(stride: Site) -> tuple[Site, ...]:
    """The classes of new sites of a level: centres, then middles of bonds.

    The classes of a kind come in an order that keeps early ones far from each other.
    """
    places = sorted(
        ((i, j) for i in range(0, stride[0], 2) for j in range(0, stride[1], 2)),
        key=lambda place: (sum(place) // 2 % 2, place),
    )
    kinds = ((1, 1), (0, 1), (1, 0))
    return tuple((i + x, j + y) for x, y in kinds for i, j in places)


def stride_on(extents: Site) -> Site:
    """Between sites of a class: twice the least divisor of half an extent above 1."""
    first, second = (
        2 * next((n for n in range(2, half + 1) if half % n == 0), 1)
        for half in (extents[0] // 2, extents[1] // 2)
    )
    return first, second


def seeing(
    starts: tuple[Site, ...], stride: Site, extents: Site, *, known: bool, reach: float
) -> Classes:
    """Classes filled in this order, which each see all before them within `reach`.

    **Arguments:** `known`, whether every other site of both axes is filled already.
    """
    filled = np.zeros(extents, bool)
    filled[::2, ::2] = known
    offsets = []
    for start in starts:
        offsets.append(_known_around(filled, start, reach))
        filled[start[0] :: stride[0], start[1] :: stride[1]] = True
    return Classes(starts, stride, extents, tuple(offsets))


def _known_around(
    known: Bool[np.ndarray, "m0 m1"], site: Site, reach: float
) -> tuple[Site, ...]:
    """Offsets of the known sites within `reach` of a site, each site once."""
    ranges = [range(-((extent - 1) // 2), extent // 2 + 1) for extent in known.shape]
    return tuple(
        (x, y)
        for x in ranges[0]
        for y in ranges[1]
        if known[(site[0] + x) % known.shape[0], (site[1] + y) % known.shape[1]]
        and math.hypot(x, y) <= reach
    )
