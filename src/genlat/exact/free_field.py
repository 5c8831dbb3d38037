"""The Gaussian theory, quartic = 0: every average is a sum over momenta."""

import math

import numpy as np
from jaxtyping import Float

from genlat import lattice
from genlat.exact.value import EPS, Known, UnknownError

MAX_LOST = 1e-3  # relative error of a mode, beyond which nothing is given
SOURCE = "free field, sum over momenta"


def free_field(
    lattice_shape: tuple[int, ...], hopping: float, quadratic: float
) -> dict[str, Known]:
    r"""Everything about S = Σ [-2h φφ' + aφ²], in any dimension.

    Each mode has ⟨|φ̃_p|²⟩ = 1/(2D_p) with D_p = a - 2h Σ_μ cos p_μ, so that

    $$\ln Z = \frac V2 \ln\pi - \frac12 \sum_p \ln D_p .$$

    The magnetisation is Gaussian with variance 1/(2 V D_0).

    **Raises:** `ValueError` where a mode is unbounded; `UnknownError` where it is so
    nearly.
    """
    cosines = lattice.hopping_spectrum(lattice_shape)
    spectrum = quadratic - 2 * hopping * cosines
    if not np.all(spectrum > 0):
        raise ValueError(f"unbounded mode: lowest curvature {spectrum.min()}")
    volume, extent = spectrum.size, lattice_shape[0]
    zero = float(spectrum.flat[0])
    mag2 = 1 / (2 * volume * zero)
    # near the massless theory D_p is a small difference of the couplings
    axes = len(lattice_shape)
    lost = 4 * EPS * (abs(quadratic) + 2 * abs(hopping) * axes) / spectrum
    worst, at_zero = float(lost.max()), float(lost.flat[0])
    if not worst < MAX_LOST:
        raise UnknownError(
            f"a mode has lost its digits: its curvature is {spectrum.min():.1g}"
        )
    log_z = (volume * math.log(math.pi) - float(np.log(spectrum).sum())) / 2
    logs = volume * math.log(math.pi) + float(np.abs(np.log(spectrum)).sum())
    two_point = _two_point(spectrum)
    values = {
        "log_z": (log_z, EPS * logs + float(lost.sum())),
        "phi2": (float(np.mean(0.5 / spectrum)), float(np.mean(lost / spectrum))),
        "hopping": (
            float(np.mean(0.5 * cosines / spectrum)),
            float(np.mean(lost * np.abs(cosines) / spectrum)),
        ),
        "action_density": (0.5, 0.0),
        "specific_heat": (0.5, 0.0),
        "abs_mag": (math.sqrt(2 * mag2 / math.pi), at_zero * math.sqrt(mag2)),
        "mag2": (mag2, at_zero * mag2),
        "susceptibility": (
            volume * mag2 * (1 - 2 / math.pi),
            at_zero * volume * mag2,
        ),
        "binder": (0.0, 0.0),
        "two_point": (two_point, np.full_like(two_point, two_point[0] * 2 * worst)),
    }
    # spatial momentum 0: D(p₀) = c - 2h cos p₀, with a pole at p₀ = iE
    if extent > 1 and hopping > 0 and math.isfinite(ratio := zero / hopping):
        # cosh E - 1 = D_0/2h
        gap = 2 * math.asinh(math.sqrt(ratio / 4))
        values["energy_gap"] = (gap, at_zero * max(gap, 1.0))
        length = math.sqrt(1 / ratio)
        values["correlation_length"] = (length, at_zero * length)
    return {
        key: Known(value, error + 1e-13 * np.abs(value), SOURCE)
        for key, (value, error) in values.items()
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
