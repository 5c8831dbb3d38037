"""Fields of several components in the continuous flow: features and densities."""

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

WEIGHTS = jnp.asarray([0.3, -1.1, 0.7, 0.2])
HARMONICS = jnp.arange(1, 5)
CASES = [((4,), 1), ((3, 2), 3), ((2, 2, 3), 2)]
over_cases = pytest.mark.parametrize(("shape", "n"), CASES, ids=str)


def values(n, columns=7, scale=2.0):
    return scale * jr.normal(jr.key(n), (2, n, columns))


def plain_series(weights, angle):
    """The same by autodiff's means: of vectors away from 0."""
    theta = jnp.sqrt(jnp.sum(angle**2, axis=1, keepdims=True))
    terms = jnp.sin(HARMONICS[:, None, None, None] * theta[None])
    return jnp.tensordot(weights, terms, 1) * angle / theta


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_radial_features_and_their_derivatives(n):
    angle, bar = values(n), values(n + 10)[:, :n]
    sites = Vectors(angle)
    np.testing.assert_allclose(
        sites.series(WEIGHTS), plain_series(WEIGHTS, angle), atol=1e-13
    )
    _, pull = jax.vjp(lambda x: plain_series(WEIGHTS, x), angle)
    np.testing.assert_allclose(
        sites.pull_series(WEIGHTS, bar), pull(bar)[0], atol=1e-12
    )

    def divergence(at):
        def one(x):
            return plain_series(WEIGHTS, x[None, :, None])[0, :, 0]

        return jnp.trace(jax.jacfwd(one)(at))

    slopes = WEIGHTS * HARMONICS
    columns = jnp.moveaxis(angle, 1, -1)
    wanted = jax.vmap(jax.vmap(divergence))(columns)
    np.testing.assert_allclose(sites.divergence(slopes), wanted, atol=1e-12)
    gradient = jax.vmap(jax.vmap(jax.grad(divergence)))(columns)
    np.testing.assert_allclose(
        sites.pull_divergence(slopes), jnp.moveaxis(gradient, -1, 1), atol=1e-11
    )
    by_terms = jnp.tensordot(slopes, jnp.stack(sites.divergence_terms(4)), 1)
    np.testing.assert_allclose(by_terms, wanted, atol=1e-12)
    felt = jnp.sum(bar * sites.series(WEIGHTS), axis=1)
    by_terms = jnp.tensordot(WEIGHTS, jnp.stack(sites.terms(4)), 1) * sites.along(bar)
    np.testing.assert_allclose(by_terms, felt, atol=1e-12)


def test_one_component_is_a_number():
    angle = values(1)
    one, number = Vectors(angle), Numbers(angle[:, 0])
    bar = values(11)[:, :1]
    for found, wanted in [
        (one.series(WEIGHTS)[:, 0], number.series(WEIGHTS)),
        (one.pull_series(WEIGHTS, bar)[:, 0], number.pull_series(WEIGHTS, bar[:, 0])),
        (one.divergence(WEIGHTS), number.divergence(WEIGHTS)),
        (one.pull_divergence(WEIGHTS)[:, 0], number.pull_divergence(WEIGHTS)),
    ]:
        np.testing.assert_allclose(found, wanted, atol=1e-13)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("n", [2, 3])
def test_short_vectors_are_as_good_as_long_ones(n, dtype):
    """Every length from 0 on, against the Taylor series of the same numbers."""
    lengths = np.concatenate([[0.0], 10.0 ** np.arange(-30, -0.9, 0.25)])
    direction = np.array([0.6, -0.8, 0.0])[:n]
    angle = jnp.asarray(direction[:, None] * lengths, dtype)[None]
    sites, slopes = Vectors(angle), (WEIGHTS * HARMONICS).astype(dtype)
    weights = np.asarray(WEIGHTS, np.float64)
    f = np.arange(1, 5)
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
        sites.divergence(slopes)[0], along + (n - 1) * across, rtol=0, atol=60 * eps
    )
    np.testing.assert_allclose(
        sites.series(WEIGHTS.astype(dtype))[0],
        direction[:, None] * lengths * across,
        rtol=40 * eps,
        atol=1e-19,
    )
    step = lengths[:, None] ** np.abs(2 * order - 1) * (order > 0)
    slope = step @ (taylor * 2 * order * (2 * order + n))
    found = sites.pull_divergence(slopes)[0]
    assert np.all(np.isfinite(found))
    # where rounding ε/θ of two terms meets what the short series leaves out
    np.testing.assert_allclose(
        found, direction[:, None] * slope, rtol=0, atol=100 * eps ** (5 / 6)
    )


