"""How much memory a run will need, from its run file alone. No JAX here."""

import os
from pathlib import Path

from genlat.runs.sections import ModelSection

# Bytes per number: flows run in float32, chains and measurements in float64.
_SINGLE, _DOUBLE = 4, 8


def available_bytes() -> int:
    """Memory that can be had without swapping."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def training_bytes(volume: int, model: ModelSection, batch: int) -> int:
    """One training step: a state per Runge-Kutta step and the work of one step.

    The four stages of a step each hold harmonics, channels, and their derivatives.
    """
    fields = 3 * model.n_steps + 4 * (2 * model.features + 4 * model.channels + 8)
    return batch * volume * fields * _SINGLE


def sampling_bytes(volume: int, model: ModelSection, batch: int) -> int:
    """One batch of samples: no derivatives, so one stage at a time."""
    fields = 2 * model.features + 4 * model.channels + 8
    return batch * volume * fields * _SINGLE


def measurement_bytes(lattice_shape: tuple[int, ...]) -> int:
    """All measurements of one configuration, twice: on disk's way in and out."""
    return 2 * (13 + lattice_shape[0] // 2) * _DOUBLE


def chain_bytes(lattice_shape: tuple[int, ...], samples: int) -> int:
    """One chain: its measurements, and the work of one step."""
    volume = 1
    for extent in lattice_shape:
        volume *= extent
    return samples * measurement_bytes(lattice_shape) + 12 * volume * _DOUBLE


def snapshot_bytes(volume: int) -> int:
    """One stored configuration of a chain, twice: in its block and joined."""
    return 2 * volume * _SINGLE


def spelt(n_bytes: int) -> str:
    """`71 GiB`, `3.4 MiB`."""
    size, units = float(n_bytes), ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size:.3g} {units[0]}"
