"""The Ising model in two dimensions without field, in the infinite volume."""

import math

from scipy import integrate, special

from genlat.exact.value import EPS, Known

CRITICAL_BETA = 0.5 * math.log(1 + math.sqrt(2))
SOURCE = "Onsager, infinite volume"


def onsager(beta: float) -> dict[str, Known]:
    r"""-ln Z/V, ⟨H⟩/V, Var(S)/V and the spontaneous magnetisation of S = βH.

    With k = 2 sinh 2β / cosh² 2β and κ = 2 tanh² 2β - 1, K and E complete elliptic
    integrals of modulus k,

    $$\frac{\langle H\rangle}{V} = -\coth 2\beta\,\Big[1 + \tfrac2\pi \kappa K\Big],
      \qquad
      C = \frac2\pi (\beta\coth 2\beta)^2 \Big[2K - 2E
        - (1-\kappa)\big(\tfrac\pi2 + \kappa K\big)\Big],$$

    and |m| = (1 - sinh⁻⁴ 2β)^⅛ above β_c, 0 below. C is infinite at β_c, where ⟨H⟩/V is
    -√2. A finite torus differs by ln 2/V in ln Z/V above β_c, where two phases coexist.

    **Source:** Onsager, Phys. Rev. 65, 117 (1944); the magnetisation is Yang's, Phys.
    Rev. 85, 808 (1952).

    **Raises:** `ValueError` for β that is not positive.
    """
    if not 0 < beta < math.inf:
        raise ValueError(f"beta must be positive, got {beta}")
    tanh = math.tanh(2 * beta)
    kappa = 2 * tanh**2 - 1
    # 1 - k² = κ², which keeps the digits that k loses near β_c
    complement = kappa**2
    k_integral = special.ellipkm1(complement)
    e_integral = special.ellipe(1 - complement)
    if complement == 0:
        energy, heat = -math.sqrt(2), math.inf
    else:
        energy = -(1 + 2 / math.pi * kappa * k_integral) / tanh
        bracket = 2 * (k_integral - e_integral)
        bracket -= (1 - kappa) * (math.pi / 2 + kappa * k_integral)
        heat = 2 / math.pi * (beta / tanh) ** 2 * bracket
    # sinh⁻⁴ 2β, without overflow
    fourth = (2 / -math.expm1(-4 * beta)) ** 4 * math.exp(-8 * beta)
    ordered = max(0.0, 1 - fourth) if beta > CRITICAL_BETA else 0.0
    mag = ordered**0.125
    free_energy, error = _free_energy(beta, 1 - complement)
    # κ is a difference, and so are the brackets: relative to their largest terms
    lost = 8 * EPS / max(abs(kappa), EPS)
    values = {
        "free_energy_density": (free_energy, error),
        "energy_density": (energy, 16 * EPS / tanh),
        "specific_heat": (heat, (beta / tanh) ** 2 * (lost + 32 * EPS)),
        "abs_mag": (mag, 4 * EPS * (1 + mag / ordered if ordered > 0 else 0.0)),
    }
    return {
        name: Known(float(value), float(error), SOURCE)
        for name, (value, error) in values.items()
    }


def _free_energy(beta: float, modulus2: float) -> tuple[float, float]:
    """-ln Z/V, and a bound on the error of its integral."""

    def integrand(angle: float) -> float:
        return math.log((1 + math.sqrt(1 - modulus2 * math.sin(angle) ** 2)) / 2)

    # symmetric about π/2, where the integrand has a corner at β_c
    integral, error = integrate.quad(integrand, 0, math.pi / 2, epsabs=1e-13)
    # ln 2 cosh 2β without overflow
    log_cosh = 2 * beta + math.log1p(math.exp(-4 * beta))
    return -log_cosh - integral / math.pi, error / math.pi + 1e-13
