"""The loop: annealed couplings, micro-batches, samples of p, refusals by sentence."""

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
from genlat.models.gaussian import GaussianPair
from genlat.training import loop
from genlat.training.objectives import (
    AlphaDivergence,
    ForwardKL,
    LogVariance,
    PathForwardKL,
    PathReverseKL,
    ReinforceReverseKL,
    ReverseKL,
    SymmetricKL,
)

SHAPE = (4, 6)
START, TARGET = Phi4(SHAPE, 0.11, 0.17), Phi4(SHAPE, 0.23, 0.31)
BLANK = np.zeros((1, *SHAPE), np.float32)


def state(settings, variance=0.6):
    model = GaussianPair(np.full(SHAPE, variance))
    model = jax.tree.map(lambda x: x.astype(jnp.float64), model)
    return loop.init(model, settings, jr.key(5))


def test_annealing_interpolates_and_ends_exactly_at_the_target():
    annealing = loop.Annealing(START, 4)
    for step, fraction in [(0, 0), (1, 0.25), (3, 0.75)]:
        now = annealing.at(jnp.asarray(step), TARGET)
        np.testing.assert_allclose(now.kappa, 0.11 + fraction * 0.12, rtol=1e-14)
        np.testing.assert_allclose(now.lam, 0.17 + fraction * 0.14, rtol=1e-14)
    for step in (4, 5, 1000):
        now = annealing.at(jnp.asarray(step), TARGET)
        assert float(now.kappa) == 0.23
        assert float(now.lam) == 0.31


def test_a_step_uses_the_couplings_of_its_number():
    """Across chunks; the annealed chunk is compiled once."""
    settings = loop.Settings(steps=6, batch=16)
    annealing = loop.Annealing(START, 4)
    traces = []

    class Counting(PathReverseKL):
        def __call__(self, model, action, keys):
            traces.append(1)
            return PathReverseKL.__call__(self, model, action, keys)

    annealed, one_by_one = state(settings), state(settings)
    objective = Counting()
    for _ in range(3):
        annealed, _ = loop.run_chunk(
            annealed, TARGET, objective, settings, 2, annealing
        )
    assert len(traces) == 1
    for step in range(6):
        now = annealing.at(jnp.asarray(step), TARGET)
        one_by_one, _ = loop.run_chunk(one_by_one, now, PathReverseKL(), settings, 1)
    expected = one_by_one.model.log_std
    np.testing.assert_allclose(annealed.model.log_std, expected, rtol=1e-12)
    plain, _ = loop.run_chunk(state(settings), TARGET, PathReverseKL(), settings, 6)
    assert jnp.max(jnp.abs(plain.model.log_std - expected)) > 1e-4


def test_micro_batches_change_nothing_but_rounding():
    whole = loop.Settings(steps=4, batch=24)
    slices = loop.Settings(steps=4, batch=24, micro_batch=8)
    found = [
        loop.run_chunk(state(settings), TARGET, ReverseKL(), settings, 4)
        for settings in (whole, slices)
    ]
    (one, metrics), (other, metrics_of_slices) = found
    np.testing.assert_allclose(one.model.log_std, other.model.log_std, rtol=1e-10)
    for name, values in metrics.items():
        np.testing.assert_allclose(values, metrics_of_slices[name], rtol=1e-10)


def test_forward_kl_learns_the_spectrum_of_its_data():
    """A free field's, to the error that so many configurations leave."""
    free = Phi4(SHAPE, 0.2, 0.0)
    index, orbits = lattice.momentum_orbits(SHAPE)
    exact = np.zeros(len(orbits))
    exact[index] = 0.5 * np.log(best_gaussian(free).variance)
    prior = GaussianPair(best_gaussian(free).variance)
    phis, _ = eqx.filter_jit(prior.sample_batch)(jr.split(jr.key(1), 8000))
    objective = ForwardKL(phis)
    settings = loop.Settings(steps=400, batch=256, learning_rate=0.02)
    trained, metrics = loop.run_chunk(state(settings), free, objective, settings, 400)
    # of a logarithm of a width: data, and the noise that the last steps leave
    error = np.sqrt(1 / (2 * 8000 * np.bincount(index.ravel()))) + 0.002
    assert error.max() < 0.011
    assert np.all(np.abs(trained.model.log_std - exact) < 5 * error)
    assert metrics["ess"][-50:].mean() > 0.98 > 0.9 > metrics["ess"][0]


def test_ess_of_data_is_the_forward_one():
    settings = loop.Settings(steps=1, batch=32)
    data = np.random.default_rng(3).normal(size=(50, *SHAPE))
    before, objective = state(settings), ForwardKL(data)
    _, metrics = loop.run_chunk(before, TARGET, objective, settings, 1)
    keys = jr.split(jr.fold_in(before.key, 0), 32)
    _, log_w = objective(before.model, TARGET, keys)
    expected = 1 / (jnp.mean(jnp.exp(log_w)) * jnp.mean(jnp.exp(-log_w)))
    np.testing.assert_allclose(metrics["ess"][0], expected, rtol=1e-9)


def test_what_does_not_fit_is_refused():
    settings = loop.Settings(steps=4, batch=24, micro_batch=8)
    for objective in (ReinforceReverseKL(), LogVariance(), AlphaDivergence(2.0)):
        with pytest.raises(ValueError, match="is no mean over micro-batches"):
            loop.run_chunk(state(settings), TARGET, objective, settings, 1)
    annealing = loop.Annealing(START, 4)
    for objective in (ForwardKL(BLANK), SymmetricKL.total(BLANK)):
        with pytest.raises(ValueError, match="samples of the target"):
            loop.run_chunk(state(settings), TARGET, objective, settings, 1, annealing)
    for other in (DoubleWell((24,), 2.75, -1.0, 1.0), Phi4((6, 4), 0.1, 0.2)):
        with pytest.raises(ValueError, match="in the theory it ends in"):
            loop.Annealing(other, 4).at(jnp.asarray(0), TARGET)
    with pytest.raises(ValueError, match="GaussianPair cannot; use total"):
        loop.run_chunk(state(settings), TARGET, PathForwardKL(BLANK), settings, 1)
    with pytest.raises(ValueError, match="steps >= 1, got 0"):
        loop.Annealing(START, 0)
    for size in (0, 7, 48):
        with pytest.raises(ValueError, match=f"divide batch = 24, got {size}"):
            loop.Settings(steps=4, batch=24, micro_batch=size)
