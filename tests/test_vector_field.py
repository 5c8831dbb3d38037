"""The building blocks of the flow: transforms, harmonics, velocity, derivatives."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genlat import lattice
from genlat.models import fourier, sine
from genlat.models.cnf import CNF
from genlat.models.vector_field import (
    pullback_modes,
    time_basis,
    time_basis_integrals,
    velocity,
    velocity_and_divergence,
)
from models_for_tests import SHAPES, a_model


@pytest.fixture(params=SHAPES, ids=str)
def model(request) -> CNF:
    return a_model(request.param)


def normal(seed, shape):
    return np.random.default_rng(seed).standard_normal(shape)


def test_real_fourier_modes_are_orthonormal_and_layout_free():
    phis = normal(0, (4, 7, 6, 3))
    modes = jax.jit(fourier.to_modes)(phis)
    np.testing.assert_allclose(jax.jit(fourier.to_real)(modes), phis, atol=1e-13)
    np.testing.assert_allclose(np.sum(modes**2), np.sum(phis**2), rtol=1e-13)
    batch = np.moveaxis(phis, 1, 0)
    np.testing.assert_array_equal(jax.jit(fourier.enter)(batch), modes)
    np.testing.assert_allclose(jax.jit(fourier.leave)(modes), batch, atol=1e-13)
    with_channels = np.stack([phis, 2 * phis], axis=1)
    channels = jax.jit(lambda x: fourier.to_modes(x, n_batch_axes=2))(with_channels)
    np.testing.assert_allclose(channels[:, 1], 2 * modes, atol=1e-13)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_sin_cos_to_rounding(dtype):
    angle = np.linspace(-40, 40, 100_003, dtype=dtype)
    wide = np.asarray(angle, np.float64)
    tolerance = 40 * float(jnp.finfo(dtype).eps)  # the angle itself is that uncertain
    sin, cos = jax.jit(sine.sin_cos)(angle)
    assert sin.dtype == dtype
    np.testing.assert_allclose(sin, np.sin(wide), atol=tolerance)
    np.testing.assert_allclose(cos, np.cos(wide), atol=tolerance)


def test_harmonic_sums_and_their_derivatives():
    weights, angle = np.asarray([0.3, -1.1, 0.7, 0.2]), np.linspace(-3, 3, 41)
    harmonics = np.arange(1, 5)[:, None] * angle[None]

    @jax.jit
    def found(weights, angle):
        def series(angle):
            return sine.sine_series(weights, *sine.sin_cos(angle))

        sin, cos = sine.sin_cos(angle)
        sums = series(angle), sine.cosine_series(weights, cos)
        slope = jax.vmap(jax.grad(series))(angle)
        terms = jnp.stack(sine.sines(4, sin, cos)), jnp.stack(sine.cosines(4, cos))
        return *sums, slope, *terms

    sine_sum, cosine_sum, slope, sines, cosines = found(weights, angle)
    np.testing.assert_allclose(sine_sum, weights @ np.sin(harmonics), atol=1e-13)
    np.testing.assert_allclose(cosine_sum, weights @ np.cos(harmonics), atol=1e-13)
    frequency = weights * np.arange(1, 5)
    np.testing.assert_allclose(slope, frequency @ np.cos(harmonics), atol=1e-12)
    np.testing.assert_allclose(sines, np.sin(harmonics), atol=1e-13)
    np.testing.assert_allclose(cosines, np.cos(harmonics), atol=1e-13)


def test_time_basis_integrates_itself():
    grid = np.linspace(0, 0.73, 20_001)
    for k in range(5):
        numeric = np.trapezoid(time_basis(grid, 5)[:, k], grid)
        exact = time_basis_integrals(grid[-1:], 5)[0, k]
        assert exact == pytest.approx(numeric, abs=1e-7)


def test_velocity_is_the_convolution_it_says(model):
    """Against a loop over sites, features and channels in real space, at t = 0.4."""
    shape, field = model.lattice_shape, jax.tree.map(np.asarray, model.field)
    modes = normal(5, (shape[0], 1, *shape[1:]))

    @jax.jit
    def in_real_space(field, modes):
        at = _at(field, 0.4)
        moved = fourier.to_real(velocity(modes, at) * at.gain / field.frequency)
        phi = fourier.to_real(modes * at.gain / field.frequency)
        return moved[:, 0], phi[:, 0], at

    found, phi, at = jax.tree.map(np.asarray, in_real_space(field, modes))
    features = np.stack(
        [np.sin(f * field.frequency * phi) for f in range(1, at.mixing.shape[1] + 1)]
    )
    mixed = np.tensordot(at.mixing, features, 1)
    kernel_hat = np.tensordot(time_basis(np.asarray([0.4]), 3)[0], field.kernel, 1)
    _, momenta = lattice.momentum_orbits(shape)
    expected = np.zeros(shape)
    for x, y in itertools.product(np.ndindex(shape), repeat=2):
        distance = np.subtract(x, y)
        kernel = np.zeros(len(kernel_hat))
        for k in np.ndindex(shape):
            orbit = _orbit(k, shape, momenta)
            phase = 2 * math.pi * sum(distance * np.asarray(k) / np.asarray(shape))
            kernel += kernel_hat[:, orbit] * math.cos(phase) / math.prod(shape)
        expected[x] += kernel @ mixed[(slice(None), *y)]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def _orbit(k, shape, momenta):
    """Orbit of an ordinary momentum: |k| per axis, largest first on equal extents."""
    folded = [
        min(component, n - component) for component, n in zip(k, shape, strict=True)
    ]
    for extent in set(shape):
        axes = [axis for axis, n in enumerate(shape) if n == extent]
        for axis, value in zip(
            axes, sorted((folded[a] for a in axes), reverse=True), strict=True
        ):
            folded[axis] = value
    return np.flatnonzero((momenta == folded).all(axis=1))[0]


def test_divergence_is_the_trace_of_the_jacobian(model):
    shape = model.lattice_shape
    modes = normal(5, (shape[0], 1, *shape[1:]))

    @jax.jit
    def both(field, modes):
        at = _at(field, 0.0, 0.6)
        jacobian = jax.jacfwd(lambda x: _plain_velocity(x.reshape(modes.shape), at))
        _, divergence = velocity_and_divergence(modes, at)
        return divergence[0], jnp.trace(jacobian(modes.ravel()))

    divergence, trace = both(model.field, modes)
    np.testing.assert_allclose(divergence, trace, rtol=1e-11)


def _at(field, *times):
    """Coefficients at the last of `times`."""
    return jax.tree.map(lambda x: x[-1], field.coefficients(np.asarray(times)))


def _plain_velocity(modes, at):
    """The velocity without hand-written derivatives, for autodiff to differentiate."""
    angle = fourier.to_real(at.gain * modes)
    features = jnp.stack([jnp.sin(f * angle) for f in range(1, at.mixing.shape[1] + 1)])
    mixed = jnp.moveaxis(jnp.tensordot(at.mixing, features, 1), 0, 1)
    return jnp.sum(at.kernel * fourier.to_modes(mixed, n_batch_axes=2), axis=1).ravel()


def _plain_rates(modes, at):
    velocity = _plain_velocity(modes, at).reshape(modes.shape)
    cos = jnp.stack(
        [
            jnp.cos(f * fourier.to_real(at.gain * modes))
            for f in range(1, at.mixing.shape[1] + 1)
        ]
    )
    axes = (0, *range(2, modes.ndim))
    return velocity, jnp.sum(jnp.tensordot(at.slopes, cos, 1), axis=axes)


def test_hand_written_derivatives(model):
    """Pullbacks of velocity and divergence against autodiff of the plain formulas."""
    shape = model.lattice_shape
    modes, bar = normal(6, (2, shape[0], 6, *shape[1:]))
    bars = bar, normal(7, 6)

    @jax.jit
    def pulled(field, modes, bars):
        at = _at(field, 0.3)
        both = (bars[0], jnp.ones(6))
        by_modes = jax.vjp(lambda modes: _plain_rates(modes, at), modes)[1](both)[0]
        pairs = [(pullback_modes(modes, at, bars[0]), by_modes)]
        for function, plain, bar in [
            (velocity_and_divergence, _plain_rates, bars),
            (velocity, lambda *args: _plain_rates(*args)[0], bars[0]),
        ]:
            found = jax.vjp(function, modes, at)[1](bar)
            expected = jax.vjp(plain, modes, at)[1](bar)
            leaves = jax.tree.leaves(found), jax.tree.leaves(expected)
            pairs.extend(zip(*leaves, strict=True))
        return pairs

    for found, expected in pulled(model.field, modes, bars):
        np.testing.assert_allclose(found, expected, atol=1e-10)
