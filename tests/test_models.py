"""Contracts of the densities: both directions, Jacobians, symmetries, normalisation."""

import itertools
import math

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from genlat import lattice
from genlat.models import cnf, fourier, sine
from genlat.models.cnf import CNF
from genlat.models.gaussian import GaussianPair
from genlat.models.vector_field import (
    pullback_modes,
    time_basis,
    time_basis_integrals,
    velocity,
    velocity_and_divergence,
)

SHAPES = [(5,), (4, 4), (4, 6), (2, 3, 4)]


def a_spectrum(shape):
    """Variance of every mode, a different number on every orbit."""
    index, _ = lattice.momentum_orbits(shape)
    return 0.3 + 0.9 * np.cos(1 + np.arange(index.max() + 1))[index] ** 2


def a_model(shape, *, mean=0.7, n_steps=8, strength=0.1, dtype=jnp.float64) -> CNF:
    """A flow with generic parameters: nothing zero, nothing symmetric by accident."""
    model = cnf.build(
        a_spectrum(shape),
        mean,
        jr.key(1),
        n_features=3,
        n_channels=2,
        n_kernel_terms=3,
        n_mixing_terms=2,
        n_steps=n_steps,
    )
    leaves, tree = jax.tree.flatten(model)
    noise = [
        strength * jr.normal(key, leaf.shape)
        for key, leaf in zip(jr.split(jr.key(2), len(leaves)), leaves, strict=True)
    ]
    shifted = [(leaf + x).astype(dtype) for leaf, x in zip(leaves, noise, strict=True)]
    return jax.tree.unflatten(tree, shifted)


@pytest.fixture(params=SHAPES, ids=str)
def model(request) -> CNF:
    return a_model(request.param)


def test_real_fourier_modes_are_orthonormal_and_layout_free():
    phis = jr.normal(jr.key(0), (4, 7, 6, 3))
    modes = fourier.to_modes(phis)
    np.testing.assert_allclose(fourier.to_real(modes), phis, atol=1e-13)
    np.testing.assert_allclose(jnp.sum(modes**2), jnp.sum(phis**2), rtol=1e-13)
    with_channels = jnp.stack([phis, 2 * phis], axis=1)
    np.testing.assert_allclose(
        fourier.to_modes(with_channels, n_batch_axes=2)[:, 1], 2 * modes, atol=1e-13
    )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_sin_cos_to_rounding(dtype):
    angle = jnp.linspace(-40, 40, 100_003, dtype=dtype)
    wide = np.asarray(angle, np.float64)
    tolerance = 40 * float(jnp.finfo(dtype).eps)  # the angle itself is that uncertain
    sin, cos = sine.sin_cos(angle)
    assert sin.dtype == dtype
    np.testing.assert_allclose(sin, np.sin(wide), atol=tolerance)
    np.testing.assert_allclose(cos, np.cos(wide), atol=tolerance)


def test_harmonic_sums_and_their_derivatives():
    weights, angle = jnp.asarray([0.3, -1.1, 0.7, 0.2]), jnp.linspace(-3, 3, 41)
    harmonics = jnp.arange(1, 5)[:, None] * angle[None]

    def series(angle):
        return sine.sine_series(weights, *sine.sin_cos(angle))

    sin, cos = sine.sin_cos(angle)
    np.testing.assert_allclose(series(angle), weights @ jnp.sin(harmonics), atol=1e-13)
    np.testing.assert_allclose(
        sine.cosine_series(weights, cos), weights @ jnp.cos(harmonics), atol=1e-13
    )
    slope = jax.vmap(jax.grad(series))(angle)
    frequency = weights * jnp.arange(1, 5)
    np.testing.assert_allclose(slope, frequency @ jnp.cos(harmonics), atol=1e-12)
    np.testing.assert_allclose(
        jnp.stack(sine.sines(4, sin, cos)), jnp.sin(harmonics), atol=1e-13
    )
    np.testing.assert_allclose(
        jnp.stack(sine.cosines(4, cos)), jnp.cos(harmonics), atol=1e-13
    )


