r"""The Γ-method: means of correlated chains with honest errors.

Everything takes `values` of shape `(n_chains, n)`, equilibrated chains of one
observable, or `(n_chains, n, ...)` for a vector of them. τ is in units of the step
between measurements; independent data have τ_int = ½.

**Source:** Wolff, Comput. Phys. Commun. 156, 143 (2004), hep-lat/0306017.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Real

from genlat.estimators import spread
from genlat.estimators.brief import brief
from genlat.estimators.estimate import Estimate, plain
from genlat.estimators.spread import Spread

METHOD = "gamma"
UNRESOLVED = "its autocorrelation time is not resolved: a lower bound"
STUCK = "the series never changes: no error can be estimated"
TOO_FEW = "too few samples: no error can be estimated"
FEWEST_INDEPENDENT, FEWEST_WINDOWS = 10.0, 3.0  # for an error known to a half
WINDOW_FACTOR = 1.5
"""Wolff's S: the assumed ratio of the slowest decay time to τ_int."""
LENGTH_TO_TRUST = 100.0
"""Chains shorter than this many τ_int in all cannot know their own τ_int."""
FFT_ELEMENTS = 2**22


@dataclasses.dataclass(frozen=True)
class Analysis:
    """What the Γ-method finds.

    `is_resolved` is false where the summation window ran into the length of the
    chains, where all of them together are shorter than 100 τ_int, and where the series
    never changes (a constant, or a stuck chain: the data cannot tell). `tau_int` is
    then a lower bound at best; `mean.error` is too, unless there are many chains, and
    both say so in `caution`. `spreads`: how well each component's error is known.
    """

    mean: Estimate
    tau_int: Estimate
    window: int | Int[np.ndarray, "*shape"]
    is_resolved: bool | Bool[np.ndarray, "*shape"]
    spreads: tuple[Spread, ...]

    __repr__ = brief


def mean(values: Real[np.ndarray, "chains n *component"]) -> Estimate:
    """Mean over all chains; error² = 2 τ_int σ²/N. See `analyse`."""
    return analyse(values).mean


def tau_int(values: Real[np.ndarray, "chains n *component"]) -> Estimate:
    """Integrated autocorrelation time ½ + Σ_{t≥1} ρ(t). See `analyse`."""
    return analyse(values).tau_int


