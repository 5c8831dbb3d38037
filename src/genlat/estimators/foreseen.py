r"""Errors of what draws of q say, foreseen by samples of p.

The error of an estimate from draws is made of the same weights as its value: where few
large weights were drawn both are too small, and those that look best are the lucky
ones. Samples of p meet these weights often, and independently: with u = p/q and an
influence $u a - E_p[a]$ of a draw of q,

$$\mathrm{error}^2 = (E_p[u a^2] - E_p[a]^2) / n.$$

For an average a = O - ⟨O⟩, for ln Z a = 1, for the entropy a = S - ⟨S⟩ + 1, for the ESS
itself, in units of it, a = 2 - u ESS. Of the last three nearly all cancels where u is
near 1; what fluctuates there is taken out by E_p[1/u] = 1 (`_control`). Relative errors
of u³ under p are what those of w⁴ are under q: with log-normal weights and an ESS of .1
the error² is known to 3 % from 8000 samples of p, to 30 % from 10⁵ draws.

A neural chain is Metropolis with independent proposals, of which the spectrum is known
(`chain`); the variance of its averages is never below that of importance sampling.

What samples of p say by their 1/u is the mirror image: of an influence f of a sample,
error² = E_p[f²]/m, and draws of q know E_q[u f²] the better the larger 1/u are
(`average`).

How well draws and samples will know their own error is foreseen too
(`freedom_of_draws`, `freedom_of_steps`, `freedom_of_average`).

**Source:** Kong, Univ. Chicago Tech. Rep. 348 (1992), for the variance; Liu, Stat.
Comput. 6, 113 (1996), theorem 2.1, for the spectrum.
"""

import math

import numpy as np
from jaxtyping import Float

from genlat.estimators import spread
from genlat.estimators.spread import Spread


def met(
    log_ratio: Float[np.ndarray, "*samples"], n: float | int
) -> Float[np.ndarray, "*samples"]:
    """u = p/q on samples of p, cut off where n draws of q are not expected to come.

    From the largest u on the samples are left out of which n draws of q are expected
    to meet less than one together: an estimate from those draws does not fluctuate by
    them, it lacks them (`estimators.support`). Their u is that of the next.

    **Arguments:** `log_ratio`: ln p/q, both normalised.
    """
    u = ratio(log_ratio)
    inverse = np.sort(1 / np.ravel(u))
    expected = n * np.cumsum(inverse) / inverse.size
    first = min(int(np.searchsorted(expected, 1.0)), inverse.size - 1)
    return np.minimum(u, 1 / inverse[first])


def ratio(log_ratio: Float[np.ndarray, "*samples"]) -> Float[np.ndarray, "*samples"]:
    """u, kept where its square and that of 1/u are numbers."""
    return np.exp(np.clip(log_ratio, -300.0, 300.0))


def importance(
    u: Float[np.ndarray, " m"],
    a: Float[np.ndarray, " m"],
    n: int,
    n_eff: float | int,
) -> Spread:
    """Error of an estimate from n draws of q with influence u a - E_p[a].

    **Arguments:** `u`, `a` on samples of p that are worth `n_eff` independent ones.
    """
    scale = float(np.max(np.abs(a), initial=0.0))
    if scale == 0:
        return spread.NONE
    a = a / scale
    center = float(np.mean(a))
    # the mean of (u a - E_p[a])² / u, as it is under p, but for the last term
    terms = u * a**2 - 2 * center * a + center**2
    control = _control(terms, u, center**2, n_eff)
    terms = terms + control * center**2
    square = float(np.mean(terms))
    if not square > 0:
        return spread.NONE
    third = float(
        np.mean(
            u**2 * a**3
            - 3 * center * u * a**2
            + 3 * center**2 * a
            - center**3 * (1 + control)
        )
    )
    skewness = third / square**1.5 / math.sqrt(n)
    return _known(scale * math.sqrt(square / n), terms, skewness, n_eff)


def chain(
    u: Float[np.ndarray, " m"],
    a: Float[np.ndarray, " m"],
    n: int,
    n_eff: float | int,
) -> Spread:
    r"""Error of an average over n steps of Metropolis with proposals from q.

    On m samples of p, by descending u, the chain has eigenvalues
    $\lambda_k = 1 - Q_k - P_k / u_k$ with P the mass of p from k on and Q that of q
    before k, and vectors that are $P_{k+1}$ at k, -1/m behind and 0 before: what q has
    beyond the samples is rejected. Times n, the variance is

    $$\sum_k \frac{1 + \lambda_k}{1 - \lambda_k} \,
      \frac{(a_k P_{k+1} - A_{k+1})^2}{m P_k P_{k+1}}, \quad
      A_k = \tfrac1m \sum_{i \ge k} a_i .$$

    **Arguments:** `u` normalised by ln Z, by Bennett's ratio where that is not exact.

    The skewness is that of draws held for times of exponential law, of mean u.
    """
    order = np.argsort(-u, kind="stable")
    u, a = u[order], a[order]
    m, scale = u.size, float(np.max(np.abs(a), initial=0.0))
    if scale == 0 or m < 2:
        return spread.NONE
    a = (a - np.mean(a)) / scale
    q = 1 / (m * u)
    mass_p = np.arange(m, 0, -1) / m
    before = np.cumsum(q) - q
    below = mass_p[1:]
    of_a = (np.cumsum(a[::-1])[::-1] / m)[1:]
    # no eigenvalue is below 0; 1/u of few samples may be heavy, and is not q's then
    decay = np.minimum(mass_p / u + before, 1.0)[:-1]
    parts = (a[:-1] * below - of_a) ** 2 / (mass_p[:-1] * below)
    terms = (2 / decay - 1) * parts
    variance = float(np.sum(terms)) / m
    if not variance > 0:
        return spread.NONE
    third = 6 * float(np.mean(u**2 * a**3))
    skewness = third / variance**1.5 / math.sqrt(n)
    return _known(scale * math.sqrt(variance / n), terms, skewness, n_eff)


