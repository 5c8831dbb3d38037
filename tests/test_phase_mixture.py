"""Two phases as prior: the density, its shares, and the gradients that learn them."""

import functools
import math

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jax import lax

from genlat import lattice, symmetry
from genlat.actions import gap
from genlat.actions.base import AbstractContinuousAction
from genlat.actions.phi4 import Phi4
from genlat.families import gaussian_prior
from genlat.families.cnf import CnfSection
from genlat.models import fourier
from genlat.models.gaussian import GaussianPair
from genlat.models.phase_mixture import PhaseMixture, makes_choices
from genlat.models.symmetrized import Symmetrized
from genlat.training import loop
from genlat.training.objectives import (
    AlphaDivergence,
    ForwardKL,
    PathReverseKL,
    ReinforceReverseKL,
    ReverseKL,
    SymmetricKL,
)
from genlat.training.transfer import enlarge
from models_for_tests import a_model, a_spectrum

SHAPE = (4, 6)
SHARE = 0.3
N_DRAWS = 40_000


@functools.cache
def a_mixture(shape=SHAPE, share=SHARE, mean=0.9):
    broken = GaussianPair(a_spectrum(shape), mean)
    mixture = PhaseMixture(broken, GaussianPair(1.7 * a_spectrum(shape)), share)
    return jax.tree.map(lambda x: x.astype(jnp.float64), mixture)


@functools.partial(jax.jit, static_argnums=1)
def draws(mixture, seed):
    return mixture.sample_modes(jr.split(jr.key(seed), N_DRAWS))


def test_it_is_the_stated_density():
    phis = 2 * np.random.default_rng(1).standard_normal((50, 4, 6))

    @jax.jit
    def densities(mixture, phis):
        modes = fourier.enter(phis)
        in_modes = jax.grad(lambda x: jnp.sum(mixture.log_prob_modes(x)))
        phases = mixture.broken, mixture.symmetric
        parts = [phase.log_prob_batch(phis) for phase in phases]
        scores = mixture.score_modes(modes), in_modes(modes)
        return mixture.log_prob_batch(phis), parts, scores

    log_q, (broken, symmetric), (score, in_modes) = densities(a_mixture(), phis)
    expected = np.logaddexp(math.log(1 - SHARE) + broken, math.log(SHARE) + symmetric)
    np.testing.assert_allclose(log_q, expected, rtol=1e-7)
    np.testing.assert_allclose(score, in_modes, rtol=1e-9)


def test_a_phase_is_chosen_by_a_number_of_its_own():
    """Of two phases around 0 and nine times as wide the zero mode is as wide as both.

    Were the choice made by the bits of the first mode's noise, the wide phase would be
    drawn where that is small, and its variance 40 % off.
    """
    narrow = GaussianPair(a_spectrum(SHAPE), 1e-6)
    mixture = PhaseMixture(narrow, GaussianPair(9 * a_spectrum(SHAPE)), SHARE)
    # where noise has as many bits as the choice
    mixture = jax.tree.map(lambda x: x.astype(jnp.float64), mixture)
    modes, _ = draws(mixture, 3)
    squares = np.asarray(modes) ** 2 / a_spectrum(SHAPE)[:, None]
    error = np.std(squares, axis=1) / math.sqrt(N_DRAWS)
    expected = (1 - SHARE) + 9 * SHARE
    assert np.max(np.abs(np.mean(squares, axis=1) - expected) / error) < 4.5


