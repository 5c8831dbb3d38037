"""The Ising model by enumeration of all configurations: up to 20 sites, any lattice."""

import math

import numpy as np


def configurations(shape):
    """All 2^V of them as int8; bit i of the number is set where site i is down."""
    volume = math.prod(shape)
    assert volume <= 20
    bits = (np.arange(2**volume)[:, None] >> np.arange(volume)) & 1
    return (1 - 2 * bits).astype(np.int8).reshape(-1, *shape)


def energies(spins, field=0.0):
    """H of every configuration: one bond per site and direction."""
    wide = spins.astype(float)
    axes = tuple(range(1, spins.ndim))
    bonds = sum((wide * np.roll(wide, -1, axis)).sum(axes) for axis in axes)
    return -bonds - field * wide.sum(axes)


def boltzmann(shape, beta, field=0.0):
    """p of every configuration, and ln Z."""
    exponents = -beta * energies(configurations(shape), field)
    log_z = np.logaddexp.reduce(exponents)
    return np.exp(exponents - log_z), float(log_z)


def enumerated(shape, beta, field=0.0):
    """Exact averages under the keys of `results.json`."""
    spins, volume = configurations(shape).astype(float), math.prod(shape)
    p, log_z = boltzmann(shape, beta, field)
    action = beta * energies(spins, field)
    flat = spins.reshape(len(p), shape[0], -1)
    m, slices = flat.mean((1, 2)), flat.sum(2) / math.sqrt(flat.shape[2])
    lags = range(shape[0] // 2 + 1)
    mean = p @ action
    return {
        "log_z": log_z,
        "action_density": mean / volume,
        "specific_heat": p @ (action - mean) ** 2 / volume,
        "entropy_density": -np.sum(p * np.log(p)) / volume,
        "free_energy_density": -log_z / volume,
        "energy_density": p @ energies(spins, field) / volume,
        "mag": p @ m,
        "abs_mag": p @ np.abs(m),
        "mag2": p @ m**2,
        "mag4": p @ m**4,
        "binder": 1 - p @ m**4 / (3 * (p @ m**2) ** 2),
        "susceptibility": volume * (p @ m**2 - (p @ np.abs(m)) ** 2),
        "two_point": np.array(
            [p @ np.mean(slices * np.roll(slices, -t, 1), 1) for t in lags]
        ),
    }