def average(
    u: Float[np.ndarray, " n"], f: Float[np.ndarray, " n"], m: float | int
) -> Spread:
    """Error of an average over m independent samples of p of influence f.

    **Arguments:** `u` = p/q and `f` on independent draws of q; E_q[u f] = 0.
    """
    scale = float(np.max(np.abs(f), initial=0.0))
    if scale == 0:
        return spread.NONE
    f = f / scale
    terms = u * f**2
    square = float(np.mean(terms))
    if not square > 0:
        return spread.NONE
    skewness = float(np.mean(u * f**3)) / square**1.5 / math.sqrt(m)
    return _known(scale * math.sqrt(square / m), terms, skewness, f.size)


def freedom_of_average(
    u: Float[np.ndarray, " n"], f: Float[np.ndarray, " n"], m: float | int
) -> float:
    """Degrees of freedom that the error of `average` from m samples of p will have."""
    scale = float(np.max(np.abs(f), initial=0.0))
    if scale == 0:
        return math.inf
    square = (f / scale) ** 2
    second, fourth = (float(np.mean(u * x)) for x in (square, square**2))
    if not second > 0:
        return math.inf
    return 2 * m / min(max(fourth / second**2 - 1, 2.0), float(m))


def freedom_of_draws(
    u: Float[np.ndarray, " m"],
    a: Float[np.ndarray, " m"],
    n: int,
    n_eff: float | int,
) -> float:
    """Degrees of freedom that the error from n draws of q themselves will have.

    Of their influence u a - E_p[a], by its fourth moment (`spread.of_independent`).
    """
    return _freedom(u, a, float(np.mean(a)), 1.0, n, n_eff)


def freedom_of_steps(
    u: Float[np.ndarray, " m"],
    a: Float[np.ndarray, " m"],
    n: int,
    n_eff: float | int,
) -> float:
    """The same of n steps of `chain`, of which draws are held for exponential times.

    The fourth moment of these is 4!/2!² times the square of the second.
    """
    return _freedom(u, a - np.mean(a), 0.0, 6.0, n, n_eff)


def _freedom(
    u: Float[np.ndarray, " m"],
    a: Float[np.ndarray, " m"],
    center: float,
    of_times: float,
    n: int,
    n_eff: float | int,
) -> float:
    """Of influences u a - `center`: 2 n / (kurtosis - 1), at most n, at least 2.

    `of_times`: ⟨t⁴⟩/⟨t²⟩² of the times that draws are held.
    """
    scale = float(np.max(np.abs(a), initial=0.0))
    if scale == 0:
        return math.inf
    # in units of the largest u, so that no power is beyond numbers
    largest = max(float(np.max(u)), 1.0)
    v, a, c = u / largest, a / scale, center / scale / largest
    # the means of (v a - c)² / v and (v a - c)⁴ / v, as under p, but for the last term
    square, last = v * a**2 - 2 * c * a + largest * c**2, largest * c**2
    square = square + _control(square, u, last, n_eff) * last
    fourth, last = (
        v**3 * a**4 - 4 * c * v**2 * a**3 + 6 * c**2 * v * a**2 - 4 * c**3 * a,
        largest * c**4,
    )
    fourth = fourth + last
    fourth = fourth + _control(fourth, u, last, n_eff) * last
    second = float(np.mean(square))
    if not second > 0:
        return math.inf
    kurtosis = of_times * largest * float(np.mean(fourth)) / second**2
    return 2 * n / min(max(kurtosis - 1, 2.0), float(n))


def _control(
    terms: Float[np.ndarray, " m"],
    u: Float[np.ndarray, " m"],
    scale: float,
    n_eff: float | int,
) -> Float[np.ndarray, " m"]:
    """A part of 1/u - 1, of mean 0 under p, that takes out what `terms` have of it.

    Near u = 1 that is all of it, `terms + scale (1/u - 1)` is then a square. No more is
    taken than lowers the variance, which a heavy 1/u does not, and nothing where the
    mean is not 0 within three errors: there q has mass that the samples do not meet.
    """
    off = 1 / u - 1
    size = float(np.max(np.abs(off), initial=0.0))
    if size == 0 or scale == 0:
        return np.zeros_like(off)
    x = off / size
    variance = float(np.var(x))
    if not float(np.mean(x)) ** 2 <= 9 * variance / n_eff:
        return np.zeros_like(off)
    slope = -float(np.mean((terms - np.mean(terms)) * x)) / variance
    return off * min(max(slope / size / scale, 0.0), 1.0)


def _known(
    error: float, terms: Float[np.ndarray, " m"], skewness: float, n_eff: float | int
) -> Spread:
    """An error² that is the mean of `terms`, of which `n_eff` are independent."""
    concentration = float(np.sum(terms**2) / np.sum(terms) ** 2)
    concentration *= max(terms.size / n_eff, 1.0)
    variance = max(concentration - 1 / n_eff, 0.0)
    freedom = float(min(2 / variance, n_eff) if variance else n_eff)
    return Spread(error, freedom, concentration, skewness)
