"""How much memory a run will need, from its run file alone. No JAX here."""

import math
import os
from collections import Counter
from collections.abc import Collection
from itertools import pairwise
from pathlib import Path

from genlat.families.model_sections import (
    AbstractSpinSection,
    CoarseToFineSection,
    CouplingSection,
    DenseSpinSection,
    ModelSection,
    PixelCnnSection,
)

Shape = tuple[int, ...]

# Bytes per number: flows run in float32, chains and measurements in float64.
_SINGLE, _DOUBLE = 4, 8

KEY = 32
"""Bytes of one draw of a batch beside its configuration: its key, its weight."""

# Fields that the conditioner of a layer puts out.
_OUTPUTS = {"nice": 1, "realnvp": 2, "spline": 25}


def available_bytes() -> int:
    """Memory that can be had without swapping."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def training_bytes(lattice_shape: Shape, model: ModelSection, batch: int) -> int:
    """One training step: what the backward pass needs of the forward one, and its work.

    A continuous flow keeps a state per Runge-Kutta step, and the harmonics, channels
    and derivatives of the four stages of one step; a coupling flow the activations of
    every layer. The images of a symmetrised model pass through it side by side.
    """
    if isinstance(model, AbstractSpinSection):
        numbers = 3 * _spin_numbers(lattice_shape, model)
    elif isinstance(model, CouplingSection):
        numbers = model.layers * _layer_numbers(lattice_shape, model, sum(model.hidden))
        numbers += _neighbourhood_numbers(lattice_shape, model)
    else:
        stage = 2 * model.features + 4 * model.channels + 8
        numbers = math.prod(lattice_shape) * (3 * model.n_steps + 4 * stage)
    return batch * group_order(lattice_shape, model.symmetrize) * numbers * _SINGLE


def sampling_bytes(lattice_shape: Shape, model: ModelSection, batch: int) -> int:
    """One batch of samples: no derivatives, so one stage or layer at a time."""
    if isinstance(model, AbstractSpinSection):
        numbers = _spin_numbers(lattice_shape, model)
    elif isinstance(model, CouplingSection):
        numbers = _layer_numbers(lattice_shape, model, max(model.hidden, default=1))
        numbers += _neighbourhood_numbers(lattice_shape, model)
    else:
        stage = 2 * model.features + 4 * model.channels + 8
        numbers = math.prod(lattice_shape) * stage
    return batch * group_order(lattice_shape, model.symmetrize) * numbers * _SINGLE


def group_order(lattice_shape: Shape, names: Collection[str]) -> int:
    """Elements of `genlat.lattice.symmetry_group`."""
    order = 2 if "sign" in names else 1
    if "translations" in names:
        order *= math.prod(lattice_shape)
    if "point_group" in names:
        wide = [extent for extent in lattice_shape if extent > 1]
        order *= math.prod(math.factorial(n) for n in Counter(wide).values())
        order *= 2 ** sum(extent > 2 for extent in wide)
    return order


def _layer_numbers(lattice_shape: Shape, model: CouplingSection, width: int) -> int:
    """What a layer holds of one configuration; its derivatives are as many again."""
    volume = math.prod(lattice_shape)
    sites = volume if model.conditioner == "conv" else 1
    return 2 * width * sites + (2 * _OUTPUTS[model.name] + 4) * volume


def _neighbourhood_numbers(lattice_shape: Shape, model: CouplingSection) -> int:
    """What one convolution gathers, and its derivative: needed one at a time."""
    if model.conditioner != "conv":
        return 0
    kernel = model.kernel_size ** len(lattice_shape)
    widest = max((_OUTPUTS[model.name], *model.hidden))
    return 2 * kernel * widest * math.prod(lattice_shape)


def _seen(volume: int, model: CoarseToFineSection) -> int:
    """Known spins that one spin sees, at most."""
    return min(math.ceil(math.pi * min(model.reach, volume) ** 2), volume)


def weight_bytes(lattice_shape: Shape, model: ModelSection) -> int:
    """Weights in training, at the least: with gradient, Adam's two and a mask."""
    volume = math.prod(lattice_shape)
    if isinstance(model, DenseSpinSection):
        return _dense_spin_bytes(lattice_shape, model)
    if isinstance(model, CouplingSection):
        is_dense = model.conditioner == "dense"
        sites = volume if is_dense else 1
        widths = (sites, *model.hidden, _OUTPUTS[model.name] * sites)
        kernel = 1 if is_dense else model.kernel_size ** len(lattice_shape)
        numbers = model.layers * kernel * sum(a * b for a, b in pairwise(widths))
    elif isinstance(model, CoarseToFineSection):
        inside = (model.depth - 1) * model.width**2
        numbers = _seen(volume, model) * model.width + inside
    elif isinstance(model, PixelCnnSection):
        window = (2 * model.half_kernel + 1) ** 2
        numbers = window * model.width * (1 + (model.depth - 2) * model.width)
    else:
        numbers = model.channels * (model.kernel_terms + model.features)
        numbers += model.channels * model.mixing_terms * model.features
    return 5 * numbers * _SINGLE


def _dense_spin_bytes(lattice_shape: Shape, model: DenseSpinSection) -> int:
    n_spins = math.prod(lattice_shape)
    if model.name == "hierarchical":
        n_spins = 2 * max(lattice_shape)  # the frame, which is the largest network
    units = n_spins * model.width
    if model.depth == 1:
        return 5 * n_spins**2 * _SINGLE
    return 5 * (2 * n_spins * units + (model.depth - 2) * units**2) * _SINGLE


def _spin_numbers(lattice_shape: Shape, model: AbstractSpinSection) -> int:
    """What a network of spins holds of one configuration: what it sees, all layers."""
    volume = math.prod(lattice_shape)
    if isinstance(model, CoarseToFineSection):
        seen = _seen(volume, model)
        return volume * (seen + 2 * model.depth * model.width)
    if isinstance(model, PixelCnnSection):
        window = (2 * model.half_kernel + 1) * (model.half_kernel + 1)
        return volume * model.width * (window + 2 * model.depth)
    assert isinstance(model, DenseSpinSection)
    return volume * (1 + 2 * model.depth * model.width)


def measurement_bytes(lattice_shape: Shape) -> int:
    """All measurements of one configuration: joined, in the order of a chain, and work.

    Measured: 280 bytes a draw of 4 x 4, where this says 304.
    """
    return (2 * (13 + lattice_shape[0] // 2) + 8) * _DOUBLE


def chain_bytes(lattice_shape: Shape, samples: int) -> int:
    """One chain: its measurements, and the work of one step."""
    state = 12 * math.prod(lattice_shape) * _DOUBLE
    return samples * measurement_bytes(lattice_shape) + state


def snapshot_bytes(volume: int, each: int) -> int:
    """One stored configuration of a chain, twice: in its block and joined."""
    return 2 * volume * each


def replay_bytes(volume: int, generations: int) -> int:
    """One draw of every generation: a generation's fields, those chosen, weights."""
    return 4 * volume * _SINGLE + generations * 4 * _DOUBLE


def spelt(n_bytes: int) -> str:
    """`71 GiB`, `3.4 MiB`."""
    size, units = float(min(n_bytes, 2**100)), ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size:.3g} {units[0]}"
