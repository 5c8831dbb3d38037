"""From the spectrum of a transfer matrix to averages on a periodic lattice."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """One symmetry sector of a transfer matrix M, in the basis where M is diagonal.

    Even and odd are the parity under φ → -φ. With M = L W Lᵀ and W the weight of a
    slice, an operator O on a slice is the matrix M_O = L O W Lᵀ.

    - `multiplicity`: how often the sector occurs in a trace.
    - `even`, `odd`: eigenvalues.
    - `even_diagonal`, `odd_diagonal`: (M_O)_ii for O = Σφ², Σφ⁴ and (Σφ)².
    - `field`: M_O between even and odd states for O = Σφ.
    """

    multiplicity: int
    even: Float[np.ndarray, " even"]
    odd: Float[np.ndarray, " odd"]
    even_diagonal: Float[np.ndarray, "3 even"]
    odd_diagonal: Float[np.ndarray, "3 odd"]
    field: Float[np.ndarray, "even odd"]


@dataclasses.dataclass(frozen=True)
class Averages:
    """Of a lattice of `length` slices; keys and meaning as in `results.json`.

    `rounding` is the relative error that floating point leaves in a sum over the fields
    of a site; all terms are positive.
    """

    log_z: float
    phi2: float
    phi4: float
    mag2: float
    two_point: Float[np.ndarray, " lags"]
    energy_gap: float
    rounding: float


def averages(
    spectra: list[Spectrum],
    *,
    length: int,
    width: int,
    log_scale: float,
    rounding: float,
) -> Averages:
    r"""Traces over `length` ≥ 2 slices of `width` sites.

    $$Z = e^{N s}\,\mathrm{tr}\,M^N, \qquad
      \langle O\rangle = \frac{\mathrm{tr}\,M_O M^{N-1}}{\mathrm{tr}\,M^N}, \qquad
      G(t) = \frac{\mathrm{tr}\,M_\Phi M^{t-1} M_\Phi M^{N-t-1}}{w\,\mathrm{tr}\,M^N},$$

    with s the `log_scale` and Φ = Σφ over a slice. `energy_gap` is ln(τ₀/τ₁), the gap
    at infinite length in units of the inverse lattice spacing.
    """
    top = max(spectrum.even.max(initial=0.0) for spectrum in spectra)
    trace, diagonal = 0.0, np.zeros(3)
    correlator = np.zeros(length)
    for spectrum in spectra:
        m = spectrum.multiplicity
        even, odd = spectrum.even / top, spectrum.odd / top
        trace += m * (np.sum(even**length) + np.sum(odd**length))
        diagonal += m * (spectrum.even_diagonal / top) @ even ** (length - 1)
        diagonal += m * (spectrum.odd_diagonal / top) @ odd ** (length - 1)
        squared = (spectrum.field / top) ** 2
        for t in range(1, length):
            there, back = even ** (t - 1), odd ** (length - t - 1)
            correlator[t] += m * (there @ squared @ back)
            there, back = even ** (length - t - 1), odd ** (t - 1)
            correlator[t] += m * (there @ squared @ back)
    phi2, phi4, correlator[0] = diagonal
    correlator /= trace * width
    ordered = np.sort(np.concatenate([np.r_[s.even, s.odd] for s in spectra]))
    return Averages(
        log_z=float(np.log(trace) + length * (np.log(top) + log_scale)),
        phi2=float(phi2 / trace / width),
        phi4=float(phi4 / trace / width),
        mag2=float(correlator.sum() / (length * width)),
        two_point=correlator[: length // 2 + 1],
        energy_gap=math.log(ordered[-1] / ordered[-2]),
        rounding=rounding,
    )