def test_draws_are_of_both_phases():
    mixture = a_mixture()
    modes, log_q = draws(mixture, 2)
    log_prob, log_symmetric = jax.jit(
        lambda x: (mixture.log_prob_modes(x), mixture.symmetric.log_prob_modes(x))
    )(modes)
    np.testing.assert_allclose(log_prob, log_q, rtol=1e-12)
    modes, n = np.asarray(modes), N_DRAWS
    spectrum = a_spectrum(SHAPE)
    expected = ((1 - SHARE) + 1.7 * SHARE) * spectrum
    expected[0, 0] += (1 - SHARE) * 0.9**2 * 24
    found = np.mean(modes**2, axis=1)
    error = np.std(modes**2, axis=1) / math.sqrt(n)
    assert np.max(np.abs(found - expected) / error) < 4.5  # of 24 modes
    # both signs are as likely whatever the phase: no choice is made by another's bits
    odd = modes / np.sqrt(expected)[:, None]
    assert np.max(np.abs(np.mean(odd, axis=1))) * math.sqrt(n) < 4.5
    # E_q[1/q · q_symmetric] = 1, the phases being drawn as often as their shares say
    of_symmetric = np.exp(np.asarray(log_symmetric - log_q))
    pull = (np.mean(of_symmetric) - 1) / (np.std(of_symmetric) / math.sqrt(n))
    assert abs(pull) < 4


def test_the_choice_has_the_derivative_of_its_probability():
    mixture = a_mixture()

    @jax.jit
    def slopes(logit):
        keys = jr.split(jr.key(3), 5000)

        def at(logit):
            return eqx.tree_at(lambda m: m.logit, mixture, logit)

        def of_logit(logit):
            return at(logit).log_choice(keys)

        move = jax.grad(lambda x: at(x).share())(logit)
        with_score = mixture.sample_batch_with_score(keys[:3])[1]
        pair = with_score, mixture.sample_batch(keys[:3])[1]
        return of_logit(logit), jax.jacfwd(of_logit)(logit), move, pair

    log_choice, slope, move, pair = slopes(mixture.logit)
    np.testing.assert_array_equal(log_choice, 0)
    slope, move = np.asarray(slope), float(move)
    chosen = slope > 0
    np.testing.assert_allclose(slope[chosen], move / SHARE, rtol=1e-6)
    np.testing.assert_allclose(slope[~chosen], -move / (1 - SHARE), rtol=1e-6)
    pull = (np.mean(chosen) - SHARE) / math.sqrt(SHARE * (1 - SHARE) / 5000)
    assert abs(pull) < 4
    np.testing.assert_allclose(*pair)


@pytest.mark.parametrize(
    "is_symmetrized", [pytest.param(False, marks=pytest.mark.slow), True]
)
def test_path_gradient_learns_the_shares(is_symmetrized):
    """Against the score-function gradient, which takes log q as it is; 64 batches."""
    shape = (4, 2)
    action = Phi4(shape, 0.3, 0.1)
    model = a_model(shape, strength=0.05, n_steps=4).with_prior(a_mixture(shape))
    if is_symmetrized:
        model = Symmetrized(model, symmetry.group(shape, ("sign",)))

    @jax.jit
    def gradients(model):
        def of_batch(key):
            keys = jr.split(key, 64)
            slopes = [
                jax.grad(lambda m, part=part: part(m, action, keys)[0])(model)
                for part in (PathReverseKL(), ReinforceReverseKL())
            ]
            rows = [jax.flatten_util.ravel_pytree(slope)[0] for slope in slopes]
            flow = slopes[0].model if is_symmetrized else slopes[0]
            return jnp.stack(rows), flow.prior.logit

        return lax.map(of_batch, jr.split(jr.key(3), 64))

    found, of_share = jax.tree.map(np.asarray, gradients(model))
    difference = found[:, 0] - found[:, 1]
    error = np.std(difference, axis=0, ddof=1) / 8
    pulls = np.mean(difference, axis=0) / np.where(error > 0, error, 1)
    assert np.max(np.abs(pulls)) < 5
    (logit,) = np.flatnonzero((found[:, 0] == of_share[:, None]).all(axis=0))
    # without the score term it is 0
    assert abs(np.mean(of_share)) > 10 * error[logit]


