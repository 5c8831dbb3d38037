"""Whether an action of one's own is one, and has what it declares: by its numbers."""

import math
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

from genlat.actions.field import FieldAction
from genlat.symmetry import Symmetry

SIZES = (0.0, 0.8, 1.9)  # of fields that S is asked at; 0 is φ = 0
TOLERANCE = 1e-9
"""Of S, relative to the largest |S| that was met: what float64 leaves of a sum."""


def faults(action: FieldAction) -> Iterator[str]:
    """What is wrong, in words: S is no number somewhere, or a symmetry does not hold.

    Of every group that is declared its generators are tried, on random fields.
    """
    shape, rng = action.lattice_shape, np.random.default_rng(0)
    fields = [size * rng.standard_normal(shape) for size in SIZES]
    values = [float(action(jnp.asarray(phi))) for phi in fields]
    for size, value in zip(SIZES, values, strict=True):
        if not math.isfinite(value):
            where = f"a random field of size {size:g}" if size else "φ = 0"
            yield f"S is {value} at {where}"
            return
    scale = max(map(abs, values), default=0.0) or 1.0
    for name in action.symmetries:
        worst = worst_change(action, generators(name, shape), fields[1:])
        if not worst <= TOLERANCE * scale:
            yield (
                f"declares {name!r}, but S changes by {worst:.3g} under it, where it "
                f"is {values[-1]:.4g}"
            )


def worst_change(
    action: FieldAction, maps: list[Symmetry], fields: list[np.ndarray]
) -> float:
    """The largest |S(gφ) - S(φ)|; 0 without maps."""
    changes = [
        abs(float(action(g.apply(jnp.asarray(phi)))) - float(action(jnp.asarray(phi))))
        for g in maps
        for phi in fields
    ]
    return max(changes, default=0.0)


def generators(name: str, shape: tuple[int, ...]) -> list[Symmetry]:
    """Maps of which every element of a group of `symmetry.LATTICE` is made."""
    d = len(shape)
    none, plain, still = (0,) * d, tuple(range(d)), (False,) * d
    if name == "sign":
        return [Symmetry(shape, -1, none, plain, still)]
    if name == "translations":
        return [
            Symmetry(shape, 1, tuple(int(a == axis) for a in range(d)), plain, still)
            for axis in range(d)
            if shape[axis] > 1
        ]
    if name != "point_group":
        raise ValueError(f"no group is called {name!r}")
    flips = [
        Symmetry(shape, 1, none, plain, tuple(a == axis for a in range(d)))
        for axis in range(d)
        if shape[axis] > 2
    ]
    swaps = []
    for one in range(d):
        for two in range(one + 1, d):
            if shape[one] == shape[two] > 1:
                order = list(plain)
                order[one], order[two] = two, one
                swaps.append(Symmetry(shape, 1, none, tuple(order), still))
    return [*flips, *swaps]