def test_time_basis_integrates_itself():
    grid = np.linspace(0, 0.73, 20_001)
    for k in range(5):
        numeric = np.trapezoid(time_basis(grid, 5)[:, k], grid)
        exact = time_basis_integrals(grid[-1:], 5)[0, k]
        assert exact == pytest.approx(numeric, abs=1e-7)


@pytest.mark.parametrize("mean", [0.0, 0.7])
def test_prior_is_the_stated_density(mean):
    """log q against a multivariate normal, or the mean of two, in field space."""
    shape = (3, 4)
    prior = jax.tree.map(
        lambda x: x.astype(jnp.float64), GaussianPair(a_spectrum(shape), mean)
    )
    modes = np.kron(*(lattice.real_fourier_matrix(n) for n in shape))
    covariance = (
        modes.T
        @ np.diag(np.exp(2 * prior.log_std)[lattice.momentum_orbits(shape)[0].ravel()])
        @ modes
    )
    phi = jr.normal(jr.key(4), shape)
    v = 0.0 if prior.mean is None else float(prior.mean)
    wells = [
        jax.scipy.stats.multivariate_normal.logpdf(
            phi.ravel(), sign * v * jnp.ones(12), jnp.asarray(covariance)
        )
        for sign in (-1, 1)
    ]
    expected = jnp.logaddexp(*wells) - math.log(2)
    np.testing.assert_allclose(prior.log_prob(phi), expected, rtol=1e-12)


def test_prior_samples_have_its_spectrum():
    prior = GaussianPair(a_spectrum((4, 6)), 0.7)
    modes, _ = eqx.filter_jit(prior.sample_modes)(jr.split(jr.key(0), 40_000))
    expected = np.exp(2 * np.asarray(prior.log_std))[lattice.momentum_orbits((4, 6))[0]]
    expected[0, 0] += 24 * float(prior.mean) ** 2  # the two wells
    variance = jnp.mean(modes**2, axis=1)
    np.testing.assert_allclose(variance / expected, 1, atol=5 * math.sqrt(2 / 40_000))
    assert abs(jnp.mean(jnp.sign(modes[0, :, 0]))) < 5 / math.sqrt(40_000)


def test_velocity_is_the_convolution_it_says(model):
    """Against a loop over sites, features and channels in real space, at t = 0.4."""
    shape, field = model.lattice_shape, model.field
    modes = jr.normal(jr.key(5), (shape[0], 1, *shape[1:]))
    at = jax.tree.map(lambda x: x[0], field.coefficients(np.asarray([0.4])))
    found = fourier.to_real(velocity(modes, at) * at.gain / field.frequency)[:, 0]

    phi = np.asarray(fourier.to_real(modes * at.gain / field.frequency)[:, 0])
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
    modes = jr.normal(jr.key(5), (shape[0], 1, *shape[1:]))
    at = jax.tree.map(lambda x: x[1], model.field.coefficients(np.asarray([0.0, 0.6])))
    jacobian = jax.jacfwd(lambda flat: _plain_velocity(flat.reshape(modes.shape), at))(
        modes.ravel()
    )
    _, divergence = velocity_and_divergence(modes, at)
    np.testing.assert_allclose(divergence[0], jnp.trace(jacobian), rtol=1e-11)


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
    keys = jr.split(jr.key(6), 4)
    modes = jr.normal(keys[0], (shape[0], 6, *shape[1:]))
    at = jax.tree.map(lambda x: x[0], model.field.coefficients(np.asarray([0.3])))
    bars = jr.normal(keys[1], modes.shape), jr.normal(keys[2], (6,))

    for function, plain, bar in [
        (velocity_and_divergence, _plain_rates, bars),
        (velocity, lambda *args: _plain_rates(*args)[0], bars[0]),
    ]:
        found = jax.vjp(function, modes, at)[1](bar)
        expected = jax.vjp(plain, modes, at)[1](bar)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-10)

    both = (bars[0], jnp.ones(6))
    expected = jax.vjp(lambda modes: _plain_rates(modes, at), modes)[1](both)[0]
    np.testing.assert_allclose(pullback_modes(modes, at, bars[0]), expected, atol=1e-10)