def analyse(
    values: Real[np.ndarray, "chains n *component"],
    *,
    window_factor: float = WINDOW_FACTOR,
) -> Analysis:
    r"""Mean, its error and τ_int of every component, over all chains at once.

    With R chains of length n, N = R n, and Γ(t) averaged over all N - R t pairs of
    deviations from the common mean, summed up to the automatic window W:

    $$\mathrm{error}^2 = \frac{\Gamma(0) + 2\sum_{t\le W} (1 - t/n)\,\Gamma(t)}
        {N - (2W + 1) + W(W+1)/n}$$

    The factor 1 - t/n counts the pairs that a chain of length n has; the denominator
    undoes to leading order what subtracting the measured mean takes from Γ. Both ends
    are exact: W = 0 is the naive error, W = n - 1 the scatter of the R chain means. So
    many short chains are as safe as one long one.

    The window is Wolff's, from |ρ| instead of ρ: it stays open for alternating
    correlations. τ_int comes from the unweighted sum with Γ corrected for the same
    subtraction; its error² is Wolff's (4/N)(W + ½ - τ) τ² or that of
    `_truncated_sum_variance`, whichever is larger; its bias the tail beyond W of a
    single exponential. `n_eff` is σ²/error². A `flaw` have series that never change
    within a chain, that are worth fewer than 10 independent draws, or N < 5 (2W + 1).

    error² has the right mean, and a relative variance of about 2(2W + 1)/N, more where
    few draws carry it (`estimators.spread`): pulls follow Student's t with N/(2W + 1)
    degrees of freedom. On lone chains of 50, 100,
    200 and 1000 τ_int (W = 3 ... 6 τ_int) pulls have a width of 1.12, 1.10, 1.04 and
    1.02. Those of τ_int itself are skew: a low τ comes with a low error.

    **Arguments:** `window_factor`: S of the reference. The larger, the longer the
    window: less truncation, more noise.

    **Raises:** `ValueError` for fewer than two values, or one that is not finite.
    """
    values = np.asarray(values)
    series = _as_series(values)
    n_chains, n, _ = series.shape
    shape = values.shape[2:]
    averages = np.mean(series, axis=(0, 1))
    deviations = series - averages
    # a constant must not be judged by the rounding of its mean
    is_constant = np.all(series == series[0, 0], axis=(0, 1))
    deviations[..., is_constant] = 0.0
    # squares of any size: an error may be as small or large as a number can be
    scales = np.max(np.abs(deviations), axis=(0, 1), initial=0.0)
    deviations /= np.where(scales > 0, scales, 1.0)
    gammas = _autocovariances(deviations)
    columns = [_windowed(gamma, n_chains, window_factor) for gamma in gammas]
    columns = [
        column._replace(error=column.error * scale)
        for column, scale in zip(columns, scales, strict=True)
    ]
    total = n_chains * n
    spreads = [
        _spread(column, deviations[..., k], total) for k, column in enumerate(columns)
    ]
    error, n_eff, tau, tau_error, tau_bias = (
        plain(np.array([getattr(column, name) for column in columns]).reshape(shape))
        for name in ("error", "n_eff", "tau", "tau_error", "tau_bias")
    )
    window = np.array([column.window for column in columns]).reshape(shape)
    resolved = np.array([column.is_resolved for column in columns]).reshape(shape)
    value = plain(averages.reshape(shape))
    flaw = STUCK if is_stuck(values) else TOO_FEW if _is_few(columns, total) else ""
    freedom = min(part.freedom for part in spreads)
    short = "" if np.all(resolved) else UNRESOLVED
    few = next(filter(None, map(spread.caution, spreads)), "")
    skewness = 0.0 if shape else spreads[0].skewness
    mean = Estimate(
        value,
        error,
        0.0,
        total,
        n_eff,
        METHOD,
        flaw,
        short or few,
        freedom,
        skewness,
        is_resolved=not short,
    )
    return Analysis(
        mean=mean,
        tau_int=Estimate(tau, tau_error, tau_bias, total, n_eff, METHOD, flaw, short),
        window=window if shape else int(window),
        is_resolved=resolved if shape else bool(resolved),
        spreads=tuple(spreads),
    )


def is_stuck(values: Real[np.ndarray, "chains n *component"]) -> bool:
    """Whether no chain ever moves, wherever it is; those of length 1: all are equal."""
    values = np.asarray(values)
    start = values[:, :1] if values.shape[1] > 1 else values[:1, :1]
    return bool(np.all(values == start))


def between_chains(values: Real[np.ndarray, "chains n *component"]) -> Estimate:
    """Mean over all chains with the error from the scatter of the R chain means.

    Assumes nothing about correlations within a chain: a cross-check of `mean`, whose
    error is known to 1/√(2(R - 1)) only.

    **Raises:** `ValueError` for a single chain, or a value that is not finite.
    """
    values = np.asarray(values)
    series = _as_series(values)
    n_chains = values.shape[0]
    if n_chains < 2:
        raise ValueError("the scatter between chains needs at least 2 of them")
    error = np.std(np.mean(series, axis=1), axis=0, ddof=1) / math.sqrt(n_chains)
    variance = np.var(series, axis=(0, 1))
    total = n_chains * series.shape[1]
    moving = (error > 0) & (variance > 0)
    n_eff = np.where(moving, variance / np.where(moving, error, 1.0) ** 2, total)
    shape = values.shape[2:]
    return Estimate(
        value=plain(np.mean(series, axis=(0, 1)).reshape(shape)),
        error=plain(error.reshape(shape)),
        bias=0.0,
        n=total,
        n_eff=plain(n_eff.reshape(shape)),
        method="between_chains",
        freedom=n_chains - 1.0,
    )


