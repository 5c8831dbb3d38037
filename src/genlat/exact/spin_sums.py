"""Narrow Ising tori by adding positive numbers only: nothing cancels.

A sum over eigenvalues of both signs loses all digits on a frustrated torus at low
temperature, and a weight e^{-S} leaves the range of floating point. Here the
configurations between two slices are summed spin by spin; a sum keeps ln Σ e^{-S} and
the mean and the variance of S over its terms. Two sums join by

    p = e^{a}/(e^{a} + e^{b}),   mean = p m + q m',   var = p v + q v' + p q (m - m')²,

all of them positive, at any β.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from genlat.exact.spin_transfer import Averages, Torus, orbits, slices
from genlat.exact.value import EPS

MAX_JOINTS = 20_000_000  # of single sums: two seconds
MAX_SITE_UPDATES = 40_000  # each some 50 μs, however small


class _Sums(NamedTuple):
    """ln Σ e^{-β'u} from every start to every state, and the moments of u."""

    log: Float[np.ndarray, "starts states"]
    mean: Float[np.ndarray, "starts states"]
    variance: Float[np.ndarray, "starts states"]


def averages(torus: Torus) -> Averages | None:
    """As `spin_transfer.averages`, without `energy_gap`, which is NaN.

    With u = Σ_bonds (1 - σ ss') + |h| Σ (1 - σ' s) ≥ 0, where σ and σ' are the signs of
    β and βh, S = |β| (u - V d - V |h|). The first slice is one of each orbit under the
    slice's symmetries.

    **Returns:** None where it takes longer than `MAX_JOINTS`, `MAX_SITE_UPDATES`.
    """
    length, beta, field = torus.length, torus.beta, torus.field
    n_sites, volume = torus.n_sites, torus.volume
    starts, sizes = orbits(torus.slice_shape)
    if len(starts) * 2**n_sites * volume > MAX_JOINTS or volume > MAX_SITE_UPDATES:
        return None
    states, sign = slices(torus.slice_shape), math.copysign(1.0, beta)
    n_bonds = n_sites * len(torus.slice_shape)
    toward = math.copysign(abs(field), beta * field)
    within = (n_bonds - sign * states.bonds) + (
        abs(field) * n_sites - toward * states.total
    )
    cold = abs(beta)

    # one slice further, from the first
    across = n_sites - sign * (states.spins[starts] @ states.spins.T)
    sums = _placed(_Sums(-cold * across, across, np.zeros_like(across)), cold, within)
    history = [sums.log]
    for _ in range(1, length):
        for site in range(n_sites):
            sums = _with_site(sums, site, cold, sign)
        sums = _placed(sums, cold, within)
        history.append(sums.log)

    at, rows = np.arange(len(starts)), np.asarray(sizes, float)
    closed = sums.log[at, starts] + np.log(rows)
    ln_sum = float(np.logaddexp.reduce(closed))
    p = np.exp(closed - closed.max())
    p /= p.sum()  # to more digits than ln_sum has
    means, variances = sums.mean[at, starts], sums.variance[at, starts]
    u = float(p @ means)
    variance = float(p @ (variances + (means - u) ** 2))

    def correlator(lag: int) -> float:
        """Σ M M' over the slices at 0 and `lag`, whose own weight is in both halves."""
        if lag == 0:
            return float(p @ states.total[starts] ** 2)
        own = cold * (within[None, :] - within[starts][:, None])
        log = history[lag - 1] + history[length - lag - 1] + own
        joint = np.exp(log - log.max()) * rows[:, None]
        return float(states.total[starts] @ joint @ states.total / joint.sum())

    two_point = np.array([correlator(lag) for lag in range(length // 2 + 1)]) / n_sites
    lags = np.arange(len(two_point))
    twice = np.where((lags == 0) | (2 * lags == length), 1, 2)
    per_site = len(torus.slice_shape) + 1 + abs(field)  # u per site, at most twice that
    # every joint rounds a logarithm of the size that it has across a slice
    relative = EPS * volume * (4 + cold * per_site)
    spread = math.sqrt(variance) + EPS * per_site * volume
    return Averages(
        log_z=ln_sum + cold * volume * per_site,
        energy_density=sign * (u / volume - per_site),
        specific_heat=cold**2 * variance / volume,
        mag=float(p @ states.total[starts]) / n_sites,
        mag2=float(twice @ two_point) / volume,
        two_point=two_point,
        energy_gap=math.nan,
        relative=relative,
        energy_error=(relative * spread / volume + 8 * EPS * per_site),
        heat_error=cold**2 * spread**2 * relative * 8 / volume,
    )


def _placed(sums: _Sums, cold: float, within: Float[np.ndarray, " states"]) -> _Sums:
    """With what the current slice has by itself."""
    return _Sums(sums.log - cold * within, sums.mean + within, sums.variance)


def _with_site(sums: _Sums, site: int, cold: float, sign: float) -> _Sums:
    """The spin of one site replaced by that of the next slice."""
    n_starts, n_states = sums.log.shape
    split = (n_starts, n_states >> (site + 1), 2, 1 << site)
    log, mean, variance = (part.reshape(split) for part in sums)
    joined = _Sums(*(np.empty(split) for _ in range(3)))
    for new in (0, 1):
        # u of the bond to either old spin
        same, other = 1 - sign, 1 + sign
        a, b = log[:, :, new] - cold * same, log[:, :, 1 - new] - cold * other
        difference = b - a
        q = 1 / (1 + np.exp(np.minimum(-difference, 700.0)))
        p = 1 / (1 + np.exp(np.minimum(difference, 700.0)))
        first, second = mean[:, :, new] + same, mean[:, :, 1 - new] + other
        joined.log[:, :, new] = np.maximum(a, b) + np.log1p(np.exp(-np.abs(difference)))
        joined.mean[:, :, new] = p * first + q * second
        joined.variance[:, :, new] = (
            p * variance[:, :, new]
            + q * variance[:, :, 1 - new]
            + p * q * (first - second) ** 2
        )
    return _Sums(*(part.reshape(n_starts, n_states) for part in joined))