def test_log_det_converges_to_that_of_the_map(model):
    """Fourth order in the step: 16 times smaller when the step is halved."""
    shape = model.lattice_shape

    def error(n_steps):
        finer = model.with_steps(n_steps)
        key = jr.key(3)
        phi, log_q = finer.sample_and_log_prob(key)
        modes, log_prior = finer.prior.sample_modes(key[None])

        def flow(flat):
            replaced = eqx.tree_at(
                lambda m: m.prior, finer, _Delta(flat.reshape(modes.shape), shape)
            )
            return replaced.sample_batch(key[None])[0].ravel()

        jacobian = jax.jacobian(flow)(modes.ravel())
        np.testing.assert_allclose(flow(modes.ravel()), phi.ravel(), atol=1e-12)
        return abs(float(log_prior[0] - log_q - jnp.linalg.slogdet(jacobian)[1]))

    coarse, fine = error(8), error(16)
    assert fine < 1e-4
    assert 10 < coarse / fine < 25


class _Delta(eqx.Module):
    """A prior that returns given modes: turns sampling into the bare map."""

    modes: jax.Array
    lattice_shape: tuple[int, ...] = eqx.field(static=True)

    def sample_modes(self, keys):
        return self.modes, jnp.zeros(len(keys))


def test_log_prob_returns_the_log_q_of_sampling(model):
    """Also with a coarse integrator: each step is inverted, not merely reversed."""
    coarse = model.with_steps(2)
    phis, log_q = coarse.sample_batch(jr.split(jr.key(8), 5))
    np.testing.assert_allclose(coarse.log_prob_batch(phis), log_q, rtol=1e-12)
    phi, log_q = coarse.sample_and_log_prob(jr.key(9))
    np.testing.assert_allclose(coarse.log_prob(phi), log_q, rtol=1e-12)


def test_flow_agrees_with_diffrax(model):
    """The same ODE by an adaptive eighth-order method at tight tolerance."""
    key = jr.key(10)
    phi, log_q = model.with_steps(64).sample_and_log_prob(key)
    modes, log_prior = model.prior.sample_modes(key[None])

    def rates(t, state, _):
        at = jax.tree.map(lambda x: x[0], _coefficients_at(model.field, t))
        return velocity_and_divergence(state[0], at)

    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(rates),
        diffrax.Dopri8(),
        0.0,
        1.0,
        dt0=None,
        y0=(modes, jnp.zeros(1)),
        stepsize_controller=diffrax.PIDController(rtol=1e-11, atol=1e-11),
    )
    end, divergence = (leaf[0] for leaf in solution.ys)
    log_gain = model.field.log_gain()
    expected = fourier.to_real(end * jnp.exp(log_gain))[:, 0]
    np.testing.assert_allclose(phi, expected, atol=1e-7)
    np.testing.assert_allclose(
        log_q, log_prior[0] - divergence[0] - jnp.sum(log_gain), atol=1e-6
    )


def _coefficients_at(field, t):
    """`field.coefficients` at a traced time, interpolated exactly in its basis."""
    nodes = np.linspace(0, 1, 12)
    basis = np.polynomial.legendre.legvander(2 * nodes - 1, 11)
    series = np.linalg.inv(basis)
    point = _legendre_row(2 * t - 1, 12)
    values = field.coefficients(nodes)
    gain = jnp.log(values.gain)
    physical = values.kernel * values.gain[:, :, None]
    at = {
        name: jnp.tensordot(point @ series, value, 1)
        for name, value in [
            ("gain", gain),
            ("kernel", physical),
            ("mixing", values.mixing),
            ("slopes", values.slopes),
        ]
    }
    gain = jnp.exp(at["gain"])
    return type(values)(
        gain[None],
        (at["kernel"] / gain[:, None])[None],
        at["mixing"][None],
        at["slopes"][None],
    )


