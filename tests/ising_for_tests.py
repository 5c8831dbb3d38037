"""The Ising model by enumeration of all configurations: up to 20 sites, any lattice."""

import decimal
import functools
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


@functools.cache
def _classes(shape):
    """Σ ss', Σ s of every class, its number, and the sum of its slice products."""
    spins = configurations(shape).astype(int)
    bonds, total = -energies(spins).astype(int), spins.reshape(len(spins), -1).sum(1)
    slices = spins.reshape(len(spins), shape[0], -1).sum(2)
    products = np.stack(
        [
            (slices * np.roll(slices, -lag, 1)).sum(1)
            for lag in range(shape[0] // 2 + 1)
        ],
        axis=1,
    )
    volume = math.prod(shape)
    label = (bonds + 4 * volume) * 4 * volume + total + volume
    _, first, which = np.unique(label, return_index=True, return_inverse=True)
    sums = np.zeros((len(first), products.shape[1]), int)
    np.add.at(sums, which, products)
    return bonds[first], total[first], np.bincount(which), sums


def enumerated_exactly(shape, beta, field=0.0):
    """As `enumerated`, in 60 digits: at any β, however much cancels."""
    volume = math.prod(shape)
    with decimal.localcontext(prec=60):
        coupling, h = decimal.Decimal(beta), decimal.Decimal(field)
        classes = [
            (-int(b) - h * int(m), int(m), int(n), [int(x) for x in sums])
            for b, m, n, sums in zip(*_classes(shape), strict=True)
        ]
        ground = min(coupling * energy for energy, *_ in classes)
        weights = [(ground - coupling * energy).exp() for energy, *_ in classes]
        z = sum(w * n for w, (_, _, n, _) in zip(weights, classes, strict=True))
        p = [w * n / z for w, (_, _, n, _) in zip(weights, classes, strict=True)]

        def mean(of):
            return sum(x * of(e, m) for x, (e, m, *_) in zip(p, classes, strict=True))

        log_z = z.ln() - ground
        energy = mean(lambda e, m: e)
        variance = mean(lambda e, m: (e - energy) ** 2)
        abs_mag, mag2, mag4 = (
            mean(lambda e, m, k=k: decimal.Decimal(abs(m)) ** k) / volume**k
            for k in (1, 2, 4)
        )
        two_point = [
            sum(
                w * sums[lag] / z
                for w, (*_, sums) in zip(weights, classes, strict=True)
            )
            / volume
            for lag in range(shape[0] // 2 + 1)
        ]
        values = {
            "log_z": log_z,
            "free_energy_density": -log_z / volume,
            "entropy_density": (log_z + coupling * energy) / volume,
            "energy_density": energy / volume,
            "action_density": coupling * energy / volume,
            "specific_heat": coupling**2 * variance / volume,
            "mag": mean(lambda e, m: m) / volume,
            "abs_mag": abs_mag,
            "mag2": mag2,
            "mag4": mag4,
            "binder": 1 - mag4 / (3 * mag2**2),
            "susceptibility": volume * (mag2 - abs_mag**2),
            "two_point": two_point,
        }
        return {name: np.array(value, float) for name, value in values.items()}
