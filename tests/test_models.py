"""Contracts of the densities: both directions, Jacobians, symmetries, normalisation."""

import math

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats

from genlat import lattice, symmetry
from genlat.models import fourier
from genlat.models.cnf import CNF
from genlat.models.gaussian import GaussianPair
from genlat.models.vector_field import velocity_and_divergence
from models_for_tests import SHAPES, a_model, a_spectrum

sample = eqx.filter_jit(lambda model, keys: model.sample_batch(keys))
log_prob = eqx.filter_jit(lambda model, phis: model.log_prob_batch(phis))


@pytest.fixture(params=[(5,), (4, 6), (2, 3, 4)], ids=str)
def model(request) -> CNF:
    return a_model(request.param)


@pytest.mark.parametrize(
    ("mean", "in_wells"), [(0.0, "both"), (0.7, "both"), (0.7, "one")]
)
def test_prior_is_the_stated_density(mean, in_wells):
    """log q against a multivariate normal, or the mean of two, in field space."""
    shape = (3, 4)
    prior = GaussianPair(a_spectrum(shape), mean).in_wells(in_wells)
    prior = jax.tree.map(lambda x: x.astype(jnp.float64), prior)
    modes = np.kron(*(lattice.real_fourier_matrix(n) for n in shape))
    covariance = (
        modes.T
        @ np.diag(np.exp(2 * prior.log_std)[lattice.momentum_orbits(shape)[0].ravel()])
        @ modes
    )
    rng = np.random.default_rng(4)
    phi, x = rng.standard_normal(shape), rng.standard_normal((3, 1, 4))
    v = 0.0 if prior.mean is None else float(prior.mean)
    wells = [
        scipy.stats.multivariate_normal.logpdf(
            phi.ravel(), sign * v * np.ones(12), covariance
        )
        for sign in (-1, 1)
    ]
    both = np.logaddexp(*wells) - math.log(2)
    expected = both if in_wells == "both" else wells[1]

    @jax.jit
    def found(phi, x):
        in_modes = jax.grad(lambda x: prior.log_prob_modes(x)[0])
        return prior.log_prob(phi), prior.score_modes(x), in_modes(x)

    log_q, score, in_modes = found(phi, x)
    np.testing.assert_allclose(log_q, expected, rtol=1e-12)
    np.testing.assert_allclose(score, in_modes, rtol=1e-9)
    phis, log_q = jax.jit(lambda key: prior.sample_and_log_prob(key))(jr.key(5))
    np.testing.assert_allclose(found(phis, x)[0], log_q, rtol=1e-12)


def test_one_well_drops_the_other():
    prior = GaussianPair(a_spectrum((4, 6)), 3.0, "one")
    modes, _ = eqx.filter_jit(prior.sample_modes)(jr.split(jr.key(0), 400))
    assert np.min(np.asarray(modes)[0, :, 0]) > 0


def test_prior_samples_have_its_spectrum():
    prior = GaussianPair(a_spectrum((4, 6)), 0.7)
    modes, _ = eqx.filter_jit(prior.sample_modes)(jr.split(jr.key(0), 40_000))
    expected = np.exp(2 * np.asarray(prior.log_std))[lattice.momentum_orbits((4, 6))[0]]
    expected[0, 0] += 24 * float(prior.mean) ** 2  # the two wells
    modes = np.asarray(modes)
    variance = np.mean(modes**2, axis=1)
    np.testing.assert_allclose(variance / expected, 1, atol=5 * math.sqrt(2 / 40_000))
    assert abs(np.mean(np.sign(modes[0, :, 0]))) < 5 / math.sqrt(40_000)


def test_log_det_converges_to_that_of_the_map(model):
    """Fourth order in the step: 16 times smaller when the step is halved."""
    shape = model.lattice_shape

    rough = a_model(shape, strength=0.8)

    @eqx.filter_jit
    def error(n_steps):
        finer = rough.with_steps(n_steps)
        key = jr.key(3)
        phi, log_q = finer.sample_and_log_prob(key)
        modes, log_prior = finer.prior.sample_modes(key[None])

        def flow(flat):
            replaced = eqx.tree_at(
                lambda m: m.prior, finer, _Delta(flat.reshape(modes.shape), shape)
            )
            return replaced.sample_batch(key[None])[0].ravel()

        jacobian = jax.jacobian(flow)(modes.ravel())
        difference = log_prior[0] - log_q - jnp.linalg.slogdet(jacobian)[1]
        return jnp.abs(difference), flow(modes.ravel()), phi.ravel()

    coarse, fine = error(8), error(16)
    np.testing.assert_allclose(fine[1], fine[2], atol=1e-12)
    assert 1e-9 < fine[0] < 1e-3
    assert 8 < coarse[0] / fine[0] < 40


class _Delta(eqx.Module):
    """A prior that returns given modes: turns sampling into the bare map."""

    modes: jax.Array
    lattice_shape: tuple[int, ...] = eqx.field(static=True)

    def sample_modes(self, keys):
        return self.modes, jnp.zeros(len(keys))