@over_cases
def test_derivatives_of_the_field(shape, n):
    """Divergence and pullbacks against autodiff of the velocity itself, compiled."""
    model = a_model(shape, components=(n,))
    keys = jr.split(jr.key(6), 3)
    modes = jr.normal(keys[0], (shape[0], n, 2, *shape[1:]))
    at = jax.tree.map(lambda x: x[0], model.field.coefficients(np.asarray([0.3])))

    def plain(modes, at):
        angle = fourier.to_real(at.gain * modes, 2)
        columns = angle.reshape(shape[0], n, -1)
        theta = jnp.sqrt(jnp.sum(columns**2, axis=1, keepdims=True))
        f = jnp.arange(1, at.mixing.shape[1] + 1)[:, None, None, None]
        waves = jnp.tensordot(at.mixing, jnp.sin(f * theta[None]), 1)
        mixed = waves * (columns / theta)[None]
        features = jnp.moveaxis(mixed, 0, 1).reshape(shape[0], -1, *modes.shape[1:])
        return jnp.sum(at.kernel * fourier.to_modes(features, 3), axis=1)

    bar = jr.normal(keys[1], modes.shape)
    np.testing.assert_allclose(velocity(modes, at), plain(modes, at), atol=1e-12)
    for a, b in zip(
        jax.tree.leaves(jax.jit(lambda *x: jax.vjp(velocity, *x)[1](bar))(modes, at)),
        jax.tree.leaves(jax.jit(lambda *x: jax.vjp(plain, *x)[1](bar))(modes, at)),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, atol=1e-10)

    def of_one(flat):
        one = flat.reshape(shape[0], n, 1, *shape[1:])
        return plain(one, at).ravel()

    @jax.jit
    def trace(modes):
        return jnp.stack(
            [jnp.trace(jax.jacfwd(of_one)(modes[:, :, i].ravel())) for i in range(2)]
        )

    np.testing.assert_allclose(
        velocity_and_divergence(modes, at)[1], trace(modes), rtol=1e-10, atol=1e-10
    )
    both = jax.jit(jax.grad(lambda x: jnp.sum(bar * plain(x, at)) + jnp.sum(trace(x))))
    np.testing.assert_allclose(pullback_modes(modes, at, bar), both(modes), atol=1e-9)
    # the slopes' own cotangent, by which the divergence trains
    _, pull = jax.vjp(lambda at: velocity_and_divergence(modes, at)[1], at)
    tangent = jr.normal(keys[2], at.slopes.shape)
    found = jnp.vdot(pull(jnp.ones(2))[0].slopes, tangent)
    shifted = eqx.tree_at(lambda c: c.slopes, at, at.slopes + tangent)
    change = velocity_and_divergence(modes, shifted)[1]
    change -= velocity_and_divergence(modes, at)[1]
    np.testing.assert_allclose(found, jnp.sum(change), rtol=1e-10)


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
    modes, _ = model.prior.sample_modes(keys)

    def mapped(flat):
        prior = Delta(flat.reshape(modes.shape), shape, (n,))
        phis, log_q = eqx.tree_at(lambda m: m.prior, model, prior).sample_batch(keys)
        return phis.ravel(), log_q[0]

    jacobian = jax.jit(jax.jacrev(lambda flat: mapped(flat)[0]))(modes.ravel())
    _, log_det = np.linalg.slogdet(jacobian)
    np.testing.assert_allclose(-jax.jit(mapped)(modes.ravel())[1], log_det, atol=1e-7)