def test_gradients_through_draws_are_refused():
    model = a_model(SHAPE).with_prior(a_mixture())
    data = np.zeros((1, *SHAPE), np.float32)
    assert makes_choices(model)
    assert not makes_choices(a_model(SHAPE))
    for objective in (ReverseKL(), AlphaDivergence(2.0), SymmetricKL.total(data)):
        assert "how often each phase" in objective.why_unfit(model)
        assert objective.why_unfit(a_model(SHAPE)) is None
    for objective in (PathReverseKL(), ReinforceReverseKL(), ForwardKL(data)):
        assert objective.why_unfit(model) is None


class Mixture(AbstractContinuousAction):
    """The action of a known density: Z = 1."""

    density: PhaseMixture
    lattice_shape: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, phi):
        return -self.density.log_prob(phi)

    def force(self, phi):
        return -jax.grad(self)(phi)


def test_training_finds_the_share_of_a_mixture():
    """Phases well apart keep their mass: the flow cannot stand in for the share."""
    apart, shape = 5.0, (1, 2)
    target = Mixture(a_mixture(shape, 0.75, apart), shape)
    model = a_model(shape, strength=0.0).with_prior(a_mixture(shape, 0.3, apart))
    settings = loop.Settings(steps=300, batch=64, learning_rate=0.05)
    state = loop.init(model, settings, jr.key(0))
    state, _ = loop.run_chunk(state, target, PathReverseKL(), settings, 300)
    assert abs(float(state.model.prior.share()) - 0.75) < 0.03


def test_no_phase_loses_all_of_its_share():
    for logit, share in [(-60.0, 0.02), (60.0, 0.98)]:
        lost = eqx.tree_at(lambda m: m.logit, a_mixture(), jnp.asarray(logit))
        assert float(lost.share()) == pytest.approx(share, rel=1e-12)


def test_transfer_carries_both_phases():
    source = a_model((4, 4)).with_prior(a_mixture((4, 4)))
    assert enlarge(source, (4, 4)) is source
    large = enlarge(source, (6, 8)).prior
    assert large.lattice_shape == (6, 8)
    np.testing.assert_allclose(large.logit, source.prior.logit)
    np.testing.assert_allclose(large.broken.mean, source.prior.broken.mean)
    for phase in ("broken", "symmetric"):
        alone = a_model((4, 4)).with_prior(getattr(source.prior, phase))
        np.testing.assert_allclose(
            getattr(large, phase).log_std, enlarge(alone, (6, 8)).prior.log_std
        )


def test_of_a_theory_it_has_the_solutions_of_the_gap_equation():
    section = CnfSection(wells="mixed")
    deep = Phi4((8, 8), 0.30, 0.022)
    prior = gaussian_prior.choose(section, deep).model()
    best, around_0 = gap.best_gaussian(deep), gap.best_symmetric(deep)
    np.testing.assert_allclose(prior.broken.mean, best.mean, rtol=1e-6)
    index, _ = lattice.momentum_orbits((8, 8))
    for phase, wanted in [(prior.broken, best), (prior.symmetric, around_0)]:
        variance = np.exp(2 * np.asarray(phase.log_std))[index]
        np.testing.assert_allclose(variance, wanted.variance, rtol=1e-5)
    assert float(prior.share()) == pytest.approx(0.1)
    # no v at all: one Gaussian twice
    shallow = gaussian_prior.choose(section, Phi4((8, 8), 0.2, 0.022)).model()
    assert float(shallow.broken.mean) == 0
    np.testing.assert_array_equal(shallow.broken.log_std, shallow.symmetric.log_std)
    assert float(shallow.share()) == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda a, b: PhaseMixture(a, b, 0.02), "share must be between 0.02 and 0.98"),
        (lambda a, b: PhaseMixture(b, b, 0.5), "a pair ±v and a Gaussian around 0"),
        (
            lambda a, b: PhaseMixture(a, GaussianPair(a_spectrum((5,))), 0.5),
            r"phases on \(4, 6\) and \(5,\)",
        ),
    ],
)
def test_refusals(build, expected):
    mixture = a_mixture()
    with pytest.raises(ValueError, match=expected):
        build(mixture.broken, mixture.symmetric)
