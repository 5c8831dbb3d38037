"""Two phases as prior: the density, its shares, and the gradients that learn them."""

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


def a_mixture(shape=SHAPE, share=SHARE, mean=0.9):
    broken = GaussianPair(a_spectrum(shape), mean)
    mixture = PhaseMixture(broken, GaussianPair(1.7 * a_spectrum(shape)), share)
    return jax.tree.map(lambda x: x.astype(jnp.float64), mixture)


def test_it_is_the_stated_density():
    mixture = a_mixture()
    phis = 2 * jr.normal(jr.key(1), (50, 4, 6))
    parts = [
        math.log(weight) + phase.log_prob_batch(phis)
        for weight, phase in [(1 - SHARE, mixture.broken), (SHARE, mixture.symmetric)]
    ]
    expected = jnp.logaddexp(*parts)
    np.testing.assert_allclose(mixture.log_prob_batch(phis), expected, rtol=1e-7)
    in_modes = jax.grad(lambda x: jnp.sum(mixture.log_prob_modes(x)))
    modes = fourier.enter(phis)
    np.testing.assert_allclose(mixture.score_modes(modes), in_modes(modes), rtol=1e-9)


def test_a_phase_is_chosen_by_a_number_of_its_own():
    """Of two phases around 0 and nine times as wide the zero mode is as wide as both.

    Were the choice made by the bits of the first mode's noise, the wide phase would be
    drawn where that is small, and its variance 40 % off.
    """
    narrow = GaussianPair(a_spectrum(SHAPE), 1e-6)
    mixture = PhaseMixture(narrow, GaussianPair(9 * a_spectrum(SHAPE)), SHARE)
    modes, _ = eqx.filter_jit(mixture.sample_modes)(jr.split(jr.key(3), 40_000))
    squares = modes**2 / a_spectrum(SHAPE)[:, None]
    error = jnp.std(squares, axis=1) / math.sqrt(40_000)
    expected = (1 - SHARE) + 9 * SHARE
    assert jnp.max(jnp.abs(jnp.mean(squares, axis=1) - expected) / error) < 4.5


def test_draws_are_of_both_phases():
    mixture = a_mixture()
    n = 40_000
    keys = jr.split(jr.key(2), n)
    modes, log_q = eqx.filter_jit(mixture.sample_modes)(keys)
    np.testing.assert_allclose(mixture.log_prob_modes(modes), log_q, rtol=1e-12)
    spectrum = a_spectrum(SHAPE)
    expected = ((1 - SHARE) + 1.7 * SHARE) * spectrum
    expected[0, 0] += (1 - SHARE) * 0.9**2 * 24
    found = jnp.mean(modes**2, axis=1)
    error = jnp.std(modes**2, axis=1) / math.sqrt(n)
    assert jnp.max(jnp.abs(found - expected) / error) < 4.5  # of 24 modes
    # both signs are as likely whatever the phase: no choice is made by another's bits
    odd = modes / jnp.sqrt(expected)[:, None]
    assert jnp.max(jnp.abs(jnp.mean(odd, axis=1))) * math.sqrt(n) < 4.5
    # E_q[1/q · q_symmetric] = 1, the phases being drawn as often as their shares say
    of_symmetric = jnp.exp(mixture.symmetric.log_prob_modes(modes) - log_q)
    pull = (jnp.mean(of_symmetric) - 1) / (jnp.std(of_symmetric) / math.sqrt(n))
    assert abs(pull) < 4


def test_the_choice_has_the_derivative_of_its_probability():
    mixture, keys = a_mixture(), jr.split(jr.key(3), 5000)

    def at(logit):
        return eqx.tree_at(lambda m: m.logit, mixture, logit)

    def of_logit(logit):
        return at(logit).log_choice(keys)

    np.testing.assert_array_equal(of_logit(mixture.logit), 0)
    slope = np.asarray(jax.jacfwd(of_logit)(mixture.logit))
    move = float(jax.grad(lambda x: at(x).share())(mixture.logit))
    chosen = slope > 0
    np.testing.assert_allclose(slope[chosen], move / SHARE, rtol=1e-6)
    np.testing.assert_allclose(slope[~chosen], -move / (1 - SHARE), rtol=1e-6)
    pull = (np.mean(chosen) - SHARE) / math.sqrt(SHARE * (1 - SHARE) / 5000)
    assert abs(pull) < 4
    with_score = mixture.sample_batch_with_score(keys[:3])[1]
    np.testing.assert_allclose(with_score, mixture.sample_batch(keys[:3])[1])


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
    flat, unravel = jax.flatten_util.ravel_pytree(model)
    which, _ = jax.flatten_util.ravel_pytree(_marked(model))

    def gradients(key):
        keys = jr.split(key, 64)
        return jnp.stack(
            [
                jax.grad(lambda x, part=part: part(unravel(x), action, keys)[0])(flat)
                for part in (PathReverseKL(), ReinforceReverseKL())
            ]
        )

    found = jax.jit(lambda keys: lax.map(gradients, keys))(jr.split(jr.key(3), 64))
    difference = found[:, 0] - found[:, 1]
    error = jnp.std(difference, axis=0, ddof=1) / 8
    pulls = jnp.mean(difference, axis=0) / jnp.where(error > 0, error, 1)
    assert jnp.max(jnp.abs(pulls)) < 5
    (logit,) = np.flatnonzero(which)
    share_gradient = jnp.mean(found[:, 0, logit])
    assert abs(share_gradient) > 10 * error[logit]  # without the score term it is 0


def _marked(model):
    """Zeros, and a one where the share is."""
    zeros = jax.tree.map(jnp.zeros_like, model)
    flow = zeros.model if isinstance(zeros, Symmetrized) else zeros
    marked = eqx.tree_at(lambda m: m.prior.logit, flow, jnp.ones(()))
    if isinstance(zeros, Symmetrized):
        return eqx.tree_at(lambda m: m.model, zeros, marked)
    return marked


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
