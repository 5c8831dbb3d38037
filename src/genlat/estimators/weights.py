r"""Neural importance sampling: estimates from the weights of independent draws of q.

Everything takes `log_w` = -S(φ) - ln q(φ), of shape `(n,)`. With u_i = w̃_i / mean w̃
(mean 1), each estimate is a mean of known influence, error² = Σ influence² / (n(n-1)).
A log-weight of -inf is a valid zero weight; NaN and +inf raise `ValueError` everywhere
but in `non_finite`. All weights are shifted by the largest before they are
exponentiated.

**Source:** Nicoli et al., Phys. Rev. E 101, 023304 (2020), arXiv:1910.13496.
"""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Real

from genlat.estimators import spread
from genlat.estimators.estimate import Estimate, Number, plain
from genlat.estimators.propagation import Function, expand, join

METHOD = "nis"


def non_finite(log_w: Float[np.ndarray, "*draws"]) -> int:
    """How many log-weights are NaN or +inf: each is a fault upstream, not a weight."""
    return int(np.sum(np.isnan(log_w) | np.isposinf(log_w)))


def check(log_w: Float[np.ndarray, "*draws"]) -> None:
    """Refuse log-weights from which nothing honest follows.

    **Raises:** `ValueError` if one is NaN or +inf, if all are -inf, or if n < 2.
    """
    log_w = np.asarray(log_w)
    if log_w.ndim == 0:
        raise ValueError("expected log-weights (n,), got a single number")
    if log_w.size < 2:
        raise ValueError(f"an error needs at least 2 log-weights, got {log_w.size}")
    if bad := non_finite(log_w):
        raise ValueError(
            f"{bad} of {log_w.size} log-weights are NaN or +inf: the action or log q "
            "is broken there; dropping them would bias every estimate"
        )
    if np.all(np.isneginf(log_w)):
        raise ValueError("all log-weights are -inf: q never meets the support of p")


def ess(log_w: Float[np.ndarray, " n"]) -> float:
    """Reverse effective sample size per draw, (Σw)² / (n Σw²), in [1/n, 1].

    Blind to modes that q misses: a value near 1 is necessary, never sufficient.
    """
    return float(1 / np.mean(_normalized(log_w) ** 2))


def ess_estimate(log_w: Float[np.ndarray, " n"]) -> Estimate:
    """`ess` with the delta-method error and bias of a²/b, a = mean w, b = mean w².

    On weights without a fourth moment (Pareto k > 1/4) the error is too small. It is
    itself known only with eight (k < 1/8): at k = 1/7 and n = 2000 it is right in the
    mean square, but intervals of 1.96 errors hold the value in 90 % of cases, not 95.
    """
    u = _normalized(log_w)
    value = 1 / np.mean(u**2)
    u2 = u**2 * value
    bias = value * np.mean((u - u2) ** 2) / u.size
    influence = value * (2 * (u - 1) - (u2 - 1))
    return _estimate(value, influence, float(bias), u)


def n_eff(log_w: Float[np.ndarray, " n"]) -> float:
    """How many draws of p the n draws of q are worth: n · `ess`."""
    return np.size(log_w) * ess(log_w)


def log_z(log_w: Float[np.ndarray, " n"]) -> Estimate:
    r"""Log partition function, the q-estimator $\ln \hat Z = \ln \frac1n \sum_i w_i$.

    Delta-method error √((1/ess - 1)/(n - 1)). The bias, -(1/ess - 1)/(2n) to leading
    order, is recorded and not corrected.
    """
    u = _normalized(log_w)
    bias = -0.5 * max(float(np.mean(u**2)) - 1, 0.0) / u.size
    return _estimate(_log_mean(log_w), u - 1, bias, u)


def free_energy_density(log_z: Estimate, volume: int) -> Estimate:
    """-ln Z / V, with the error and bias of ln Z. Units β = 1."""
    return dataclasses.replace(
        log_z,
        value=-log_z.value / volume,
        error=log_z.error / volume,
        bias=-log_z.bias / volume,
    )


def kl_reverse(log_w: Float[np.ndarray, " n"], volume: int) -> Estimate:
    """KL(q||p) / V = (E_q[S + ln q] + ln Z) / V ≥ 0; V = 1 gives the whole.

    Both terms come from the same draws; the error, from the influence
    (u - 1) - (ln w - mean ln w), contains their correlation. Infinite, error
    included, if a weight is zero.
    """
    u = _normalized(log_w)
    log_z_bias = -0.5 * (np.mean(u**2) - 1) / u.size
    bias = float(log_z_bias / volume)
    if np.any(np.isneginf(log_w)):
        n_eff = float(u.size / np.mean(u**2))
        return Estimate(math.inf, math.inf, bias, u.size, n_eff, METHOD)
    value = (_log_mean(log_w) - np.mean(log_w)) / volume
    influence = (u - 1 - (log_w - np.mean(log_w))) / volume
    return _estimate(value, influence, bias, u)


