"""Whether an action of one's own is one, and has what it declares: by its numbers."""

import math
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from genlat.actions.field import FieldAction
from genlat.symmetry import Symmetry
from genlat.theories import live

SIZES = (0.8, 1.9)
"""Of the fields that S is asked at, as they are and in units of what S wants."""

TOLERANCE = 1e-9
"""Of S, relative to the largest |S| that was met: what float64 leaves of a sum."""

OFF = 1e-5
"""Of a force, relative to the largest: it moves chains, whose S is right."""


def faults(action: FieldAction) -> Iterator[str]:
    """What is wrong, in words; an error in what a user wrote is raised as it is.

    S, its force and what is measured are numbers at φ = 0 and at random fields; a force
    that is written is minus the slope of S. Of every group that is declared the
    generators are tried.
    """
    shape, rng = action.lattice_shape, np.random.default_rng(0)
    compiled = jax.jit(lambda phi: (action(phi), action.force(phi)))
    start = action(jnp.zeros(shape))
    if not math.isfinite(float(start)):
        yield f"S is {float(start)} at φ = 0"
        return
    if (found := jax.eval_shape(compiled, jnp.zeros(shape))[1].shape) != shape:
        yield f"its force has the shape {found}, not {shape}"
        return
    fields = [
        unit * size * rng.standard_normal(shape)
        for unit in (1.0, live.scale(action))
        for size in SIZES
    ]
    values, forces = zip(*(compiled(jnp.asarray(phi)) for phi in fields), strict=True)
    for phi, value, force in zip(fields, values, forces, strict=True):
        if not (math.isfinite(float(value)) and np.all(np.isfinite(force))):
            what = "its force is no number" if math.isfinite(value) else f"S is {value}"
            yield f"{what} at a random field of size {np.std(phi):.2g}"
            return
    yield from _wrong_force(action, fields, forces)
    yield from _no_numbers(action, fields)
    half = len(SIZES)
    for name in action.symmetries:
        maps = generators(name, shape)
        broken = (
            _broken(action, name, maps, x) for x in (fields[:half], fields[half:])
        )
        yield from [said for said in broken if said][:1]


def _broken(
    action: FieldAction, name: str, maps: list[Symmetry], fields: list[np.ndarray]
) -> str | None:
    scale = max(abs(float(action(jnp.asarray(phi)))) for phi in fields) or 1.0
    worst = worst_change(action, maps, fields)
    if worst <= TOLERANCE * scale:
        return None
    return (
        f"declares {name!r}, but S changes by {worst:.3g} under it, where it is "
        f"{scale:.4g}"
    )


def _wrong_force(
    action: FieldAction, fields: list[np.ndarray], forces: tuple[Array, ...]
) -> Iterator[str]:
    if type(action).force is FieldAction.force:
        return
    slope = jax.jit(jax.grad(lambda phi: action(phi)))
    worst = max(
        float(np.max(np.abs(force + slope(jnp.asarray(phi)))) / np.max(np.abs(force)))
        for phi, force in zip(fields, forces, strict=True)
        if np.any(force)
    )
    if not worst <= OFF:
        yield f"its force is not minus the slope of S: off by a relative {worst:.2g}"


def _no_numbers(action: FieldAction, fields: list[np.ndarray]) -> Iterator[str]:
    """What is measured, at random fields."""
    measure = jax.jit(lambda phi: action.observables(phi))
    for phi in fields:
        for name, value in measure(jnp.asarray(phi)).items():
            if not np.all(np.isfinite(value)):
                size = f"{np.std(phi):.2g}"
                yield f"{name} is {value} at a random field of size {size}"
                return


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