def _legendre_row(x, n):
    row = [jnp.ones_like(x), x]
    for k in range(1, n - 1):
        row.append(((2 * k + 1) * x * row[-1] - k * row[-2]) / (k + 1))
    return jnp.stack(row)


def test_flow_commutes_with_every_symmetry(model):
    """log q is unchanged by translations, the point group and φ -> -φ."""
    phi, log_q = model.sample_and_log_prob(jr.key(11))
    images = [-phi, jnp.roll(phi, 1, 0), jnp.roll(phi, 2, phi.ndim - 1)]
    images += [lattice.transform(phi, g) for g in lattice.point_group(phi.shape)]
    stacked = jnp.stack(images, axis=1)
    np.testing.assert_allclose(model.log_prob_batch(stacked), log_q, rtol=1e-11)


def test_a_broken_symmetry_is_noticed():
    """Negative control: an image under what is no symmetry has another log q."""
    model = a_model((4, 6))
    phi, log_q = model.sample_and_log_prob(jr.key(11))
    assert abs(model.log_prob(phi.at[0, 0].multiply(-1)) - log_q) > 1e-3


def test_density_is_normalised():
    """∫ q = 1 on two sites by quadrature, and a wrong log-determinant shows."""
    model = a_model((2,), n_steps=16)
    x = jnp.linspace(-7, 7, 281)
    grid = jnp.stack(jnp.meshgrid(x, x), axis=0).reshape(2, -1)
    q = jnp.exp(model.log_prob_batch(grid))
    assert jnp.sum(q) * (x[1] - x[0]) ** 2 == pytest.approx(1, abs=1e-4)


def test_score_is_the_gradient_of_log_q(model):
    finer = model.with_steps(24)
    keys = jr.split(jr.key(12), 3)
    phis, log_q, score = finer.sample_batch_with_score(keys)
    again, log_q_again = finer.sample_batch(keys)
    np.testing.assert_allclose(phis, again, atol=1e-12)
    np.testing.assert_allclose(log_q, log_q_again, rtol=1e-12)
    direction = jr.normal(jr.key(13), phis.shape)
    step = 1e-4
    ahead, behind = (finer.log_prob_batch(phis + e * direction) for e in (step, -step))
    axes = (0, *range(2, phis.ndim))
    np.testing.assert_allclose(
        jnp.sum(score * direction, axis=axes), (ahead - behind) / (2 * step), atol=2e-4
    )


def test_single_precision_agrees_with_double():
    """float32 inside, float64 sums: log-weights to 10⁻⁴, and no common shift."""
    shape, key = (8, 6), jr.split(jr.key(0), 512)
    single = a_model(shape, strength=0.02, dtype=jnp.float32)
    double = jax.tree.map(lambda x: x.astype(jnp.float64), single)
    phis, log_q = single.sample_batch(key)
    assert phis.dtype == jnp.float32
    assert log_q.dtype == jnp.float64
    error = np.asarray(log_q - double.log_prob_batch(phis.astype(jnp.float64)))
    assert np.abs(error).max() < 3e-4
    assert abs(error.mean()) < 2e-5


def test_draws_do_not_depend_on_their_batch():
    model = a_model((4, 6))
    keys = jr.split(jr.key(1), 6)
    together, log_q = model.sample_batch(keys)
    phi, alone = model.sample_and_log_prob(keys[4])
    np.testing.assert_allclose(together[:, 4], phi, atol=1e-13)
    np.testing.assert_allclose(log_q[4], alone, rtol=1e-13)


def test_invalid_models_are_refused():
    prior, field = a_model((4, 6)).prior, a_model((4, 4)).field
    with pytest.raises(ValueError, match=r"prior on \(4, 6\), field on \(4, 4\)"):
        CNF(prior, field, n_steps=4)
    with pytest.raises(ValueError, match="n_steps must be at least 1, got 0"):
        a_model((4, 4), n_steps=0)
