"""Bijections against their formulas: what no identity of inverse and Jacobian can see.

A layer that moves other sites, or by another function, is as good a bijection.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genlat.models.bijections import transformers
from genlat.models.bijections.splitting import active_sites
from genlat.models.bijections.zero_mode import ZeroMode


@pytest.mark.parametrize("parity", [0, 1])
def test_the_sites_that_move_site_by_site(parity):
    shape = (4, 2, 6)
    of_site = {
        ("checkerboard", 0): lambda t, x, y: t + x + y,
        ("even_odd", 0): lambda t, x, y: (t * 2 + x) * 6 + y,
        ("stripe", 0): lambda t, x, y: t,
        ("stripe", 1): lambda t, x, y: x,
        ("stripe", 2): lambda t, x, y: y,
    }
    for (splitting, axis), number in of_site.items():
        found = active_sites(shape, splitting, parity, axis)
        wanted = [number(*site) % 2 == parity for site in np.ndindex(shape)]
        np.testing.assert_array_equal(found.ravel(), wanted)


@pytest.mark.parametrize(
    "make",
    [
        transformers.Additive,
        transformers.Affine,
        lambda: transformers.RationalQuadraticSpline(1.7, 5),
        lambda: transformers.OddRationalQuadraticSpline(1.7, 5),
    ],
)
def test_zero_parameters_are_the_identity(make):
    """In either direction, with the slope; any others are not."""
    transformer = make()
    x = np.linspace(-2.1, 1.9, 40)
    raw = np.zeros((transformer.n_odd + transformer.n_even, 40))

    @jax.jit
    def both(x, raw):
        return [transformer.apply(x, raw, way) for way in ("forward", "inverse")]

    for y, log_slope in both(x, raw):
        np.testing.assert_allclose(y, x, atol=1e-6)  # of a bound in float32
        np.testing.assert_allclose(log_slope, 0, atol=1e-6)
    moved = both(x, raw + np.linspace(0.2, 1, len(raw))[:, None])
    assert all(np.max(np.abs(y - x)) > 1e-2 for y, _ in moved)


@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_fluctuations_around_the_zero_mode_by_their_formula(direction):
    """A factor e^(Σ c t^k), t = m²/(m² + B²): 1 at c = 0, of c₀ alone at m = 0."""
    layer = ZeroMode((4, 3), 0.3)
    c = np.array([0.3, -0.7, 0.9, 0.4])
    layer = eqx.tree_at(lambda layer: layer.radial, layer, jnp.asarray(c))
    means = np.array([-2.9, -0.8, 0.0, 0.4, 1.7])
    noise = np.random.default_rng(3).normal(size=(5, 4, 3))
    noise -= noise.mean(axis=(1, 2), keepdims=True)
    x = means[:, None, None] + noise
    images, log_det = jax.jit(jax.vmap(lambda x: layer.apply(x, direction)))(x)
    t = means**2 / (means**2 + (4 * 0.3) ** 2)
    log_factor = np.polynomial.polynomial.polyval(t, c)
    log_factor *= 1 if direction == "forward" else -1
    wanted = means[:, None, None] + np.exp(log_factor)[:, None, None] * noise
    np.testing.assert_allclose(images, wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(log_det, 11 * log_factor, rtol=1e-5, atol=1e-5)
