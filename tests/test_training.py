"""Objectives, the training loop, warm starts and the gap equation."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from genlat import lattice
from genlat.actions.double_well import DoubleWell
from genlat.actions.gap import best_gaussian
from genlat.actions.phi4 import Phi4
from genlat.models import cnf, fourier
from genlat.models.gaussian import GaussianPair
from genlat.training import loop
from genlat.training.objectives import PathReverseKL, ReverseKL
from genlat.training.transfer import enlarge, pad_kernel
from models_for_tests import a_model

SHAPE = (4, 6)
ACTION = Phi4(SHAPE, 0.21, 0.13)


@eqx.filter_jit
def gradient(objective, model, action, keys):
    """Of one program: the gradient as a model, loss and log-weights."""
    found, (loss, log_w) = jax.grad(_with_loss, has_aux=True)(
        model, objective, action, keys
    )
    return found, loss, log_w


def _with_loss(model, objective, action, keys):
    loss, log_w = objective(model, action, keys)
    return loss, (loss, log_w)


def flattened(model):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(model)])


def a_direction(model):
    """In the space of the parameters that are trained: the frequency is not."""
    rng = np.random.default_rng(1)
    direction = jax.tree.map(lambda x: rng.standard_normal(x.shape), model)
    return eqx.tree_at(lambda m: m.field.frequency, direction, np.zeros(()))


def moved(model, direction, step):
    """`model` along a direction."""
    return jax.tree.map(
        lambda x, d: jnp.asarray(x + step * d), *_numpy(model, direction)
    )


def _numpy(*trees):
    return jax.tree.map(np.asarray, trees)


@functools.cache
def gradients():
    """Total and path gradients at one model, 5 configurations: see `gradient`."""
    model, keys = a_model(SHAPE, n_steps=24), jr.split(jr.key(0), 5)
    return [gradient(x, model, ACTION, keys) for x in (ReverseKL(), PathReverseKL())]


def test_total_gradient_is_that_of_the_loss():
    model, keys = a_model(SHAPE, n_steps=24), jr.split(jr.key(0), 5)
    direction = a_direction(model)
    loss = eqx.filter_jit(lambda m: ReverseKL()(m, ACTION, keys)[0])
    step = 1e-5
    ahead, behind = (loss(moved(model, direction, e)) for e in (step, -step))
    found = flattened(gradients()[0][0]) @ flattened(direction)
    np.testing.assert_allclose(found, (ahead - behind) / (2 * step), rtol=1e-6)


def test_path_gradient_is_the_total_one_without_the_score_term():
    """Both objectives differ by ⟨∂_θ log q_θ(φ)⟩ at fixed φ, up to the integrator."""
    model, keys = a_model(SHAPE, n_steps=24), jr.split(jr.key(0), 5)
    direction = a_direction(model)

    @jax.jit
    def draw(model):
        phis, log_q = model.sample_batch(keys)
        return phis, -jax.vmap(ACTION)(phis) - log_q

    @jax.jit
    def score_term(model, phis):
        return jnp.mean(model.log_prob_batch(phis))

    phis, expected = draw(model)
    step = 1e-5
    ahead, behind = (
        score_term(moved(model, direction, e), phis) for e in (step, -step)
    )
    along = (ahead - behind) / (2 * step)
    total, path = (flattened(found[0]) @ flattened(direction) for found in gradients())
    assert abs(along) > 0.1  # the term is there to be missed
    np.testing.assert_allclose(path, total - along, rtol=1e-5, atol=1e-5)

    for _, loss, log_w in gradients():
        np.testing.assert_allclose(loss, -np.mean(log_w), rtol=1e-12)
        np.testing.assert_allclose(log_w, expected, rtol=1e-10)


def test_path_gradient_vanishes_at_the_optimum():
    """A free field is in the model: no batch has a path gradient, all a total one."""
    action = Phi4(SHAPE, 0.2, 0.0)
    exact = best_gaussian(action)
    model = cnf.build(exact.variance, exact.mean, jr.key(0), n_steps=3)
    model = jax.tree.map(lambda x: x.astype(jnp.float64), model)
    log_std = np.zeros(len(model.prior.log_std))
    log_std[lattice.momentum_orbits(SHAPE)[0]] = 0.5 * np.log(exact.variance)
    model = eqx.tree_at(lambda m: m.prior.log_std, model, jnp.asarray(log_std))

    keys = jr.split(jr.key(1), 8)
    path, total = (
        flattened(gradient(objective, model, action, keys)[0])
        for objective in (PathReverseKL(), ReverseKL())
    )
    assert np.max(np.abs(path)) < 1e-12
    assert np.max(np.abs(total)) > 1e-2


@pytest.mark.parametrize("path", [False, True])
def test_every_parameter_learns(path):
    found = flattened(gradients()[path][0])
    direction = flattened(a_direction(a_model(SHAPE, n_steps=24)))
    np.testing.assert_array_equal(found != 0, direction != 0)


def small_state(settings):
    gaussian = best_gaussian(ACTION)
    model = cnf.build(
        gaussian.variance, gaussian.mean, jr.key(0), n_features=3, n_channels=2,
        n_kernel_terms=2, n_mixing_terms=2, n_steps=2,
    )  # fmt: skip
    return loop.init(model, settings, jr.key(5))


def test_training_is_the_same_in_chunks_of_any_length():
    settings = loop.Settings(steps=12, batch=16)
    whole, metrics = loop.run_chunk(
        small_state(settings), ACTION, PathReverseKL(), settings, 12
    )
    part, parts = small_state(settings), []
    for _ in range(3):
        part, found = loop.run_chunk(part, ACTION, PathReverseKL(), settings, 4)
        parts.append(found)
    same = jax.tree.map(np.array_equal, _data(whole), _data(part))
    assert all(jax.tree.leaves(same))
    for name, values in metrics.items():
        np.testing.assert_array_equal(
            values, np.concatenate([found[name] for found in parts])
        )


def _data(state):
    return eqx.filter((state.model, state.optimizer_state, state.step), eqx.is_array)


def test_a_chunk_compiles_once():
    settings = loop.Settings(steps=9, batch=8)
    traces = []

    class Counting(PathReverseKL):
        def __call__(self, model, action, keys):
            traces.append(1)
            return PathReverseKL.__call__(self, model, action, keys)

    state, objective = small_state(settings), Counting()
    for _ in range(3):
        state, _ = loop.run_chunk(state, ACTION, objective, settings, 3)
    assert len(traces) == 1
    assert int(state.step) == 9


def test_training_approaches_the_target():
    """The bound E_q[S + ln q] falls towards -ln Z, known from the transfer matrix."""
    settings = loop.Settings(steps=150, batch=128)
    action = Phi4((4, 4), 0.27, 0.022)
    gaussian = best_gaussian(action)
    model = cnf.build(gaussian.variance, gaussian.mean, jr.key(0), n_steps=4)
    state = loop.init(model, settings, jr.key(5))
    state, metrics = loop.run_chunk(state, action, PathReverseKL(), settings, 150)
    keys = jr.split(jr.key(9), 20_000)
    phis, log_q = eqx.filter_jit(cnf.CNF.sample_batch)(state.model.with_steps(16), keys)
    log_w = -np.asarray(jax.jit(jax.vmap(action))(phis)) - log_q
    weights = np.exp(log_w - 12.1100473)  # physics: ln Z of 4x4, exact
    error = weights.std() / np.sqrt(weights.size)
    assert error < 2e-3
    assert abs(weights.mean() - 1) < 5 * error
    assert weights.mean() ** 2 / np.mean(weights**2) > 0.97
    assert metrics["ess"][:5].mean() < 0.9


def test_the_schedule_ends_where_it_says():
    settings = loop.Settings(steps=40, batch=8, learning_rate=3e-3, warmup=4)
    schedule = settings.schedule()
    assert float(schedule(0)) == 0
    assert float(schedule(4)) == pytest.approx(3e-3)
    end = settings.final_fraction * 3e-3
    assert float(schedule(40)) == pytest.approx(end, rel=1e-5)
    assert float(schedule(39)) > end


def test_settings_refuse_nonsense():
    with pytest.raises(ValueError, match="batch must be positive, got 0"):
        loop.Settings(steps=1, batch=0)


def test_padding_a_kernel_keeps_it_in_real_space():
    """Zero beyond the old extent; the shell at half an even extent shared by ±."""
    old, new = (4, 5), (8, 9)
    _, orbits = lattice.momentum_orbits(old)
    rng = np.random.default_rng(0)
    by_orbit = jnp.asarray(rng.standard_normal((2, len(orbits))))
    pad = jax.jit(pad_kernel, static_argnums=(1, 2))
    padded = pad(by_orbit, old, new)
    small, large = (
        _real_space(values, shape) for values, shape in [(by_orbit, old), (padded, new)]
    )
    for x in np.ndindex(new):
        signed = [c if c <= n // 2 else c - n for c, n in zip(x, new, strict=True)]
        inside = all(abs(c) <= n // 2 for c, n in zip(signed, old, strict=True))
        shells = sum(
            2 * abs(c) == n for c, n in zip(signed, old, strict=True)
        )  # each shared by two signs
        expected = small[(slice(None), *signed)] / 2**shells if inside else 0
        np.testing.assert_allclose(large[(slice(None), *x)], expected, atol=1e-12)
    np.testing.assert_allclose(pad(by_orbit, old, old), by_orbit, atol=1e-12)


def _real_space(by_orbit, shape):
    """Kernel on sites from its values on momentum orbits, by a unit source."""
    index, _ = lattice.momentum_orbits(shape)
    source = np.zeros((1, *shape))
    source[(0,) * source.ndim] = 1

    @jax.jit
    def on_sites(by_orbit):
        modes = fourier.enter(jnp.asarray(source))
        return [fourier.leave(modes * k[index][:, None])[0] for k in by_orbit]

    return np.stack(on_sites(by_orbit))


def test_a_flow_of_short_range_is_the_same_on_a_larger_lattice():
    """A constant field moves alike; on the same lattice nothing changes."""
    source = a_model((4, 4), mean=0.0)
    assert enlarge(source, (4, 4)) is source
    with pytest.raises(ValueError, match="cannot carry"):
        enlarge(source, (3, 4))
    with pytest.raises(ValueError, match="symmetries"):
        enlarge(a_model(SHAPE), (6, 6))
    large = enlarge(source, (6, 6))
    at_zero = source.field.kernel @ _delta_weights((4, 4))
    np.testing.assert_allclose(
        large.field.kernel @ _delta_weights((6, 6)), at_zero, atol=1e-6
    )
    np.testing.assert_allclose(  # the zero mode sees the sum of the kernel
        large.field.kernel[..., 0], source.field.kernel[..., 0], atol=1e-6
    )


def _delta_weights(shape):
    """Orbit multiplicities over V: takes K̂ to the kernel at the origin."""
    index, _ = lattice.momentum_orbits(shape)
    return np.bincount(index.ravel()) / index.size


CASES = [
    Phi4((6, 4), 0.2, 0.3),
    Phi4((8, 6), 0.30, 0.022),
    Phi4.form_b((4, 4), -4.0, 6.0),
    DoubleWell((16,), 2.75, -1.0, 1.0),
]


@pytest.mark.parametrize("action", CASES, ids=range(4))
def test_best_gaussian_is_a_minimum_of_the_bound(action):
    """E_q[S + ln q], sampled from the prior itself, is as stated and stationary."""
    best = best_gaussian(action)
    prior = GaussianPair(best.variance, best.mean)
    prior = jax.tree.map(lambda x: x.astype(jnp.float64), prior)

    @eqx.filter_jit
    def minus_log_w(prior):
        modes, log_q = prior.sample_modes(jr.split(jr.key(0), 40_000))
        return jax.vmap(action)(fourier.leave(modes)) + log_q

    values = np.asarray(minus_log_w(prior))
    error = values.std() / 200
    assert error < 0.02
    assert abs(values.mean() - best.free_energy) < 5 * error
    for change in (-0.05, 0.05):  # same noise: the difference is sharp
        log_std = jnp.asarray(np.asarray(prior.log_std) + change)
        other = eqx.tree_at(lambda p: p.log_std, prior, log_std)
        difference = np.asarray(minus_log_w(other)) - values
        assert difference.mean() > 5 * difference.std() / 200 > 0


def test_best_gaussian_is_exact_for_a_free_field():
    action = Phi4((4, 6), 0.2, 0.0)
    index, orbits = lattice.momentum_orbits((4, 6))
    cosines = np.cos(2 * np.pi * orbits / np.asarray([[4, 6]])).sum(axis=1)[index]
    found = best_gaussian(action)
    np.testing.assert_allclose(found.variance, 0.5 / (1 - 0.4 * cosines), rtol=1e-12)
    assert found.mean == 0


def test_best_gaussian_knows_the_phase():
    means = [best_gaussian(Phi4((64, 8), kappa, 0.022)).mean for kappa in (0.25, 0.3)]
    assert means[0] == 0
    assert means[1] == pytest.approx(2.0950, abs=1e-3)  # ⟨|m|⟩ is 2.0873