def autocorrelation_function(
    values: Real[np.ndarray, "chains n"], max_lag: int
) -> tuple[Float[np.ndarray, " lags"], Float[np.ndarray, " lags"]]:
    """ρ(t) and its error for t = 0 ... `max_lag`, over all chains; for plots.

    Errors of neighbouring t are strongly correlated. A constant has ρ = 0 for t > 0.

    **Source:** the error: Lüscher, Comput. Phys. Commun. 165, 199 (2005),
    hep-lat/0409106.

    **Raises:** `ValueError` if `max_lag` is not in 0 ... n - 1, and as `analyse`.
    """
    values = np.asarray(values)
    n_chains, n = values.shape
    if not 0 <= max_lag < n:
        raise ValueError(f"max_lag must be in 0 ... {n - 1}, got {max_lag}")
    series = _as_series(values)
    gamma = _autocovariances(series - np.mean(series))[0]
    if np.all(values == values[0, 0]):
        rho = np.zeros(max_lag + 1)
        rho[0] = 1.0
        return rho, np.zeros(max_lag + 1)
    column = _windowed(gamma, n_chains, WINDOW_FACTOR)
    gamma = gamma + column.error**2
    rho = gamma / gamma[0]
    # beyond the chains nothing is known; beyond a window past max_lag it is noise
    reach = max_lag + column.window
    padded = np.zeros(2 * reach + 1)
    padded[: min(n, reach + 1)] = rho[: reach + 1]
    variance = np.empty(max_lag + 1)
    for lag in range(max_lag + 1):
        k = np.arange(1, lag + column.window + 1)
        sums = padded[k + lag] + padded[np.abs(k - lag)] - 2 * padded[lag] * padded[k]
        variance[lag] = np.sum(sums**2) / (n_chains * n)
    return rho[: max_lag + 1], np.sqrt(variance)


class _Column(NamedTuple):
    """One component's results, before they are put back into shape."""

    error: float
    n_eff: float
    tau: float
    tau_error: float
    tau_bias: float
    window: int
    is_resolved: bool


def _spread(
    column: _Column, deviations: Float[np.ndarray, "chains n"], total: int
) -> Spread:
    """Degrees of freedom from the window's noise, and from what few draws carry."""
    if column.error == 0:
        return spread.NONE
    d, g = spread.shape(deviations)
    size = total / column.n_eff
    d, g = min(d * size, 1.0), g * math.sqrt(size)
    excess = max(d - 3 / column.n_eff, 0.0)
    freedom = 2 / (2 * (2 * column.window + 1) / total + excess)
    return Spread(column.error, freedom, d, g)


def _is_few(columns: list[_Column], total: int) -> bool:
    """Whether a component that moves has too few draws, or windows, for an error."""
    return any(
        min(x.n_eff, total) < FEWEST_INDEPENDENT
        or total < FEWEST_WINDOWS * (2 * x.window + 1)
        for x in columns
        if x.error > 0
    )


def _windowed(
    gamma: Float[np.ndarray, " n"], n_chains: int, window_factor: float
) -> _Column:
    n = gamma.size
    total = n_chains * n
    if gamma[0] == 0:
        return _Column(0.0, float(total), 0.5, 0.0, 0.0, 0, False)
    window, is_closed = _automatic_window(gamma, n_chains, window_factor)
    variances, taus = _running_sums(gamma, n_chains, window)
    if variances[window] <= 0 or taus[window] <= 0:
        # noise has eaten the sum: the window of the largest error is the safe one
        window, is_closed = int(np.argmax(variances)), False
    variance, tau = float(variances[window]), float(taus[window])
    rho = (gamma[: window + 1] + variance) / (gamma[0] + variance)
    wide = 4 / total * max(window + 0.5 - tau, 0.0) * tau**2
    exact = _truncated_sum_variance(rho, tau, n_chains, n)
    decay = max(2 * tau - 1, 0.0) / (2 * tau + 1)
    return _Column(
        error=math.sqrt(variance),
        n_eff=(gamma[0] + variance) / variance,
        tau=tau,
        tau_error=math.sqrt(max(wide, exact)),
        tau_bias=-tau * decay**window if window else 0.0,
        window=window,
        is_resolved=is_closed and total >= LENGTH_TO_TRUST * max(tau, 0.5),
    )


