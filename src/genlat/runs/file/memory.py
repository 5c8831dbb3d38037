"""How much memory a run will need, from its run file alone. No JAX here."""

import math
import os
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from genlat.families.base import AbstractModelSection, Shape

# Bytes per number: flows run in float32, chains and measurements in float64.
_SINGLE, _DOUBLE = 4, 8

KEY = 32
"""Bytes of one draw of a batch beside its configuration: its key, its weight."""


def available_bytes() -> int:
    """Memory that can be had without swapping."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def training_bytes(
    lattice_shape: Shape, model: AbstractModelSection, batch: int, n_components: int = 1
) -> int:
    """One training step, its weights apart (`trained_weight_bytes`).

    Images of a symmetrised model pass through side by side.
    """
    order = group_order(lattice_shape, model.symmetrize, n_components)
    numbers = n_components * model.training_numbers(lattice_shape)
    return batch * order * numbers * _SINGLE


def sampling_bytes(
    lattice_shape: Shape, model: AbstractModelSection, batch: int, n_components: int = 1
) -> int:
    """One batch of samples, the weights apart (`weight_bytes`)."""
    order = group_order(lattice_shape, model.symmetrize, n_components)
    numbers = n_components * model.sampling_numbers(lattice_shape)
    return batch * order * numbers * _SINGLE


def group_order(
    lattice_shape: Shape, names: Collection[str], n_components: int = 1
) -> int:
    """Elements of `genlat.symmetry.group`."""
    order = 2 if "sign" in names else 1
    if "permutations" in names:
        order *= math.factorial(n_components)
    if "translations" in names:
        order *= math.prod(lattice_shape)
    if "point_group" in names:
        wide = [extent for extent in lattice_shape if extent > 1]
        order *= math.prod(math.factorial(n) for n in Counter(wide).values())
        order *= 2 ** sum(extent > 2 for extent in wide)
    return order


def weight_bytes(lattice_shape: Shape, model: AbstractModelSection) -> int:
    """Weights of all nodes, at the least, in drawing: as they are on disk and, masked
    or in another order, as they are used.
    """
    return 2 * _weights(lattice_shape, model) * _SINGLE


def trained_weight_bytes(lattice_shape: Shape, model: AbstractModelSection) -> int:
    """The same in training: with Adam's two numbers, before and after a step.

    The gradient takes the place of what comes after.
    """
    return 6 * _weights(lattice_shape, model) * _SINGLE


def _weights(lattice_shape: Shape, model: AbstractModelSection) -> int:
    nodes = math.prod(len(nodes) for nodes in model.nodes.values())
    return nodes * model.weights(lattice_shape)


def measurement_bytes(lattice_shape: Shape) -> int:
    """All measurements of one configuration: joined, in the order of a chain, and work.

    Measured: 280 bytes a draw of 4 x 4, where this says 304.
    """
    return (2 * (13 + lattice_shape[0] // 2) + 8) * _DOUBLE


def chain_bytes(lattice_shape: Shape, samples: int, n_components: int = 1) -> int:
    """One chain: its measurements, and the work of one step."""
    state = 12 * n_components * math.prod(lattice_shape) * _DOUBLE
    return samples * measurement_bytes(lattice_shape) + state


def snapshot_bytes(numbers: int, each: int) -> int:
    """One stored configuration of a chain, twice: in its block and joined."""
    return 2 * numbers * each


def replay_bytes(numbers: int, generations: int) -> int:
    """One draw of every generation: a generation's fields, those chosen, weights."""
    return 4 * numbers * _SINGLE + generations * 4 * _DOUBLE


def spelt(n_bytes: int) -> str:
    """`71 GiB`, `3.4 MiB`."""
    size, units = float(min(n_bytes, 2**100)), ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size:.3g} {units[0]}"
