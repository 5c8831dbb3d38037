"""Flows of a prior and bijections: densities, and both path gradients."""

import functools

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from genlat import lattice
from genlat.actions.gap import best_gaussian
from genlat.actions.phi4 import Phi4
from genlat.models import coupling_flow
from genlat.models.bijections.fourier import FourierScaling
from genlat.models.flow import Flow
from genlat.models.gaussian import GaussianPair
from genlat.training.objectives import (
    ForwardKL,
    PathForwardKL,
    PathReverseKL,
    ReverseKL,
)
from models_for_tests import a_spectrum

SHAPE = (4, 6)
ACTION = Phi4(SHAPE, 0.21, 0.13)
KEYS = jr.split(jr.key(0), 5)
# compiled once and run once: optimising costs more than it saves
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
quick_jit = functools.partial(jax.jit, compiler_options=QUICK)
BUILD = {
    "realnvp": {"kind": "realnvp", "zero_mode": True},
    "nice": {"kind": "nice", "conditioner": "dense", "is_equivariant": True},
    "spline": {"kind": "spline", "is_equivariant": True, "conditioner": "dense"},
}


def a_flow(name, mean=0.7, wells="both", strength=0.1):
    """A flow of two layers, every parameter generic."""
    prior = GaussianPair(a_spectrum(SHAPE), mean, wells)
    flow = coupling_flow.build(
        prior, jr.key(1), n_layers=2, hidden=(3,), **BUILD[name]
    )  # fmt: skip
    rng = np.random.default_rng(2)
    return jax.tree.map(
        lambda x: jnp.asarray(x + strength * rng.normal(size=x.shape)), flow
    )


@functools.cache
def drawn(name):
    """A flow, its draws with a score, and log q and its gradient at them."""
    flow = a_flow(name)

    @quick_jit
    def everything(flow):
        phis, log_q, score = flow.sample_batch_with_score(KEYS)
        log_q_again, pull = jax.vjp(flow.log_prob_batch, phis)
        gradient = pull(jnp.ones_like(log_q))[0]
        plain = flow.sample_batch(KEYS)
        pulled = flow.pull_back_batch(phis, score)
        latent, _ = flow.prior.sample_batch(KEYS)
        return phis, log_q, score, log_q_again, gradient, plain, pulled, latent

    return flow, everything(flow)


@pytest.mark.parametrize("name", BUILD)
def test_density_and_score_of_draws(name):
    _, (phis, log_q, score, log_q_again, gradient, plain, *_) = drawn(name)
    assert log_q.dtype == jnp.float64
    np.testing.assert_allclose(log_q_again, log_q, atol=1e-9)
    np.testing.assert_allclose(score, gradient, atol=1e-7)
    np.testing.assert_allclose(plain[0], phis, atol=1e-12)
    np.testing.assert_allclose(plain[1], log_q, atol=1e-12)


@pytest.mark.parametrize("name", BUILD)
def test_pulling_back_its_own_draws(name):
    """z is what the prior drew, and nothing is left of its score."""
    _, (_, log_q, *_, pulled, latent) = drawn(name)
    np.testing.assert_allclose(pulled[0], latent, atol=1e-9)
    np.testing.assert_allclose(pulled[1], log_q, atol=1e-9)
    np.testing.assert_allclose(pulled[2], 0, atol=1e-7)


def test_a_draw_depends_on_its_key_alone():
    flow, (phis, log_q, *_) = drawn("realnvp")
    found = eqx.filter_jit(flow.sample_batch)(KEYS[4:1:-1])
    np.testing.assert_allclose(found[0], phis[4:1:-1], atol=1e-12)
    np.testing.assert_allclose(found[1], log_q[4:1:-1], atol=1e-11)


def test_an_equivariant_flow_has_an_even_density():
    flow, (phis, log_q, *_) = drawn("nice")
    found = eqx.filter_jit(flow.log_prob_batch)(-phis)
    np.testing.assert_allclose(found, log_q, atol=1e-10)


@quick_jit
def gradient_and_score_term(total, path, flow, keys):
    """Both gradients, and the mean of ∂_θ log q at fixed draws."""
    phis, _ = flow.sample_batch(keys)
    found = [
        eqx.filter_grad(lambda flow, of=of: of(flow, ACTION, keys)[0])(flow)
        for of in (total, path)
    ]
    term = eqx.filter_grad(lambda flow: jnp.mean(flow.log_prob_batch(phis)))(flow)
    return [jax.flatten_util.ravel_pytree(x)[0] for x in (*found, term)]


@pytest.mark.parametrize("name", ["realnvp", "nice"])
def test_path_gradient_is_the_total_one_without_the_score_term(name):
    flow, _ = drawn(name)
    total, path, term = gradient_and_score_term(
        ReverseKL(), PathReverseKL(), flow, KEYS
    )
    assert jnp.max(jnp.abs(term)) > 0.1  # the term is there to be missed
    np.testing.assert_allclose(path, total - term, atol=1e-7 * jnp.max(jnp.abs(total)))


