"""Bennett's ratio and Pareto k against those of packages that others maintain."""

import math
import warnings

import numpy as np
import pytest

from genlat.estimators import tails, two_sided

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # both have something to say when imported
    from pymbar.other_estimators import bar

    try:  # it has moved between the major versions
        from arviz_stats.base import array_stats

        def psislw(log_w):
            return array_stats.psislw(-log_w)  # of log-likelihoods since version 1

        CLOSE = 0.03  # its tail begins elsewhere: a tenth of the error of k
    except ImportError:
        from arviz import psislw

        CLOSE = 1e-8


@pytest.mark.parametrize(
    ("at", "width"), [(0.0, 1.0), (0.3, 0.8), (1.5, 0.7), (2.5, 1)]
)
@pytest.mark.parametrize(("n", "m"), [(20_000, 3_000), (1_500, 6_000)])
def test_bennetts_ratio_is_that_of_pymbar(at, width, n, m):
    """Draws of N(0, 1), samples of an unnormalised Gaussian: ln Z known, too."""
    rng = np.random.default_rng([n, int(10 * at)])
    x, y = rng.normal(size=n), at + width * rng.normal(size=m)

    def log_w(z):
        return -(((z - at) / width) ** 2) / 2 + z**2 / 2 + math.log(2 * math.pi) / 2

    theirs = bar(
        -log_w(x),
        log_w(y),
        method="self-consistent-iteration",
        relative_tolerance=1e-12,
    )
    # chains of one sample: independent, as pymbar takes them
    ours = two_sided.bar(log_w(x), log_w(y)[:, None]).log_z.estimate("bar")
    assert ours.value == pytest.approx(-float(theirs["Delta_f"]), abs=1e-6)
    error = float(theirs["dDelta_f"])
    assert ours.error == pytest.approx(error, rel=0.05, abs=1e-6)
    exact = math.log(width) + math.log(2 * math.pi) / 2
    assert abs(ours.value - exact) < 4.5 * ours.error + 1e-6


@pytest.mark.parametrize("n", [30, 500, 20_000])
@pytest.mark.parametrize("sigma", [0.1, 1.0, 3.0])
def test_pareto_k_is_that_of_arviz(n, sigma):
    rng = np.random.default_rng([n, int(10 * sigma)])
    for log_w in (
        sigma * rng.normal(size=n),
        sigma * np.clip(rng.standard_t(3, size=n), -50, 50),
    ):
        with np.errstate(over="ignore"):
            _, k = psislw(log_w)
        assert tails.pareto_k(log_w) == pytest.approx(float(k), abs=CLOSE, rel=CLOSE)
