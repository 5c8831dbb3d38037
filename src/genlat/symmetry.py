"""Symmetries of configurations: maps of sites, signs and orders of components.

Names of groups are those by which actions declare them. Lattice shapes as in `lattice`.
"""

import dataclasses
import itertools

import numpy as np
from jaxtyping import Array, Int, Shaped

from genlat.lattice import check_shape, volume

LATTICE = ("sign", "translations", "point_group")
"""Of every field; finite groups."""

INTERNAL = ("permutations", "rotations")
"""Of fields of several components: the group S_N of their orders, and O(N)."""

FINITE = (*LATTICE, "permutations")


@dataclasses.dataclass(frozen=True)
class Symmetry:
    r"""A map of configurations onto themselves: (gφ)_x = sign φ_y, y = P F (x - shift).

    F reflects axes, x to -x, and P carries axis i to axis `permutation[i]`: the point
    group acts first, keeping site 0, then the translation. Component a of the image is
    component `order[a]`. Equal maps are equal elements: shifts are kept modulo the
    extents, reflections of extents 1 and 2, permutations of axes of extent 1 and an
    order that is none are dropped. `g @ h` applies h first.

    **Arguments:**

    - `lattice_shape`: extents of the lattice.
    - `sign`: 1 or -1.
    - `shift`: sites by which every axis is moved.
    - `permutation`: of the axes, onto axes of equal extent.
    - `flips`: whether each axis is reflected.
    - `order`: a permutation of the components of φ, on its last axis; () leaves them.

    **Raises:** `ValueError` if this is no symmetry of the lattice.
    """

    lattice_shape: tuple[int, ...]
    sign: int
    shift: tuple[int, ...]
    permutation: tuple[int, ...]
    flips: tuple[bool, ...]
    order: tuple[int, ...] = ()

    def __post_init__(self):
        check_shape(self.lattice_shape)
        d = len(self.lattice_shape)
        if self.sign not in (1, -1):
            raise ValueError(f"sign must be 1 or -1, got {self.sign}")
        for name in ("shift", "flips"):
            if len(getattr(self, name)) != d:
                raise ValueError(f"{name} needs {d} entries, got {getattr(self, name)}")
        extents = self.lattice_shape
        is_permutation = sorted(self.permutation) == list(range(d))
        if not is_permutation or any(
            extents[i] != extents[p] for i, p in enumerate(self.permutation)
        ):
            raise ValueError(
                f"permutation must map axes of {extents} to axes of equal extent, "
                f"got {self.permutation}"
            )
        kept = list(range(len(self.order)))
        if sorted(self.order) != kept:
            raise ValueError(f"order must be a permutation, got {self.order}")
        shift = tuple(s % n for s, n in zip(self.shift, extents, strict=True))
        flips = tuple(f and n > 2 for f, n in zip(self.flips, extents, strict=True))
        permutation = tuple(
            i if extents[i] == 1 else p for i, p in enumerate(self.permutation)
        )
        order = () if list(self.order) == kept else self.order
        object.__setattr__(self, "shift", shift)
        object.__setattr__(self, "flips", flips)
        object.__setattr__(self, "permutation", permutation)
        object.__setattr__(self, "order", order)

    def sites(self) -> Int[np.ndarray, "*lattice"]:
        """Number of the site y, in row-major order, that every site x reads from."""
        index = np.arange(volume(self.lattice_shape)).reshape(self.lattice_shape)
        index = index.transpose(self.permutation)
        for axis, (flip, shift) in enumerate(zip(self.flips, self.shift, strict=True)):
            index = np.roll(np.flip(index, axis), 1, axis) if flip else index
            index = np.roll(index, shift, axis)
        return index

    def apply(
        self, phi: Shaped[Array, "*lattice_and_components"]
    ) -> Shaped[Array, "*lattice_and_components"]:
        """g φ.

        **Raises:** `ValueError` for a configuration on another lattice.
        """
        d = len(self.lattice_shape)
        if phi.shape[:d] != self.lattice_shape:
            raise ValueError(f"symmetry of {self.lattice_shape}, field on {phi.shape}")
        image = (
            phi.reshape(-1, *phi.shape[d:])
            .at[self.sites()]
            .get(unique_indices=True, mode="promise_in_bounds")
        )
        if self.order:
            image = image[..., np.array(self.order)]
        return image if self.sign == 1 else -image

    def inverse(self) -> "Symmetry":
        """g⁻¹."""
        back = np.argsort(self.permutation).tolist()
        return Symmetry(
            self.lattice_shape,
            self.sign,
            tuple(self.shift[i] if self.flips[i] else -self.shift[i] for i in back),
            tuple(back),
            tuple(self.flips[i] for i in back),
            tuple(np.argsort(self.order).tolist()),
        )

    def __matmul__(self, other: "Symmetry") -> "Symmetry":
        if other.lattice_shape != self.lattice_shape:
            raise ValueError(
                f"symmetries of {self.lattice_shape} and of {other.lattice_shape}"
            )
        moved = [other.shift[p] for p in self.permutation]
        return Symmetry(
            self.lattice_shape,
            self.sign * other.sign,
            tuple(
                own + (-s if flip else s)
                for own, s, flip in zip(self.shift, moved, self.flips, strict=True)
            ),
            tuple(other.permutation[p] for p in self.permutation),
            tuple(
                flip != other.flips[p]
                for p, flip in zip(self.permutation, self.flips, strict=True)
            ),
            self._order_after(other),
        )

    def _order_after(self, other: "Symmetry") -> tuple[int, ...]:
        if not (self.order and other.order):
            return self.order or other.order
        return tuple(other.order[a] for a in self.order)


