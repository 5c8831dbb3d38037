"""Fields of several components in the continuous flow: features and densities."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from genlat import symmetry
from genlat.models import fourier
from genlat.models.cnf import CNF
from genlat.models.gaussian_vectors import GaussianVectors
from genlat.models.sites import Numbers, Vectors
from genlat.models.vector_field import (
    pullback_modes,
    velocity,
    velocity_and_divergence,
)
from genlat.training import transfer
from models_for_tests import a_model, a_spectrum

WEIGHTS = np.asarray([0.3, -1.1, 0.7, 0.2])
HARMONICS = np.arange(1, 5)
CASES = [((4,), 1), ((3, 2), 3), ((2, 2, 3), 2)]
over_cases = pytest.mark.parametrize(("shape", "n"), CASES, ids=str)


def values(n, columns=7, scale=2.0):
    return scale * normal(n, (2, n, columns))


def normal(seed, shape):
    return np.random.default_rng(seed).standard_normal(shape)


def plain_series(weights, angle):
    """The same by autodiff's means: of vectors away from 0."""
    theta = jnp.sqrt(jnp.sum(angle**2, axis=1, keepdims=True))
    terms = jnp.sin(HARMONICS[:, None, None, None] * theta[None])
    return jnp.tensordot(weights, terms, 1) * angle / theta


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_radial_features_and_their_derivatives(n):
    angle, bar = values(n), values(n + 10)[:, :n]
    slopes = WEIGHTS * HARMONICS

    @jax.jit
    def found(angle, weights, slopes):
        sites = Vectors(angle)
        rates = jnp.tensordot(slopes, jnp.stack(sites.divergence_terms(4)), 1)
        felt = jnp.tensordot(weights, jnp.stack(sites.terms(4)), 1) * sites.along(bar)
        by_terms = rates, felt
        series, pulled = sites.series(weights), sites.pull_series(weights, bar)
        rates = sites.divergence(slopes), sites.pull_divergence(slopes)
        return series, pulled, *rates, *by_terms

    def divergence(at):
        def one(x):
            return plain_series(WEIGHTS, x[None, :, None])[0, :, 0]

        return jnp.trace(jax.jacfwd(one)(at))

    @jax.jit
    def plain(angle):
        series, pull = jax.vjp(lambda x: plain_series(WEIGHTS, x), angle)
        columns = jnp.moveaxis(angle, 1, -1)
        both = jax.vmap(jax.vmap(jax.value_and_grad(divergence)))
        rates, slope = both(columns)
        return series, pull(bar)[0], rates, jnp.moveaxis(slope, -1, 1)

    series, pulled, rates, slope, *by_terms = found(angle, WEIGHTS, slopes)
    wanted = plain(angle)
    np.testing.assert_allclose(series, wanted[0], atol=1e-13)
    np.testing.assert_allclose(pulled, wanted[1], atol=1e-12)
    np.testing.assert_allclose(rates, wanted[2], atol=1e-12)
    np.testing.assert_allclose(slope, wanted[3], atol=1e-11)
    np.testing.assert_allclose(by_terms[0], wanted[2], atol=1e-12)
    felt = np.sum(bar * series, axis=1)
    np.testing.assert_allclose(by_terms[1], felt, atol=1e-12)


def test_one_component_is_a_number():
    angle, bar = values(1), values(11)[:, :1]

    @jax.jit
    def pairs(angle, w):
        one, number = Vectors(angle), Numbers(angle[:, 0])
        return [
            (one.series(w)[:, 0], number.series(w)),
            (one.pull_series(w, bar)[:, 0], number.pull_series(w, bar[:, 0])),
            (one.divergence(w), number.divergence(w)),
            (one.pull_divergence(w)[:, 0], number.pull_divergence(w)),
        ]

    for found, wanted in pairs(angle, WEIGHTS):
        np.testing.assert_allclose(found, wanted, atol=1e-13)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("n", [2, 3])
def test_short_vectors_are_as_good_as_long_ones(n, dtype):
    """Every length from 0 on, against the Taylor series of the same numbers."""
    lengths = np.concatenate([[0.0], 10.0 ** np.arange(-30, -0.9, 0.25)])
    direction = np.array([0.6, -0.8, 0.0])[:n]
    angle = np.asarray(direction[:, None] * lengths, dtype)[None]
    slopes = (WEIGHTS * HARMONICS).astype(dtype)

    @jax.jit
    def of_sites(angle, weights, slopes):
        sites = Vectors(angle)
        divergence, pulled = sites.divergence(slopes), sites.pull_divergence(slopes)
        return sites.series(weights)[0], divergence[0], pulled[0]

    series, divergence, found = of_sites(angle, WEIGHTS.astype(dtype), slopes)
    weights, f = WEIGHTS, HARMONICS
    order = np.arange(12)
    # of sin(fθ)/θ in powers of θ²
    pairs = 2 * order[1:] * (2 * order[1:] + 1)
    factorials = np.cumprod(np.concatenate([[1.0], pairs]))
    taylor = np.array([weights @ f ** (2 * k + 1) * (-1) ** k for k in order])
    taylor = taylor / factorials
    powers = lengths[:, None] ** (2 * order)
    across = powers @ taylor
    along = powers @ (taylor * (2 * order + 1))
    eps = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(
        divergence, along + (n - 1) * across, rtol=0, atol=60 * eps
    )
    wanted = direction[:, None] * lengths * across
    np.testing.assert_allclose(series, wanted, rtol=40 * eps, atol=1e-19)
    step = lengths[:, None] ** np.abs(2 * order - 1) * (order > 0)
    slope = step @ (taylor * 2 * order * (2 * order + n))
    assert np.all(np.isfinite(found))
    # where rounding ε/θ of two terms meets what the short series leaves out
    np.testing.assert_allclose(
        found, direction[:, None] * slope, rtol=0, atol=100 * eps ** (5 / 6)
    )


