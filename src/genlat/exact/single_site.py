r"""The integral over one site, z(a, b) = ∫ dφ exp(-aφ² - bφ⁴), in closed form.

It is the whole partition function where nothing hops: Z = z^V at κ = 0. The branches
are told apart by the sign of a, and u = a²/8b:

$$z = \tfrac12 \sqrt{a/b}\; e^u K_{1/4}(u) \;(a > 0), \qquad
  z = \tfrac12 \Gamma(\tfrac14)\, b^{-1/4} \;(a = 0), \qquad
  z = \tfrac{\pi}{2} \sqrt{|a|/2b}\;
      e^u \big[I_{-1/4}(u) + I_{1/4}(u)\big] \;(a < 0).$$

**Source:** integral representations of the Bessel functions; ⟨φ²⟩ = -∂ ln z/∂a by their
recurrence relations. Both are checked against quadrature in the tests.
"""

import math

import numpy as np
from jaxtyping import Float
from numpy.polynomial.polynomial import polyval
from scipy import special

SMALL_ROOT_U = 1e-16  # below it a changes nothing
LARGE_U = 100.0  # above it the asymptotic series is exact to rounding


def log_z(a: float, b: float) -> float:
    """ln z(a, b).

    **Raises:** `ValueError` where the integral diverges: b < 0, or b = 0 with a ≤ 0.
    """
    root_u = _root_u(a, b)
    if root_u < SMALL_ROOT_U:
        return math.log(special.gamma(0.25) / 2) - math.log(b) / 4
    u = root_u * root_u
    if u > LARGE_U:
        series = math.log(polyval(math.copysign(1 / u, a), _asymptotic(0.25)))
        if a > 0:
            return 0.5 * math.log(math.pi / a) + series
        # two wells of depth 2u and curvature 2|a|
        return 2 * u + 0.5 * math.log(2 * math.pi / -a) + series
    if a > 0:
        return math.log(special.kve(0.25, u) / 2) + 0.5 * math.log(a / b)
    scaled = special.ive(-0.25, u) + special.ive(0.25, u)  # times e^{-u}
    return 2 * u + math.log(math.pi / 2 * scaled) + 0.5 * math.log(-a / (2 * b))


def phi2(a: float, b: float) -> float:
    """⟨φ²⟩. The fourth moment follows: 2a⟨φ²⟩ + 4b⟨φ⁴⟩ = 1.

    **Raises:** as `log_z`.
    """
    root_u = _root_u(a, b)
    if root_u < SMALL_ROOT_U:
        return special.gamma(0.75) / special.gamma(0.25) / math.sqrt(b)
    u = root_u * root_u
    if u > LARGE_U:
        inverse = math.copysign(1 / u, a)
        high, low = _asymptotic(0.75), _asymptotic(0.25)
        if a > 0:  # (a/4b) (high/low - 1), whose constant terms cancel
            return float(
                2 / a * polyval(inverse, (high - low)[1:]) / polyval(inverse, low)
            )
        ratio = float(polyval(inverse, high) / polyval(inverse, low))
        return -a / (4 * b) * (1 + ratio)
    if a > 0:
        ratio = special.kve(0.75, u) / special.kve(0.25, u)
        return a / (4 * b) * (ratio - 1)
    ratio = (special.ive(-0.75, u) + special.ive(0.75, u)) / (
        special.ive(-0.25, u) + special.ive(0.25, u)
    )
    return -a / (4 * b) * (1 + ratio)


def log_z0(lam: float) -> float:
    """ln z₀(λ) of form A: a = 1 - 2λ, b = λ; ½ ln π at λ = 0.

    **Raises:** `ValueError` for λ < 0.
    """
    return log_z(1 - 2 * lam, lam)


def z0(lam: float) -> float:
    """z₀(λ) of form A, as `log_z0`."""
    return math.exp(log_z0(lam))


def _root_u(a: float, b: float) -> float:
    """√u = |a|/√(8b), which under- and overflows later than u."""
    if not (b > 0 or (b == 0 and a > 0)):
        raise ValueError(f"needs b > 0, or b = 0 and a > 0; got a = {a}, b = {b}")
    return abs(a) / math.sqrt(8 * b) if b > 0 else math.inf


def _asymptotic(order: float) -> Float[np.ndarray, " terms"]:
    """c_k of K_ν(u) = √(π/2u) e^{-u} Σ_k c_k u^{-k}; I_ν has the powers of -1/u."""
    coefficients = [1.0]
    for k in range(1, 9):
        factor = (4 * order**2 - (2 * k - 1) ** 2) / (8 * k)
        coefficients.append(coefficients[-1] * factor)
    return np.array(coefficients)