def reweighted_mean(
    log_w: Float[np.ndarray, " n"], values: Real[np.ndarray, "n *component"]
) -> Estimate:
    """Σ w O / Σ w: expectation in p of `values`, measured on draws of q.

    Influence u (O - mean); leading bias -mean(u² (O - mean)) / n.

    **Raises:** `ValueError` if a value is not finite.
    """
    values = np.asarray(values)
    if values.shape[:1] != np.shape(log_w):
        raise ValueError(
            f"expected values (n, ...) of n = {np.size(log_w)} draws, got shape "
            f"{values.shape}"
        )
    u, mean, influence = _influence(log_w, values.reshape(values.shape[0], -1))
    shape = values.shape[1:]
    bias = -np.mean(u[:, None] * influence, axis=0) / u.size
    influence = influence.reshape(u.size, *shape)
    return _estimate(mean.reshape(shape), influence, bias.reshape(shape), u)


def reweighted_derived(
    log_w: Float[np.ndarray, " n"],
    values: Mapping[str, Real[np.ndarray, "n *_"]],
    function: Function,
) -> Estimate:
    """`function` of reweighted means, by linear propagation of their covariance.

    The bias contains the curvature of `function` and the bias of the means. Where
    `function` is not finite within one error of the means, that is the `flaw`.

    **Arguments:** `function` takes `{name: mean}`, float64 NumPy, and returns a number
    or an array.
    """
    u, mean, influence = _influence(log_w, join(values, sample_axes=1))
    n = u.size
    units = np.max(np.abs(influence), axis=0, initial=0.0)
    influence = influence / np.where(units > 0, units, 1.0)
    covariance = influence.T @ influence / (n * (n - 1))
    expansion = expand(function, values, mean, covariance, units, sample_axes=1)
    if expansion.flaw:
        unknown = plain(np.full_like(expansion.value, np.nan))
        n_eff, value = float(n / np.mean(u**2)), plain(expansion.value)
        return Estimate(value, unknown, unknown, n, n_eff, METHOD, expansion.flaw)
    projected = np.einsum("ia,...a->i...", influence, expansion.gradient)
    bias = expansion.bias - expansion.gradient @ (u @ influence) / n**2
    return _estimate(expansion.value, projected, bias, u)


def entropy_density(
    log_w: Float[np.ndarray, " n"], action: Real[np.ndarray, " n"], volume: int
) -> Estimate:
    """(⟨S⟩ + ln Z) / V for p = e^{-S}/Z, `action` being S of every draw.

    Influence u (S - ⟨S⟩) + u - 1: both terms come from the same draws.
    """
    u, mean, influence = _influence(log_w, np.asarray(action)[:, None])
    influence = influence[:, 0]
    bias = -np.mean(u * influence) - 0.5 * (np.mean(u**2) - 1)
    value = float(mean[0] + _log_mean(log_w)) / volume
    bias = float(bias) / (u.size * volume)
    return _estimate(value, (influence + u - 1) / volume, bias, u)


def largest_share(log_w: Float[np.ndarray, " n"]) -> float:
    """max w / Σ w: the part of every estimate that hangs on a single draw."""
    return float(np.max(_normalized(log_w)) / np.size(log_w))


def _normalized(log_w: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """u = w / mean w, of mean 1."""
    check(log_w)
    w = np.exp(np.asarray(log_w, dtype=np.float64) - np.max(log_w))
    return w / np.mean(w)


def _log_mean(log_w: Float[np.ndarray, " n"]) -> float:
    log_w, largest = np.asarray(log_w), float(np.max(log_w))
    return largest + math.log(np.mean(np.exp(log_w - largest)))


def _influence(
    log_w: Float[np.ndarray, " n"], values: Real[np.ndarray, "n k"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " k"], Float[np.ndarray, "n k"]]:
    """u, the reweighted means and the influence u (O - mean) of every draw on them."""
    if not np.all(np.isfinite(values)):
        raise ValueError("a measured value is NaN or infinite: fix it where it arose")
    u = _normalized(log_w)
    mean = u @ values / u.size
    return u, mean, u[:, None] * (values - mean)


def _estimate(
    value: Number | np.floating,
    influence: Float[np.ndarray, "n *component"],
    bias: Number | np.floating,
    u: Float[np.ndarray, " n"],
) -> Estimate:
    """A mean of independent draws whose influences have mean zero by construction."""
    columns = influence.reshape(u.size, -1).T
    spreads = [spread.of_independent(column) for column in columns]
    errors = np.array([part.error for part in spreads])
    return Estimate(
        value=plain(np.asarray(value)),
        error=plain(errors.reshape(influence.shape[1:])),
        bias=plain(np.asarray(bias)),
        n=u.size,
        n_eff=float(u.size / np.mean(u**2)),
        method=METHOD,
        caution=next(filter(None, map(spread.caution, spreads)), ""),
        freedom=min(part.freedom for part in spreads),
        skewness=spreads[0].skewness if len(spreads) == 1 else 0.0,
    )