@over_cases
def test_derivatives_of_the_field(shape, n):
    """Divergence and pullbacks against autodiff of the velocity itself, compiled."""
    model = a_model(shape, components=(n,))
    modes, bar = normal(6, (2, shape[0], n, 2, *shape[1:]))
    bar, tangent = jnp.asarray(bar), normal(7, model.field.mixing.shape[-1])

    def plain(modes, at):
        angle = fourier.to_real(at.gain * modes, 2)
        columns = angle.reshape(shape[0], n, -1)
        theta = jnp.sqrt(jnp.sum(columns**2, axis=1, keepdims=True))
        f = jnp.arange(1, at.mixing.shape[1] + 1)[:, None, None, None]
        waves = jnp.tensordot(at.mixing, jnp.sin(f * theta[None]), 1)
        mixed = waves * (columns / theta)[None]
        features = jnp.moveaxis(mixed, 0, 1).reshape(shape[0], -1, *modes.shape[1:])
        return jnp.sum(at.kernel * fourier.to_modes(features, 3), axis=1)

    def traces(modes, at):
        def of_one(flat):
            one = flat.reshape(shape[0], n, 1, *shape[1:])
            return plain(one, at).ravel()

        def of_columns(flat):
            return jnp.trace(jax.jacfwd(of_one)(flat))

        return jax.vmap(of_columns)(jnp.moveaxis(modes, 2, 0).reshape(2, -1))

    @jax.jit
    def coefficients(field):
        return jax.tree.map(lambda x: x[0], field.coefficients(np.asarray([0.3])))

    @jax.jit
    def wanted(modes, at):
        rate, pull = jax.vjp(plain, modes, at)
        both = jax.grad(lambda x: jnp.sum(bar * plain(x, at)) + jnp.sum(traces(x, at)))
        return rate, pull(bar), traces(modes, at), both(modes)

    @jax.jit
    def found(modes, at):
        rate, pull = jax.vjp(velocity, modes, at)
        (_, divergence), pull_both = jax.vjp(velocity_and_divergence, modes, at)
        slopes = pull_both((jnp.zeros_like(modes), jnp.ones(2)))[1].slopes
        pulled = pull(bar), divergence, pullback_modes(modes, at, bar)
        shifted = eqx.tree_at(lambda c: c.slopes, at, at.slopes + tangent)
        change = velocity_and_divergence(modes, shifted)[1] - divergence
        return (rate, *pulled), (slopes @ tangent, jnp.sum(change))

    at = coefficients(model.field)
    (rate, pulled, divergence, both), of_slopes = found(modes, at)
    expected = wanted(modes, at)
    np.testing.assert_allclose(rate, expected[0], atol=1e-12)
    leaves = jax.tree.leaves(pulled), jax.tree.leaves(expected[1])
    for a, b in zip(*leaves, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-10)
    np.testing.assert_allclose(divergence, expected[2], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(both, expected[3], atol=1e-9)
    # the slopes' own cotangent, by which the divergence trains
    np.testing.assert_allclose(*of_slopes, rtol=1e-10)


class Delta(eqx.Module):
    """A prior that returns given modes: turns sampling into the bare map."""

    modes: jax.Array
    lattice_shape: tuple[int, ...] = eqx.field(static=True)
    components: tuple[int, ...] = eqx.field(static=True)

    def sample_modes(self, keys):
        return self.modes, jnp.zeros(len(keys))


@pytest.mark.parametrize(("shape", "n"), [((3,), 2), ((2, 3), 3)])
def test_log_q_is_the_jacobian(shape, n):
    model = a_model(shape, components=(n,), n_steps=40)
    keys = jr.split(jr.key(4), 1)
    modes = normal(4, (shape[0], n, 1, *shape[1:]))

    def mapped(flat):
        prior = Delta(flat.reshape(modes.shape), shape, (n,))
        phis, log_q = eqx.tree_at(lambda m: m.prior, model, prior).sample_batch(keys)
        return phis.ravel(), log_q[0]

    jacobian, log_q = jax.jit(jax.jacrev(mapped, has_aux=True))(modes.ravel())
    _, log_det = np.linalg.slogdet(jacobian)
    np.testing.assert_allclose(-log_q, log_det, atol=1e-7)


@functools.partial(jax.jit, static_argnums=(1, 2))
def sample(model, seed, n):
    return model.sample_batch(jr.split(jr.key(seed), n))


@over_cases
def test_both_directions_and_the_score(shape, n):
    model = a_model(shape, components=(n,))
    phis, log_q = sample(model, 5, 6)
    assert phis.shape == (6, *shape, n) == (6, *model.field_shape)

    @jax.jit
    def summed(phis):
        log_prob = model.log_prob_batch(phis)
        return jnp.sum(log_prob), log_prob

    wanted, log_prob = jax.grad(summed, has_aux=True)(phis)
    np.testing.assert_allclose(log_prob, log_q, rtol=1e-11)
    moved, again, score = jax.jit(
        lambda: model.sample_batch_with_score(jr.split(jr.key(5), 6))
    )()
    np.testing.assert_allclose(moved, phis, rtol=1e-12)
    np.testing.assert_allclose(again, log_q, rtol=1e-12)
    fine = np.max(np.abs(wanted))
    np.testing.assert_allclose(score, wanted, atol=3e-3 * fine)  # of finite steps


@over_cases
def test_the_flow_commutes_with_all_symmetries(shape, n):
    """log q of images is log q: O(N), permutations, translations, the point group."""
    model = a_model(shape, components=(n,))
    phis, log_q = sample(model, 5, 6)
    rotation = np.linalg.qr(normal(1, (n, n)))[0]
    elements = [
        group[place]
        for group in (symmetry.group(shape, (name,), n) for name in symmetry.FINITE)
        for place in (-1, len(group) // 2)
    ]
    stretched = np.asarray(phis) * np.where(np.arange(n) == 0, 1.5, 1)

    @jax.jit
    def log_prob(phis):
        images = [jax.vmap(g.apply)(phis) for g in elements]
        everything = jnp.concatenate([phis @ rotation, stretched, *images])
        return model.log_prob_batch(everything).reshape(-1, len(phis))

    turned, of_stretched, *of_images = log_prob(phis)
    np.testing.assert_allclose(turned, log_q, rtol=1e-10)
    assert len(of_images) == 2 * len(symmetry.FINITE)
    for found in of_images:
        np.testing.assert_allclose(found, log_q, rtol=1e-10)
    # negative control: one component alone is no symmetry
    if n > 1:
        assert np.all(np.abs(of_stretched - log_q) > 1e-3)


def test_components_mix():
    """The flow is none of independent components."""
    model = a_model((4,), components=(2,))
    modes = normal(2, (4, 2, 1))
    other = modes * np.array([1, 1.7])[None, :, None]

    @jax.jit
    def rates(modes):
        at = model.field.coefficients(np.asarray([0.5]))
        return velocity(modes, jax.tree.map(lambda x: x[0], at))

    change = rates(other)[:, 0] - rates(modes)[:, 0]
    assert np.max(np.abs(change)) > 1e-2


def test_the_prior_is_as_many_independent_fields():
    from genlat.models.gaussian import GaussianPair

    variance = a_spectrum((3, 4))
    one, many = GaussianPair(variance), GaussianVectors(variance, 3)

    @jax.jit
    def densities():
        phis, log_q = many.sample_batch(jr.split(jr.key(0), 5))
        parts = [one.log_prob_batch(phis[..., a]) for a in range(3)]
        return phis, log_q, many.log_prob_batch(phis), sum(parts)

    phis, log_q, log_prob, parts = densities()
    assert phis.shape == (5, 3, 4, 3)
    np.testing.assert_allclose(log_q, parts, rtol=1e-6)
    np.testing.assert_allclose(log_prob, parts, rtol=1e-6)

    @jax.jit
    def modes():
        draws, _ = many.sample_batch(jr.split(jr.key(1), 20_000))
        return fourier.enter(draws, 1)

    power = np.mean(np.asarray(modes()) ** 2, axis=2)
    for a in range(3):
        spread = np.sqrt(2 / 20_000) * variance
        assert np.max(np.abs(power[:, a] - variance) / spread) < 4.5


def test_a_flow_of_components_on_a_larger_lattice():
    model = a_model((4, 4), components=(2,), dtype=jnp.float32)
    assert transfer.enlarge(model, (4, 4)) is model
    larger = transfer.enlarge(model, (6, 6))
    assert larger.field_shape == (6, 6, 2)
    assert larger.prior.n_components == 2
    padded = transfer.pad_kernel(model.prior.log_std, (4, 4), (6, 6))
    np.testing.assert_allclose(larger.prior.log_std, padded, rtol=1e-6)
    phis, log_q = sample(larger, 1, 3)
    assert phis.shape == (3, 6, 6, 2)
    log_prob = jax.jit(lambda phis: larger.log_prob_batch(phis))(phis)
    np.testing.assert_allclose(log_prob, log_q, atol=2e-3)


def test_components_of_prior_and_field_must_agree():
    model = a_model((4, 4), components=(2,))
    wanted = r"prior of components \(3,\), field of \(2,\)"
    with pytest.raises(ValueError, match=wanted):
        CNF(GaussianVectors(a_spectrum((4, 4)), 3), model.field, n_steps=2)
