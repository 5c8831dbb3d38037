"""Monotone rational-quadratic splines between knots, elementwise.

**Source:** Durkan et al., arXiv:1906.04032.
"""

import itertools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

# smallest share of a bin, and smallest slope: float32 still inverts to 1e-5
MIN_SHARE, MIN_SLOPE = 1e-2, 1e-2
_SLOPE_OFFSET = math.log(math.expm1(1 - MIN_SLOPE))  # raw 0 is slope 1


class Knots(NamedTuple):
    """Positions, values and slopes, of one spline per site."""

    x: Float[Array, "knots *shape"]
    y: Float[Array, "knots *shape"]
    slope: Float[Array, "knots *shape"]


def edges(
    raw: Float[Array, "bins *shape"], start: Array, stop: Array
) -> Float[Array, "knots *shape"]:
    """Knots from `start` to `stop`, increasing; equally spaced for raw = 0."""
    share = MIN_SHARE + (1 - len(raw) * MIN_SHARE) * jax.nn.softmax(raw, axis=0)
    inner = jnp.stack(list(itertools.accumulate(share[:-1])))
    inner = start + (stop - start) * inner
    one = jnp.ones_like(inner[:1])  # the ends are exact, whatever the sum rounds to
    return jnp.concatenate([start * one, inner, stop * one])


def slopes(raw: Float[Array, "some *shape"]) -> Float[Array, "some *shape"]:
    """Positive; 1 for raw = 0."""
    return MIN_SLOPE + jax.nn.softplus(raw + _SLOPE_OFFSET)


def evaluate(
    x: Float[Array, "*shape"], knots: Knots
) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    """Value and log of the slope; the identity beyond the knots."""
    is_inside, bin_ = _bin_of(x, knots.x, knots)
    fraction = (x - bin_.x) / bin_.width
    mixed = fraction * (1 - fraction)
    below = _below(mixed, bin_)
    above = bin_.secant * fraction**2 + bin_.left * mixed
    y = bin_.y + bin_.height * above / below
    log_slope = _log_slope(fraction, bin_)
    return jnp.where(is_inside, y, x), jnp.where(is_inside, log_slope, 0)


def invert(
    y: Float[Array, "*shape"], knots: Knots
) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    r"""Position and log of the slope of the inverse, from the root that is stable.

    With slopes l, r at the knots, s the secant and g the share of the height, the
    quadratic of Durkan et al. has the discriminant
    $(l - g(l + r))^2 + 4 s^2 g (1 - g)$, a sum of what cannot be negative; theirs,
    $b^2 - 4ac$, is one of large terms that cancel.
    """
    is_inside, bin_ = _bin_of(y, knots.y, knots)
    gain = (y - bin_.y) / bin_.height
    tilt = bin_.left * (1 - gain) - bin_.right * gain
    b = tilt + 2 * bin_.secant * gain
    a = bin_.secant - b  # positive where b is not
    root = jnp.sqrt(tilt**2 + 4 * bin_.secant**2 * gain * (1 - gain))
    is_shallow = b >= 0
    above = jnp.where(is_shallow, 2 * bin_.secant * gain, root - b)
    fraction = above / jnp.where(is_shallow, b + root, 2 * a)
    # beyond the bin by a rounding, the slope would be that of another function
    fraction -= lax.stop_gradient(jnp.maximum(fraction - 1, 0))
    x = bin_.x + bin_.width * fraction
    log_slope = -_log_slope(fraction, bin_)
    return jnp.where(is_inside, x, y), jnp.where(is_inside, log_slope, 0)


class _Bin(NamedTuple):
    x: Array
    y: Array
    width: Array
    height: Array
    secant: Array
    left: Array
    right: Array


def _bin_of(
    at: Float[Array, "*shape"], among: Float[Array, "knots *shape"], knots: Knots
) -> tuple[Bool[Array, "*shape"], _Bin]:
    """Whether `at` lies between the knots, and its bin.

    Outside, the bin is one of width, height and slopes 1 that starts there, so that
    nothing overflows and no derivative is undefined.
    """
    is_inside = (at >= among[0]) & (at < among[-1])
    number = jnp.sum(at[None] >= among[1:-1], axis=0)
    bins = jnp.arange(len(among) - 1).reshape(-1, *(1,) * at.ndim)
    is_here = (number[None] == bins) & is_inside[None]

    def pick(values: Array, outside: Array | float) -> Array:
        picked = jnp.sum(jnp.where(is_here, values, 0), axis=0)
        return jnp.where(is_inside, picked, outside)

    width = pick(jnp.diff(knots.x, axis=0), 1.0)
    height = pick(jnp.diff(knots.y, axis=0), 1.0)
    left, right = pick(knots.slope[:-1], 1.0), pick(knots.slope[1:], 1.0)
    x, y = pick(knots.x[:-1], at), pick(knots.y[:-1], at)
    return is_inside, _Bin(x, y, width, height, height / width, left, right)


def _below(mixed: Array, bin_: _Bin) -> Array:
    """The denominator, of positive terms: ξ (1 - ξ) is at most a quarter."""
    return bin_.secant * (1 - 2 * mixed) + (bin_.left + bin_.right) * mixed


def _log_slope(fraction: Array, bin_: _Bin) -> Array:
    rest = 1 - fraction
    mixed = fraction * rest
    inner = bin_.right * fraction**2 + 2 * bin_.secant * mixed + bin_.left * rest**2
    return 2 * jnp.log(bin_.secant / _below(mixed, bin_)) + jnp.log(inner)
