"""The magnetisation of narrow Ising tori: how often each value occurs."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from genlat.exact.spin_transfer import MAX_SITES, Torus, orbits, slices

MAX_UPDATES = 1_000_000_000  # of single weights: a few seconds


class _Arithmetic(NamedTuple):
    """How positive weights are kept: as they are, or as logarithms of any size."""

    zero: float
    from_log: Callable
    times: Callable
    plus: Callable


_PLAIN = _Arithmetic(0.0, np.exp, np.multiply, np.add)
_LOGARITHMS = _Arithmetic(-math.inf, np.asarray, np.add, np.logaddexp)
_COST = 15  # of a logarithm
_MAX_RANGE = 300.0  # of the logarithm of a transfer matrix, for plain weights


def magnetisation(
    torus: Torus,
) -> tuple[Int[np.ndarray, " levels"], Float[np.ndarray, " levels"]] | None:
    """All values of M = Σ s with their probabilities, by counting the spins.

    Weights are added site by site, those of each M apart; all are positive and nothing
    cancels. The first slice is one of each orbit under the slice's symmetries. If the
    elements of T differ by factors up to e^R, those of its powers do by up to e^2R, and
    where that leaves the range of numbers, logarithms are added.

    **Returns:** None where that takes more than `MAX_UPDATES`.
    """
    beta, n_sites, volume = torus.beta, torus.n_sites, torus.volume
    if n_sites > MAX_SITES:
        return None
    states = slices(torus.slice_shape)
    starts, orbit_sizes = orbits(torus.slice_shape)
    within = beta * states.bonds
    use, cost = (_PLAIN, 1) if torus.span < _MAX_RANGE else (_LOGARITHMS, _COST)
    if len(starts) * 2**n_sites * volume**2 / 2 * cost > MAX_UPDATES:
        return None
    # axes: start, spins up so far, state of the current slice
    weights = np.full((len(starts), 1, 2**n_sites), use.zero)
    weights[np.arange(len(starts)), 0, starts] = use.from_log(0.0)
    bond, factor = (
        use.from_log(np.array([x, -x]) - abs(x)) for x in (beta, beta * torus.field)
    )
    for _ in range(torus.length):
        for site in range(n_sites):
            weights = _with_site(weights, site, bond, factor, use)
        scale = weights.max() if use is _LOGARITHMS else math.log(weights.max())
        weights = use.times(weights, use.from_log(within - within.max() - scale))
    logs = weights[np.arange(len(starts)), :, starts]
    if use is _LOGARITHMS:
        logs = np.exp(logs - logs.max())
    counts = np.asarray(orbit_sizes, float) @ logs
    return 2 * np.arange(volume + 1) - volume, counts / counts.sum()


def _with_site(
    weights: Float[np.ndarray, "starts levels states"],
    site: int,
    bond: Float[np.ndarray, "2"],
    factor: Float[np.ndarray, "2"],
    use: _Arithmetic,
) -> Float[np.ndarray, "starts more states"]:
    """The spin of one site replaced by that of the next slice, and counted."""
    n_starts, n_levels, n_states = weights.shape
    split = (n_states >> (site + 1), 2, 1 << site)
    old = weights.reshape(n_starts, n_levels, *split)
    aligned, opposed = use.times(bond[0], old), use.times(bond[1], old)
    new = np.full((n_starts, n_levels + 1, *split), use.zero)
    up = use.plus(aligned[:, :, :, 0], opposed[:, :, :, 1])
    down = use.plus(opposed[:, :, :, 0], aligned[:, :, :, 1])
    new[:, 1:, :, 0] = use.times(factor[0], up)
    new[:, :-1, :, 1] = use.times(factor[1], down)
    return new.reshape(n_starts, n_levels + 1, n_states)