def group(
    lattice_shape: tuple[int, ...], names: tuple[str, ...], n_components: int = 1
) -> tuple[Symmetry, ...]:
    """The product of named groups, each element once, the identity first.

    `"sign"` is {1, -1}, `"translations"` has one element per site, `"point_group"`
    reflects axes and permutes those of equal extent, `"permutations"` has every order
    of the components. No names: the identity alone.

    **Raises:** `ValueError` for an unknown or repeated name, or a group without end.
    """
    check_shape(lattice_shape)
    if unknown := [name for name in names if name not in FINITE]:
        raise ValueError(f"finite groups are {', '.join(FINITE)}; got {unknown}")
    if len(set(names)) < len(names):
        raise ValueError(f"every symmetry may be named once, got {names}")
    d = len(lattice_shape)
    signs = (1, -1) if "sign" in names else (1,)
    shifts = [(0,) * d]
    if "translations" in names:
        shifts = list(itertools.product(*map(range, lattice_shape)))
    points = [(tuple(range(d)), (False,) * d)]
    if "point_group" in names:
        points = point_group(lattice_shape)
    orders: list[tuple[int, ...]] = [()]
    if "permutations" in names:
        orders = list(itertools.permutations(range(n_components)))
    elements = [
        Symmetry(lattice_shape, sign, shift, permutation, flips, order)
        for order in orders
        for permutation, flips in points
        for shift in shifts
        for sign in signs
    ]
    return tuple(dict.fromkeys(elements))


def check_group(elements: tuple[Symmetry, ...]) -> None:
    """Refuse elements that are not a group: closed, each element once.

    Generators are added one by one, each at least doubling what the earlier ones
    generate, so this takes |G| log |G| products.

    **Raises:** `ValueError`.
    """
    members = set(elements)
    if not elements or len(members) < len(elements):
        raise ValueError(f"a group lists each element once, got {elements}")
    generators: list[Symmetry] = []
    generated: set[Symmetry] = set()
    for element in elements:
        if element in generated:
            continue
        generators.append(element)
        generated.add(element)
        pending = list(generated)
        while pending:
            right = pending.pop()
            for left in generators:
                product = left @ right
                if product not in members:
                    raise ValueError(
                        f"not a group: the product of {left} and {right} is missing"
                    )
                if product not in generated:
                    generated.add(product)
                    pending.append(product)


def point_group(
    lattice_shape: tuple[int, ...],
) -> list[tuple[tuple[int, ...], tuple[bool, ...]]]:
    """Elements (axis permutation, axes to reflect) of the lattice's point group.

    Reflections of extents 1 and 2, which change nothing, are listed too.
    """
    d = len(lattice_shape)
    permutations = [
        permutation
        for permutation in itertools.permutations(range(d))
        if all(lattice_shape[i] == lattice_shape[p] for i, p in enumerate(permutation))
    ]
    flips = list(itertools.product([False, True], repeat=d))
    return [(permutation, flip) for permutation in permutations for flip in flips]


def transform(
    phi: Shaped[Array, "*lattice"],
    element: tuple[tuple[int, ...], tuple[bool, ...]],
) -> Shaped[Array, "*lattice"]:
    """Apply one element of `point_group`; reflections map x to -x, keeping site 0."""
    return Symmetry(phi.shape, 1, (0,) * phi.ndim, *element).apply(phi)