@pytest.mark.parametrize(
    ("mean", "wells"), [(0.0, "both"), (0.7, "both"), (0.7, "one")]
)
def test_z_moves_as_the_density_of_phi_does(mean, wells):
    r"""∂_θ log q(φ) = v · ∂_z log q₀ + div v with v = ∂z/∂θ, of every parameter.

    It makes the pulled-back gradient, v · (∂_z log p_z - ∂_z log q₀), the total one but
    for v · ∂_z log p_z + div v, whose mean over p is zero.
    """
    flow = a_flow("nice", mean, wells)
    phis = 0.6 * jr.normal(jr.key(3), (1, 4, 6), jnp.float64)
    rng = np.random.default_rng(0)
    direction = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape)), flow)
    blank = jnp.zeros_like(phis)

    def velocity(z):
        image = flow.bijection.forward_and_log_det(z)[0][None]

        def latent(flow):
            return flow.pull_back_batch(image, blank)[0][0]

        return jax.jvp(latent, (flow,), (direction,))[1]

    @quick_jit
    def both_sides():
        z = flow.pull_back_batch(phis, blank)[0][0]
        # by differences: the motion of the prior is a constant to a derivative in z
        steps = 1e-4 * jnp.eye(24).reshape(24, *SHAPE)
        change = jax.vmap(lambda step: velocity(z + step) - velocity(z - step))(steps)
        divergence = jnp.sum(change * steps) / (2 * 1e-4**2)
        right = divergence + jnp.sum(velocity(z) * jax.grad(flow.prior.log_prob)(z))
        left = jax.jvp(lambda flow: flow.log_prob_batch(phis), (flow,), (direction,))[1]
        return left[0], right

    left, right = both_sides()
    assert abs(left) > 0.1
    np.testing.assert_allclose(right, left, rtol=1e-6)


def test_path_gradients_vanish_at_the_optimum():
    """A free field is in the model: no batch has a path gradient, all a total one."""
    action = Phi4(SHAPE, 0.2, 0.0)
    exact = best_gaussian(action)
    flow = coupling_flow.build(
        GaussianPair(exact.variance), jr.key(0), n_layers=2, hidden=(3,), fourier=True
    )
    flow = jax.tree.map(lambda x: x.astype(jnp.float64), flow)
    log_std = np.zeros(len(flow.prior.log_std))
    log_std[lattice.momentum_orbits(SHAPE)[0]] = 0.5 * np.log(exact.variance)
    flow = eqx.tree_at(lambda f: f.prior.log_std, flow, jnp.asarray(log_std))
    data = np.random.default_rng(0).normal(size=(20, *SHAPE))

    @quick_jit
    def largest(objective):
        found = eqx.filter_grad(lambda flow: objective(flow, action, KEYS)[0])(flow)
        return jnp.max(jnp.abs(jax.flatten_util.ravel_pytree(found)[0]))

    assert largest(PathReverseKL()) < 1e-12
    assert largest(PathForwardKL(data)) < 1e-5  # data are kept in single precision
    for objective in (ReverseKL(), ForwardKL(data)):
        assert largest(objective) > 1e-2


def test_single_precision_agrees_with_double():
    flow, (phis, *_) = drawn("realnvp")
    single = jax.tree.map(lambda x: x.astype(jnp.float32), flow)
    run = quick_jit(lambda flow, phis: flow.log_prob_batch(phis))
    found = run(single, phis.astype(jnp.float32))
    assert found.dtype == jnp.float64
    np.testing.assert_allclose(found, run(flow, phis), atol=1e-3)
    drawn_single, _ = eqx.filter_jit(single.sample_batch)(KEYS)
    assert drawn_single.dtype == jnp.float32


@pytest.mark.parametrize(
    ("shape", "arguments", "message"),
    [
        (SHAPE, {"kind": "glow"}, "kind must be .* got 'glow'"),
        (SHAPE, {"conditioner": "mlp"}, "conditioner must be .* got 'mlp'"),
        (SHAPE, {"n_layers": 1}, "n_layers must be >= 2, got 1"),
        (SHAPE, {"splitting": "half"}, "splitting must be .* got 'half'"),
        (SHAPE, {"kernel_size": 2}, "kernel_size must be odd"),
        (SHAPE, {"kernel_size": 1}, "kernel_size must reach a neighbour"),
        ((3, 4), {}, "checkerboard needs even extents"),
        ((4, 3), {"splitting": "stripe"}, "stripes along axis 1 need an even extent"),
    ],
)
def test_build_refuses_nonsense(shape, arguments, message):
    prior = GaussianPair(np.ones(shape))
    with pytest.raises(ValueError, match=message):
        coupling_flow.build(prior, jr.key(0), **arguments)


def test_a_flow_is_on_one_lattice():
    with pytest.raises(ValueError, match="prior on"):
        Flow(GaussianPair(np.ones(SHAPE)), FourierScaling((4, 4)))


def test_a_flow_starts_as_its_prior():
    prior = GaussianPair(a_spectrum(SHAPE), 0.7)
    flow = coupling_flow.build(prior, jr.key(1), n_layers=2, hidden=(3,))
    found, wanted = (eqx.filter_jit(m.sample_batch)(KEYS) for m in (flow, prior))
    np.testing.assert_array_equal(found[0], wanted[0])
    np.testing.assert_array_equal(found[1], wanted[1])