@over_cases
def test_both_directions_and_the_score(shape, n):
    model = a_model(shape, components=(n,))
    keys = jr.split(jr.key(5), 6)
    phis, log_q = jax.jit(lambda keys: model.sample_batch(keys))(keys)
    assert phis.shape == (6, *shape, n) == (6, *model.field_shape)
    log_prob = jax.jit(lambda phis: model.log_prob_batch(phis))
    np.testing.assert_allclose(log_prob(phis), log_q, rtol=1e-11)
    moved, again, score = jax.jit(lambda keys: model.sample_batch_with_score(keys))(
        keys
    )
    np.testing.assert_allclose(moved, phis, rtol=1e-12)
    np.testing.assert_allclose(again, log_q, rtol=1e-12)
    wanted = jax.jit(jax.grad(lambda phis: jnp.sum(model.log_prob_batch(phis))))(phis)
    fine = jnp.max(jnp.abs(wanted))
    np.testing.assert_allclose(score, wanted, atol=3e-3 * fine)  # of finite steps


@over_cases
def test_the_flow_commutes_with_all_symmetries(shape, n):
    """log q of images is log q: O(N), permutations, translations, the point group."""
    model = a_model(shape, components=(n,))
    phis, log_q = jax.jit(lambda k: model.sample_batch(k))(jr.split(jr.key(8), 4))
    log_prob = jax.jit(lambda phis: model.log_prob_batch(phis))
    rotation = jr.orthogonal(jr.key(1), n)
    np.testing.assert_allclose(log_prob(phis @ rotation), log_q, rtol=1e-10)
    for name in symmetry.FINITE:
        group = symmetry.group(shape, (name,), n)
        for g in (group[-1], group[len(group) // 2]):
            images = jax.vmap(g.apply)(phis)
            np.testing.assert_allclose(log_prob(images), log_q, rtol=1e-10)
    # negative control: one component alone is no symmetry
    if n > 1:
        stretched = phis.at[..., 0].multiply(1.5)
        assert np.all(np.abs(log_prob(stretched) - log_q) > 1e-3)


def test_components_mix():
    """The flow is none of independent components."""
    model = a_model((4,), components=(2,))
    at = jax.tree.map(lambda x: x[0], model.field.coefficients(np.asarray([0.5])))
    modes = jr.normal(jr.key(2), (4, 2, 1))
    other = modes.at[:, 1].multiply(1.7)
    change = velocity(other, at)[:, 0] - velocity(modes, at)[:, 0]
    assert float(jnp.max(jnp.abs(change))) > 1e-2


def test_the_prior_is_as_many_independent_fields():
    from genlat.models.gaussian import GaussianPair

    variance = a_spectrum((3, 4))
    one, many = GaussianPair(variance), GaussianVectors(variance, 3)
    phis, log_q = many.sample_batch(jr.split(jr.key(0), 5))
    assert phis.shape == (5, 3, 4, 3)
    parts = sum(one.log_prob_batch(phis[..., a]) for a in range(3))
    np.testing.assert_allclose(log_q, parts, rtol=1e-6)
    np.testing.assert_allclose(many.log_prob_batch(phis), parts, rtol=1e-6)
    draws, _ = many.sample_batch(jr.split(jr.key(1), 20_000))
    power = np.mean(np.asarray(fourier.enter(draws, 1)) ** 2, axis=2)
    for a in range(3):
        spread = np.sqrt(2 / 20_000) * variance
        assert np.max(np.abs(power[:, a] - variance) / spread) < 4.5


def test_a_flow_of_components_on_a_larger_lattice():
    model = a_model((4, 4), components=(2,), dtype=jnp.float32)
    assert transfer.enlarge(model, (4, 4)) is model
    larger = transfer.enlarge(model, (6, 6))
    assert larger.field_shape == (6, 6, 2)
    assert larger.prior.n_components == 2
    phis, log_q = larger.sample_batch(jr.split(jr.key(1), 3))
    assert phis.shape == (3, 6, 6, 2)
    np.testing.assert_allclose(larger.log_prob_batch(phis), log_q, atol=2e-3)


def test_components_of_prior_and_field_must_agree():
    model = a_model((4, 4), components=(2,))
    wanted = r"prior of components \(3,\), field of \(2,\)"
    with pytest.raises(ValueError, match=wanted):
        CNF(GaussianVectors(a_spectrum((4, 4)), 3), model.field, n_steps=2)
