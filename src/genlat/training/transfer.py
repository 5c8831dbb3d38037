"""Warm starts: a trained model as the first guess on a larger lattice."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from genlat import lattice, symmetry
from genlat.models.autoregressive.blocks import AbstractBlock, Learned
from genlat.models.autoregressive.coarse_to_fine import CoarseToFine
from genlat.models.cnf import CNF
from genlat.models.flow import Flow
from genlat.models.vector_field import SineField


def enlarge(source: CNF, lattice_shape: tuple[int, ...]) -> CNF:
    """The flow of `source` carried over to a lattice of at least the same extents.

    Every function of momentum (kernels, linear part, logarithm of the prior's spectrum)
    is taken to real space, padded with zeros and taken back: a local flow stays what it
    was. On the same lattice it is the same flow.

    **Raises:** `ValueError` for another dimension, a smaller extent, or a lattice with
    a symmetry that the source has not learned (equal extents from unequal ones).
    """
    old = source.lattice_shape
    _check_larger(old, lattice_shape)
    if lattice_shape == old:
        return source
    field = source.field
    n_mixing_terms, n_channels, n_features = field.mixing.shape
    blank = SineField(
        lattice_shape,
        frequency=float(field.frequency),
        n_features=n_features,
        n_channels=n_channels,
        n_kernel_terms=len(field.kernel),
        n_mixing_terms=n_mixing_terms,
        key=jr.key(0),
        components=field.components,
    )
    new_field = eqx.tree_at(
        lambda field: (field.kernel, field.linear, field.mixing),
        blank,
        (
            pad_kernel(field.kernel, old, lattice_shape),
            pad_kernel(field.linear, old, lattice_shape),
            field.mixing,
        ),
    )
    prior = source.prior.on(lattice_shape, lambda x: pad_kernel(x, old, lattice_shape))
    return CNF(prior, new_field, n_steps=source.n_steps)


def enlarge_couplings(source: Flow, blank: Flow) -> Flow:
    """A coupling flow carried over to the lattice of `blank`, built of the same layers.

    Convolutions and the map of the zero mode stay as they are; functions of momentum
    (the prior's log-spectrum, `FourierScaling`) are padded in real space.

    **Raises:** `ValueError` as `enlarge`, and for fully connected networks, which know
    their lattice.
    """
    old, new = source.lattice_shape, blank.lattice_shape
    _check_larger(old, new)
    n_orbits = [len(lattice.momentum_orbits(shape)[1]) for shape in (old, new)]
    leaves, wanted = jax.tree.leaves(source), jax.tree.leaves(blank)
    carried = []
    for leaf, like in zip(leaves, wanted, strict=True):
        if leaf.shape == like.shape:
            carried.append(leaf)
        elif [*leaf.shape, *like.shape] == n_orbits:
            carried.append(pad_kernel(leaf, old, new))
        else:
            raise ValueError(
                f"parameters {leaf.shape} do not fit {like.shape} on {new}"
            )
    return jax.tree.unflatten(jax.tree.structure(blank), carried)


def refine(source: CoarseToFine, blank: CoarseToFine) -> CoarseToFine:
    """`blank`, on a larger lattice, with the networks of `source`.

    Levels are counted from the finest, where the spins do not know the lattice's size.
    A level that the source lacks, or has on too small a lattice, is the next finer one:
    near a critical point all scales look alike. What no level of the source has stays
    as it is, and so do biases where only one of the models has any.
    """
    levels = []
    for number, level in enumerate(reversed(blank.levels)):
        own_and_finer = source.levels[::-1][number::-1]
        levels.append(tuple(_found(block, own_and_finer) for block in level))
    return eqx.tree_at(lambda model: model.levels, blank, tuple(reversed(levels)))


def _found(
    wanted: AbstractBlock, levels: Sequence[Sequence[AbstractBlock]]
) -> AbstractBlock:
    """`wanted` with the networks of the first block that sees the same, if any."""
    if not isinstance(wanted, Learned):
        return wanted
    for found in (block for level in levels for block in level):
        if not isinstance(found, Learned):
            continue
        if (found.starts, found.offsets) == (wanted.starts, wanted.offsets):
            biases = found.biases if len(found.biases) == len(wanted.biases) else None
            return eqx.tree_at(
                lambda block: (block.weights, block.direct, block.biases),
                wanted,
                (found.weights, found.direct, biases or wanted.biases),
            )
    return wanted


def _check_larger(old: tuple[int, ...], new: tuple[int, ...]) -> None:
    if len(old) != len(new) or any(b < a for a, b in zip(old, new, strict=True)):
        raise ValueError(f"cannot carry a flow from {old} to {new}")
    if len(symmetry.point_group(new)) > len(symmetry.point_group(old)):
        raise ValueError(f"{new} has symmetries that {old} lacks")


def pad_kernel(
    by_orbit: Float[Array, "*terms orbits"],
    old: tuple[int, ...],
    new: tuple[int, ...],
) -> Float[Array, "*terms new_orbits"]:
    """A function on momentum orbits, through zero-padded real space, to a new lattice.

    The shell at half an even extent stands for both of its signs, half each.
    """
    index, _ = lattice.momentum_orbits(old)
    _, momenta_new = lattice.momentum_orbits(new)
    # one row per |k| of every axis: the grid that the maps of the axes act on
    corner = np.ix_(
        *(np.unique(lattice.real_momenta(n), return_index=True)[1] for n in old)
    )
    values = by_orbit[..., index[corner]]
    for axis, (extent, new_extent) in enumerate(zip(old, new, strict=True)):
        matrix = jnp.asarray(_pad_axis(extent, new_extent), values.dtype)
        position = values.ndim - len(old) + axis
        values = jnp.moveaxis(
            jnp.tensordot(values, matrix, (position, 1)), -1, position
        )
    return values[(..., *momenta_new.T)]


def _pad_axis(old: int, new: int) -> Float[np.ndarray, "new_momenta momenta"]:
    """Momentum |k| of one axis to real space, zero-padded, to momentum |k'|."""
    k, distance = np.arange(old // 2 + 1), np.arange(old // 2 + 1)
    is_single = (k == 0) | (2 * k == old)
    # multiplicity of ±k in the transform, and of ±x in its inverse, are the same
    multiplicity = np.where(is_single, 1, 2)
    to_real = np.cos(2 * np.pi * np.outer(distance, k) / old) * multiplicity / old
    k_new = np.arange(new // 2 + 1)
    to_momentum = np.cos(2 * np.pi * np.outer(k_new, distance) / new) * multiplicity
    return to_momentum @ to_real
