"""Splines in float32 where networks see fields of 20 to 50 standard deviations."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from genlat.models.bijections import spline, transformers

N = 20_000
KINDS = (
    transformers.RationalQuadraticSpline,
    transformers.OddRationalQuadraticSpline,
)
EPS = float(np.finfo(np.float32).eps)


@pytest.mark.parametrize("direction", ["forward", "inverse"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_slope_is_that_of_the_identity_at_either_end(kind, direction):
    """Where the spline meets it: a flow whose slope jumps has a log q that does."""
    bijection = kind(jnp.asarray(1.7, jnp.float32), n_bins=5)
    raw = jr.normal(jr.key(9), (bijection.n_odd + bijection.n_even, 200))
    bound = float(jnp.exp(bijection.log_bound))
    for end in (-bound, bound):
        inside = jnp.full(200, end * (1 - 1e-9))
        y, log_slope = bijection.apply(inside, raw, direction)
        np.testing.assert_allclose(y, end, rtol=1e-7)
        np.testing.assert_allclose(log_slope, 0, atol=1e-5)
    # which is not so because it is the identity everywhere
    _, between = bijection.apply(jnp.full(200, 0.6 * bound), raw, direction)
    assert np.std(between) > 0.2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("sigma", "size"), [(20.0, 20.0), (50.0, 500.0)])
def test_far_out_there_and_back_in_single_precision(kind, sigma, size):
    """Values within 160 standard deviations, knots and slopes as extreme as they get.

    A rounding of y is one of x times the inverse slope, which is 100 at most but where
    a bin of least width and height lies beside a steep one.
    """
    bound = 160.0
    bijection = kind(jnp.asarray(bound, jnp.float32))
    key_raw, key_y = jr.split(jr.key(7))
    shape = (bijection.n_odd + bijection.n_even, N)
    raw = size * jr.normal(key_raw, shape, jnp.float32)
    y = sigma * jr.normal(key_y, (N,), jnp.float32)
    x, log_inverse = jax.jit(lambda y: bijection.apply(y, raw, "inverse"))(y)
    back, log_slope = jax.jit(lambda x: bijection.apply(x, raw, "forward"))(x)
    assert x.dtype == log_inverse.dtype == jnp.float32
    assert np.all(np.isfinite(x))
    assert np.all(np.isfinite(log_inverse))
    if size <= 20:  # beyond, slopes themselves amplify a rounding of x
        np.testing.assert_allclose(back, y, rtol=0, atol=200 * bound * EPS)
        np.testing.assert_allclose(log_inverse, -log_slope, rtol=0, atol=3e-3)


def test_the_inverse_is_that_of_double_precision_in_hostile_bins():
    """Slopes from 1e-2 to 1e4 on either side of secants from 1e-2 to 1e2, and y at the
    very ends of the bin: no NaN, and the position of float64."""
    key = jr.split(jr.key(8), 4)
    left, right = 10.0 ** jr.uniform(key[0], (2, N), jnp.float64, -2.0, 4.0)
    height = 10 ** jr.uniform(key[1], (N,), jnp.float64, -2.0, 2.0)
    share = jr.uniform(key[2], (N,), jnp.float64)
    near = 1 - 10 ** jr.uniform(key[3], (N,), jnp.float64, -7.0, 0.0)
    share = jnp.where(jnp.arange(N) % 2, share, near)

    ends, h, g = (
        jnp.asarray(v, jnp.float32) for v in (jnp.stack([left, right]), height, share)
    )
    # the end belongs to the next bin
    y = jnp.minimum(g * h, jnp.nextafter(h, jnp.zeros_like(h)))

    def invert(dtype):
        at, top, slope = (v.astype(dtype) for v in (y, h, ends))
        zero, one = jnp.zeros_like(top), jnp.ones_like(top)
        knots = spline.Knots(jnp.stack([zero, one]), jnp.stack([zero, top]), slope)
        return jax.jit(spline.invert)(at, knots)

    x, log_slope = invert(jnp.float32)
    wanted, log_wanted = invert(jnp.float64)
    assert np.all(np.isfinite(x))
    assert np.all((x >= 0) & (x <= 1 + 4 * EPS))
    # y is rounded: the slope of the inverse carries that over
    tolerance = 20 * EPS * (1 + np.exp(np.asarray(log_wanted)) * np.asarray(height))
    assert np.all(np.abs(np.asarray(x) - np.asarray(wanted)) < tolerance)
    assert np.quantile(np.abs(log_slope - log_wanted), 0.99) < 3e-2
    zero, one = jnp.zeros((N,)), jnp.ones((N,))
    steep, top, at = (v.astype(jnp.float64) for v in (ends, h, y))
    knots = spline.Knots(jnp.stack([zero, one]), jnp.stack([zero, top]), steep)
    back, log_back = jax.jit(spline.evaluate)(wanted, knots)
    np.testing.assert_allclose(back / top, at / top, rtol=0, atol=1e-9)
    np.testing.assert_allclose(log_back, -log_wanted, rtol=0, atol=1e-9)
