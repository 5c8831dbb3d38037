"""The Gaussian theory, quartic = 0: every average is a sum over momenta."""

import math

import numpy as np
from jaxtyping import Float

from genlat import lattice
from genlat.exact.value import Known

SOURCE = "free field, sum over momenta"


def free_field(
    lattice_shape: tuple[int, ...], hopping: float, quadratic: float
) -> dict[str, Known]:
    r"""Everything about S = Σ [-2h φφ' + aφ²], in any dimension.

    Each mode has ⟨|φ̃_p|²⟩ = 1/(2D_p) with D_p = a - 2h Σ_μ cos p_μ, so that

    $$\ln Z = \frac V2 \ln\pi - \frac12 \sum_p \ln D_p .$$

    The magnetisation is Gaussian with variance 1/(2 V D_0).

    **Raises:** `ValueError` where a mode is unbounded.
    """
    cosines = lattice.hopping_spectrum(lattice_shape)
    spectrum = quadratic - 2 * hopping * cosines
    if not np.all(spectrum > 0):
        raise ValueError(f"unbounded mode: lowest curvature {spectrum.min()}")
    volume, extent = spectrum.size, lattice_shape[0]
    zero = float(spectrum.flat[0])
    mag2 = 1 / (2 * volume * zero)
    values = {
        "log_z": (volume * math.log(math.pi) - float(np.log(spectrum).sum())) / 2,
        "phi2": float(np.mean(0.5 / spectrum)),
        "hopping": float(np.mean(0.5 * cosines / spectrum)),
        "action_density": 0.5,
        "specific_heat": 0.5,
        "abs_mag": math.sqrt(2 * mag2 / math.pi),
        "mag2": mag2,
        "susceptibility": volume * mag2 * (1 - 2 / math.pi),
        "binder": 0.0,
        "two_point": _two_point(spectrum),
    }
    # spatial momentum 0: D(p₀) = c - 2h cos p₀, with a pole at p₀ = iE
    cosh_gap = zero / (2 * hopping) + 1 if hopping > 0 else math.inf
    if extent > 1 and math.isfinite(cosh_gap):
        values["energy_gap"] = math.acosh(cosh_gap)
        values["correlation_length"] = math.sqrt(hopping / zero)
    return {
        key: Known(value, 1e-13 * np.abs(value), SOURCE)
        for key, value in values.items()
    }


def _two_point(
    spectrum: Float[np.ndarray, "time *space"],
) -> Float[np.ndarray, " lags"]:
    """G(τ) of `observables.slice_correlator`: spatial momentum 0 transformed back."""
    extent = spectrum.shape[0]
    at_rest = 0.5 / spectrum.reshape(extent, -1)[:, 0]
    lags = np.arange(extent // 2 + 1)
    angles = 2 * np.pi * np.outer(lags, np.arange(extent)) / extent
    return np.cos(angles) @ at_rest / extent