def _automatic_window(
    gamma: Float[np.ndarray, " n"], n_chains: int, window_factor: float
) -> tuple[int, bool]:
    """First W at which noise outgrows truncation, and whether there is one.

    A lone chain is searched to half its length: beyond, subtracting its own mean has
    taken the signal away.
    """
    n = gamma.size
    largest = n - 1 if n_chains > 1 else (n - 1) // 2
    lags = np.arange(1, largest + 1)
    if not lags.size:
        return 0, False
    twice_tau = 1 + 2 * np.cumsum(np.abs(gamma[1 : largest + 1] / gamma[0]))
    rounding = np.finfo(np.float64).eps
    decay_time = window_factor / np.log(
        (twice_tau + 1) / np.maximum(twice_tau - 1, rounding)
    )
    noise = decay_time / np.sqrt(lags * n_chains * n)
    closed = np.flatnonzero(np.exp(-lags / decay_time) < noise)
    return (int(lags[closed[0]]), True) if closed.size else (largest, False)


def _running_sums(
    gamma: Float[np.ndarray, " n"], n_chains: int, largest: int
) -> tuple[Float[np.ndarray, " windows"], Float[np.ndarray, " windows"]]:
    """Squared error of the mean, and τ_int, for windows 0 ... `largest`."""
    n = gamma.size
    lags = np.arange(largest + 1)
    gamma = gamma[: largest + 1]
    twice = np.where(lags == 0, 1.0, 2.0)
    pairs = np.cumsum(twice * (1 - lags / n) * gamma)
    variance = pairs / (n_chains * n - (2 * lags + 1) + lags * (lags + 1) / n)
    whole = np.cumsum(twice * gamma) + (2 * lags + 1) * variance
    return variance, whole / (2 * (gamma[0] + variance))


def _truncated_sum_variance(
    rho: Float[np.ndarray, " lags"], tau: float, n_chains: int, n: int
) -> float:
    r"""Squared error of τ_int as a sum up to a window W that was fixed in advance.

    $$\frac2N \int_{-\pi}^{\pi} \frac{d\omega}{2\pi}
      \Big[\tfrac12 \sum_{|t|\le W} \frac{\cos\omega t}{\sqrt{1 - |t|/n}} - \tau\Big]^2
      \Big[\sum_{|t|\le W} \rho(t) \cos\omega t\Big]^2,$$

    for Gaussian fluctuations at leading order, the root for the n - t pairs at lag t.
    For W ≫ τ, n ≫ W and one decay time it is Wolff's formula. That one is 15 % larger
    at W = 5 τ, which makes up for the noise of the window; it is 25 % too small for
    ρ(t) = (-0.6)^t and short chains, and 0 at W = τ - ½.

    **Source:** Priestley, Spectral Analysis and Time Series (1981), for the covariance
    of Γ(s) and Γ(t). The root is ours.
    """
    length = 4 * rho.size - 3  # the product has no higher harmonics
    pairs = 1 - np.arange(rho.size) / n
    response = 0.5 * np.fft.hfft(1 / np.sqrt(pairs), length) - tau
    spectrum = np.fft.hfft(rho, length)
    return float(2 / (n_chains * n) * np.mean((response * spectrum) ** 2))


def _autocovariances(
    deviations: Float[np.ndarray, "chains n k"],
) -> Float[np.ndarray, "k n"]:
    """Γ(t) of every component for all t < n, averaged over chains, by FFT in blocks."""
    n_chains, n, k = deviations.shape
    length = 1 << (2 * n - 2).bit_length()  # zeros keep the two ends apart
    block = max(1, FFT_ELEMENTS // length)
    gamma = np.empty((k, n))
    for component in range(k):
        power = np.zeros(length // 2 + 1)
        for start in range(0, n_chains, block):
            rows = deviations[start : start + block, :, component]
            power += np.sum(np.abs(np.fft.rfft(rows, length, axis=1)) ** 2, axis=0)
        gamma[component] = np.fft.irfft(power, length)[:n]
    return gamma / (n_chains * (n - np.arange(n)))


def _as_series(
    values: Real[np.ndarray, "chains n *component"],
) -> Float[np.ndarray, "chains n k"]:
    if values.ndim < 2:
        want = "expected (chains, n) or (chains, n, ...), one chain being values[None]"
        raise ValueError(f"{want}; got shape {values.shape}")
    if values.shape[0] * values.shape[1] < 2:
        raise ValueError(f"an error needs at least 2 values, got shape {values.shape}")
    if not np.all(np.isfinite(values)):
        raise ValueError("a chain contains NaN or infinite values: fix their origin")
    return np.asarray(values, dtype=np.float64).reshape(*values.shape[:2], -1)