def test_log_prob_returns_the_log_q_of_sampling(model):
    """Also with a coarse integrator: each step is inverted, not merely reversed."""
    coarse = model.with_steps(2)
    phis, log_q = sample(coarse, jr.split(jr.key(8), 7))
    np.testing.assert_allclose(log_prob(coarse, phis), log_q, rtol=1e-12)
    phi, log_q = eqx.filter_jit(CNF.sample_and_log_prob)(coarse, jr.key(9))
    again = eqx.filter_jit(CNF.log_prob)(coarse, phi)
    np.testing.assert_allclose(again, log_q, rtol=1e-12)


def test_flow_agrees_with_diffrax(model):
    """The same ODE by an adaptive eighth-order method at tight tolerance."""
    key = jr.key(10)
    phi, log_q = eqx.filter_jit(CNF.sample_and_log_prob)(model.with_steps(64), key)

    @eqx.filter_jit
    def by_diffrax(model, key):
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
        log_q = log_prior[0] - divergence[0] - jnp.sum(log_gain)
        return fourier.leave(end * jnp.exp(log_gain))[0], log_q

    expected, expected_log_q = by_diffrax(model, key)
    np.testing.assert_allclose(phi, expected, atol=1e-7)
    np.testing.assert_allclose(log_q, expected_log_q, atol=1e-6)


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
        values.components,
    )


def _legendre_row(x, n):
    row = [jnp.ones_like(x), x]
    for k in range(1, n - 1):
        row.append(((2 * k + 1) * x * row[-1] - k * row[-2]) / (k + 1))
    return jnp.stack(row)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_flow_commutes_with_every_symmetry(shape):
    """log q is unchanged by translations, the point group and φ -> -φ."""
    model = a_model(shape)
    phi, log_q = _one(model, 11)
    everything = symmetry.point_group(phi.shape)

    @jax.jit
    def stack(phi):
        images = [-phi, jnp.roll(phi, 1, 0), jnp.roll(phi, 2, phi.ndim - 1)]
        return jnp.stack(images + [symmetry.transform(phi, g) for g in everything])

    np.testing.assert_allclose(log_prob(model, stack(phi)), log_q, rtol=1e-11)


def test_a_broken_symmetry_is_noticed():
    """Negative control: an image under what is no symmetry has another log q."""
    model = a_model((4, 6))
    phi, log_q = _one(model, 11)
    image = np.array(phi)
    image[0, 0] *= -1
    assert abs(log_prob(model, jnp.asarray(image)[None])[0] - log_q) > 1e-3


def test_density_is_normalised():
    """∫ q = 1 on two sites by quadrature, and a wrong log-determinant shows."""
    model = a_model((2,), n_steps=16)
    x = np.linspace(-7, 7, 281)
    grid = np.stack(np.meshgrid(x, x), axis=-1).reshape(-1, 2)
    q = np.exp(log_prob(model, jnp.asarray(grid)))
    assert np.sum(q) * (x[1] - x[0]) ** 2 == pytest.approx(1, abs=1e-4)


def test_score_is_the_gradient_of_log_q(model):
    finer = model.with_steps(24)
    keys = jr.split(jr.key(12), 7)
    phis, log_q, score = eqx.filter_jit(CNF.sample_batch_with_score)(finer, keys)
    again, log_q_again = sample(finer, keys)
    np.testing.assert_allclose(phis, again, atol=1e-12)
    np.testing.assert_allclose(log_q, log_q_again, rtol=1e-12)
    phis, score = np.asarray(phis), np.asarray(score)
    direction = np.random.default_rng(13).standard_normal(phis.shape)
    step = 1e-4
    moved = (jnp.asarray(phis + e * direction) for e in (step, -step))
    ahead, behind = (np.asarray(log_prob(finer, x)) for x in moved)
    along = np.sum(score * direction, axis=tuple(range(1, phis.ndim)))
    np.testing.assert_allclose(along, (ahead - behind) / (2 * step), atol=2e-4)


def test_single_precision_agrees_with_double():
    """float32 inside, float64 sums: log-weights to 10⁻⁴, and no common shift."""
    shape, key = (8, 6), jr.split(jr.key(0), 512)
    single = a_model(shape, strength=0.02, dtype=jnp.float32)
    double = jax.tree.map(lambda x: x.astype(jnp.float64), single)
    phis, log_q = sample(single, key)
    assert phis.dtype == jnp.float32
    assert log_q.dtype == jnp.float64
    error = np.asarray(log_q) - log_prob(double, jnp.asarray(phis, jnp.float64))
    assert np.abs(error).max() < 3e-4
    assert abs(error.mean()) < 2e-5


def test_draws_do_not_depend_on_their_batch():
    model = a_model((4, 6))
    keys = jr.split(jr.key(1), 5)
    together, log_q = sample(model, keys)
    phi, alone = eqx.filter_jit(CNF.sample_and_log_prob)(model, keys[4])
    np.testing.assert_allclose(together[4], phi, atol=1e-13)
    np.testing.assert_allclose(log_q[4], alone, rtol=1e-13)


def test_invalid_models_are_refused():
    prior, field = a_model((4, 6)).prior, a_model((4, 4)).field
    with pytest.raises(ValueError, match=r"prior on \(4, 6\), field on \(4, 4\)"):
        CNF(prior, field, n_steps=4)
    with pytest.raises(ValueError, match="n_steps must be at least 1, got 0"):
        a_model((4, 4), n_steps=0)


def _one(model, seed):
    phis, log_q = sample(model, jr.key(seed)[None])
    return phis[0], log_q[0]
