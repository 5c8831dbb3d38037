r"""ln Z along a line of couplings, from chains at a grid of them.

For S_t = S_0 + t·E, with ln Z known at t = 0 and chains that measure E at couplings
t_0 = 0 < t_1 < ... < t_K: between neighbours ln(p̃_{i+1}/p̃_i) = -(t_{i+1} - t_i) E, so
Bennett's ratio needs nothing but E. Every chain serves two intervals; the influences of
both are added draw by draw, so the error of the sum contains their correlation.

**Source:** Nicoli et al., Phys. Rev. Lett. 126, 032001 (2021), arXiv:2007.07115 (steps
in κ, reweighting); Bennett, J. Comput. Phys. 22, 245 (1976).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from genlat.estimators import quantity, two_sided
from genlat.estimators.brief import brief
from genlat.estimators.quantity import Quantity, constant

Energies = Sequence[Float[np.ndarray, "chains _"]]


class Path(NamedTuple):
    """ln Z at every coupling of the grid, and the overlap of every pair of neighbours.

    - `log_z`: by Bennett's ratio; entry 0 is the start, without error.
    - `steps`: ln Z_{i+1} - ln Z_i, one fewer.
    - `overlaps`: ∫ 2 p_i p_{i+1}/(p_i + p_{i+1}), in [0, 1].
    """

    log_z: list[Quantity]
    steps: list[Quantity]
    overlaps: list[float]

    __repr__ = brief


def along(
    couplings: Float[np.ndarray, " grid"], energies: Energies, log_z_start: float
) -> Path:
    """Sum Bennett's ratios from the start of the grid to its end.

    **Arguments:** `couplings` t_i, increasing; `energies`: E on the chains at each of
    them, of shape (chains, n), n may differ; `log_z_start`: ln Z at t_0.

    **Raises:** `ValueError` if the grid does not increase or has another length.
    """
    _check(couplings, energies)
    ratios = [
        two_sided.bar(*_log_ratios(couplings, energies, i), (_name(i), _name(i + 1)))
        for i in range(len(couplings) - 1)
    ]
    log_z = [constant(log_z_start)]
    for ratio in ratios:
        log_z.append(log_z[-1] + ratio.log_z)
    return Path(
        log_z, [ratio.log_z for ratio in ratios], [ratio.overlap for ratio in ratios]
    )


def reweighting(
    couplings: Float[np.ndarray, " grid"], energies: Energies, log_z_start: float
) -> Quantity:
    """ln Z at the end of the grid by one-sided reweighting to the next coupling.

    -ln E_{p_i}[e^{S_i - S_{i+1}}] summed: the estimator of the source, noisier than
    Bennett's and biased sooner where neighbours overlap badly.
    """
    _check(couplings, energies)
    total = constant(log_z_start)
    for i in range(len(couplings) - 1):
        forward, _ = _log_ratios(couplings, energies, i)
        # the p-estimator of -log_w is minus ln mean w
        step = -two_sided.log_z_p(-forward)
        total += Quantity(
            step.value, {_name(i): step.influences[two_sided.P]}, step.bias, step.flaw
        )
    return total


def thermodynamic(
    couplings: Float[np.ndarray, " grid"], energies: Energies, log_z_start: float
) -> Quantity:
    r"""ln Z at the end of the grid as $-\int\langle E\rangle dt$: a consistency check.

    Hermite's rule on the grid, with $d\langle E\rangle/dt = -\mathrm{Var}(E)$ at its
    points: exact for cubics, so its error falls like the fourth power of the spacing.
    """
    _check(couplings, energies)
    total, widths = constant(log_z_start), np.diff(couplings)
    for i, energy in enumerate(energies):
        before = widths[i - 1] if i > 0 else 0.0
        after = widths[i] if i < len(widths) else 0.0
        mean = quantity.mean(energy, _name(i))
        fluctuation = quantity.mean((energy - mean.value) ** 2, _name(i))
        # f = -⟨E⟩ and f' = Var E, with weights h/2 and ±h²/12 of each interval
        total += mean * (-(before + after) / 2)
        total += fluctuation * ((after**2 - before**2) / 12)
    return total


def _check(couplings: Float[np.ndarray, " grid"], energies: Energies) -> None:
    if len(couplings) != len(energies):
        raise ValueError(f"{len(couplings)} couplings, {len(energies)} sets of chains")
    if not np.all(np.diff(couplings) > 0):
        raise ValueError(f"couplings must increase, got {couplings}")


def _log_ratios(
    couplings: Float[np.ndarray, " grid"], energies: Energies, i: int
) -> tuple[Float[np.ndarray, "chains _"], Float[np.ndarray, "chains _"]]:
    width = couplings[i + 1] - couplings[i]
    return -width * energies[i], -width * energies[i + 1]


def _name(index: int) -> str:
    return f"coupling {index}"
