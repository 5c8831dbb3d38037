"""Objectives: gradients against closed forms on a Gaussian target, zeros, refusals."""

import math
import subprocess
import sys
from typing import ClassVar

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jax import lax

from genlat import lattice
from genlat.actions.gap import best_gaussian
from genlat.actions.phi4 import Phi4
from genlat.likelihood import EXACT, Likelihood
from genlat.models import coupling_flow, fourier
from genlat.models.base import AbstractFlow, AbstractModel
from genlat.models.gaussian import GaussianPair
from genlat.training import admissible, objectives
from genlat.training.objectives import (
    AbstractObjective,
    AlphaDivergence,
    ForwardKL,
    LogVariance,
    PathForwardKL,
    PathReverseKL,
    ReinforceAlphaDivergence,
    ReinforceReverseKL,
    ReverseKL,
    SymmetricKL,
)
from models_for_tests import a_model

SHAPE = (4, 6)
FREE, ACTION = Phi4(SHAPE, 0.2, 0.0), Phi4(SHAPE, 0.21, 0.13)
VARIANCE = best_gaussian(FREE).variance
INDEX, ORBITS = lattice.momentum_orbits(SHAPE)
BLANK = np.zeros((1, *SHAPE), np.float32)  # data are drawn afresh where they matter


class Modes(AbstractFlow):
    """A Gaussian free field as a flow: modes are a width times standard normals."""

    prior: GaussianPair
    lattice_shape: tuple[int, ...] = eqx.field(static=True)
    likelihood: ClassVar = EXACT

    def sample_batch(self, keys):
        return self.prior.sample_batch(keys)

    def log_prob_batch(self, phis):
        return self.prior.log_prob_batch(phis)

    def sample_batch_with_score(self, keys):
        return self.prior.sample_batch_with_score(keys)

    def pull_back_batch(self, phis, score):
        width = jnp.exp(self.prior.log_std)[jnp.asarray(INDEX)][:, None]
        modes = fourier.enter(phis) / width
        mismatch = modes + width * fourier.enter(score)
        zs, mismatch = (jnp.moveaxis(x, 1, 0) for x in (modes, mismatch))
        return zs, *lax.stop_gradient((self.log_prob_batch(phis), mismatch))


def modes(log_std):
    prior = GaussianPair(np.ones(SHAPE))
    prior = eqx.tree_at(lambda p: p.log_std, prior, jnp.asarray(log_std))
    return Modes(prior, SHAPE)


LOG_STD = np.zeros(len(ORBITS))
LOG_STD[INDEX] = 0.5 * np.log(VARIANCE)
TARGET = modes(LOG_STD)
DETUNED = modes(LOG_STD + 0.1 * np.cos(1 + np.arange(len(ORBITS))))
LOG_Z = 0.5 * np.sum(np.log(2 * np.pi * VARIANCE))
ENTROPY = LOG_Z + VARIANCE.size / 2  # E_p[-log p]


def reverse(ratio):
    """KL(q||p) of Gaussians by the ratio of their variances, mode by mode."""
    return 0.5 * jnp.sum(ratio - 1 - jnp.log(ratio))


def forward(ratio):
    return reverse(1 / ratio)


def alpha_divergence(alpha):
    def of(ratio):
        log_power = (alpha - 1) * jnp.log(ratio) - jnp.log(alpha + (1 - alpha) / ratio)
        return 0.5 * jnp.sum(log_power) / (alpha * (alpha - 1))

    return of


def symmetric(ratio):
    return reverse(ratio) + forward(ratio)


# objective, divergence, what the loss is above it, whether it is quiet at the optimum
CASES = {
    "reverse": (ReverseKL(), reverse, -LOG_Z, False),
    "reverse-path": (PathReverseKL(), reverse, -LOG_Z, True),
    "reverse-reinforce": (ReinforceReverseKL(), reverse, -LOG_Z, True),
    "log-variance": (LogVariance(), lambda ratio: 2 * reverse(ratio), None, True),
    "alpha-2": (AlphaDivergence(2.0), alpha_divergence(2.0), LOG_Z, False),
    "alpha-0.4": (AlphaDivergence(0.4), alpha_divergence(0.4), -LOG_Z / 0.6, False),
    "alpha-2-reinforce": (
        ReinforceAlphaDivergence(2.0), alpha_divergence(2.0), LOG_Z, True
    ),
    "alpha-0.4-reinforce": (
        ReinforceAlphaDivergence(0.4), alpha_divergence(0.4), -LOG_Z / 0.6, True
    ),
    "forward": (ForwardKL(BLANK), forward, ENTROPY, False),
    "forward-path": (PathForwardKL(BLANK), forward, ENTROPY, True),
    "symmetric": (SymmetricKL.total(BLANK), symmetric, ENTROPY - LOG_Z, False),
    "symmetric-path": (SymmetricKL.path(BLANK), symmetric, ENTROPY - LOG_Z, True),
}  # fmt: skip


@eqx.filter_jit
def replicas(objective, model, keys):
    """Loss and gradient of independent batches, of fresh data where there are any."""

    def one(key, n=2048):
        key_data, key = jr.split(key)
        phis = TARGET.sample_batch(jr.split(key_data, n))[0]
        fresh = jax.tree.map(lambda _: phis, objective)

        def loss(model):
            return fresh(model, FREE, jr.split(key, n))[0]

        value, found = eqx.filter_value_and_grad(loss)(model)
        return value, found.prior.log_std

    return lax.map(one, keys)


def gradient_pulls(objective, divergence):
    """Of every component, from 30 batches, and of the loss."""
    losses, found = replicas(objective, DETUNED, jr.split(jr.key(7), 30))

    def of_parameters(log_std):
        return divergence(jnp.exp(2 * log_std[jnp.asarray(INDEX)]) / VARIANCE)

    value, gradient = jax.value_and_grad(of_parameters)(DETUNED.prior.log_std)
    error, loss_error = (
        jnp.std(x, axis=0, ddof=1) / math.sqrt(30) for x in (found, losses)
    )
    assert jnp.max(error) < 0.05 * jnp.max(jnp.abs(gradient))
    pulls = jnp.abs(jnp.mean(found, axis=0) - gradient) / error
    return jnp.max(pulls), jnp.mean(losses) - value, loss_error


@pytest.mark.parametrize("name", CASES)
def test_loss_and_mean_gradient_are_those_of_the_divergence(name):
    """At the optimum the gradient vanishes on every batch, where that is claimed."""
    objective, divergence, constant, is_quiet = CASES[name]
    pull, above, error = gradient_pulls(objective, divergence)
    assert pull < 5
    if constant is not None:
        assert error < 0.03
        assert abs(above - constant) < 5 * error
    _, found = replicas(objective, TARGET, jr.split(jr.key(7), 30))
    largest = jnp.max(jnp.abs(found))
    assert largest < 1e-10 if is_quiet else largest > 1e-3


class WrongSign(eqx.Module):
    """Minimises E_p[log q]: sign reversed."""

    objective: ForwardKL

    def __call__(self, model, action, keys):
        loss, log_w = self.objective(model, action, keys)
        return -loss, log_w


class WithoutScoreTerm(eqx.Module):
    """A loss of log-weights by the path gradient, whether that is allowed or not."""

    objective: AlphaDivergence | None

    def __call__(self, model, action, keys):
        phis, _ = model.sample_batch(keys)
        log_q = lax.stop_gradient(model).log_prob_batch(phis)
        log_w = -jax.vmap(action)(phis) - log_q
        if self.objective is None:
            return jnp.var(log_w, ddof=1), log_w
        alpha = self.objective.alpha
        power = jax.nn.logsumexp(alpha * log_w) / (alpha * (alpha - 1))
        return power, log_w


@pytest.mark.parametrize(
    ("objective", "name"),
    [
        (WrongSign(ForwardKL(BLANK)), "forward"),
        (WithoutScoreTerm(AlphaDivergence(2.0)), "alpha-2"),
        (WithoutScoreTerm(AlphaDivergence(0.4)), "alpha-0.4"),
        (WithoutScoreTerm(None), "log-variance"),
        (ReinforceReverseKL(), "log-variance"),
    ],
)
def test_a_wrong_gradient_is_seen(objective, name):
    assert gradient_pulls(objective, CASES[name][1])[0] > 10


def test_log_variance_is_reinforce_twice():
    model, keys = DETUNED, jr.split(jr.key(0), 5)
    once, twice = (
        eqx.filter_grad(lambda m, o=o: o(m, ACTION, keys)[0])(model).prior.log_std
        for o in (ReinforceReverseKL(), LogVariance())
    )
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-9)


@pytest.mark.slow
def test_estimators_agree_on_an_interacting_flow():
    """Total, path and REINFORCE, by the means of 64 batches of 32 draws each."""
    model, action = a_model((5,), n_steps=6), Phi4((5,), 0.31, 0.17)
    flat, unravel = jax.flatten_util.ravel_pytree(model)
    parts = (ReverseKL(), PathReverseKL(), ReinforceReverseKL())

    def gradients(key):
        keys = jr.split(key, 32)
        return jnp.stack(
            [
                jax.grad(lambda x, part=part: part(unravel(x), action, keys)[0])(flat)
                for part in parts
            ]
        )

    found = jax.jit(lambda keys: lax.map(gradients, keys))(jr.split(jr.key(3), 64))
    scale = jnp.max(jnp.abs(jnp.mean(found[:, 1], axis=0)))
    for one, other in [(0, 1), (0, 2), (1, 2)]:
        difference = found[:, one] - found[:, other]
        error = jnp.std(difference, axis=0, ddof=1) / 8
        assert jnp.median(error) < 0.1 * scale
        # the integrator's error, which only the total gradient sees, is below 1e-4
        assert jnp.all(jnp.abs(jnp.mean(difference, axis=0)) < 5 * error + 1e-4)


def test_forward_estimators_agree_on_a_coupling_flow():
    """With a pair of wells as prior: every parameter, by 60 batches of 256 samples."""
    flow = coupling_flow.build(
        GaussianPair(VARIANCE, 0.4),
        jr.key(1),
        n_layers=2,
        conditioner="dense",
        hidden=(3,),
        fourier=True,
    )
    start, unravel = jax.flatten_util.ravel_pytree(
        jax.tree.map(lambda x: x.astype(jnp.float64), flow)
    )
    start = start + 0.1 * jr.normal(jr.key(2), start.shape)
    n = 256

    def gradients(key):
        key_data, key = jr.split(key)
        phis = TARGET.sample_batch(jr.split(key_data, n))[0]
        keys = jr.split(key, n)
        found = []
        for part in (ForwardKL(BLANK), PathForwardKL(BLANK)):
            fresh = jax.tree.map(lambda _: phis, part)

            def loss(x, fresh=fresh):
                return fresh(unravel(x), FREE, keys)[0]

            found.append(jax.grad(loss)(start))
        return jnp.stack(found)

    found = jax.jit(lambda keys: lax.map(gradients, keys))(jr.split(jr.key(3), 60))
    difference = found[:, 0] - found[:, 1]
    error = jnp.std(difference, axis=0, ddof=1) / math.sqrt(60)
    scale = jnp.max(jnp.abs(jnp.mean(found[:, 1], axis=0)))
    assert jnp.max(error) < 0.1 * scale  # a sign would show
    assert jnp.all(jnp.abs(jnp.mean(difference, axis=0)) <= 5 * error + 1e-12)


class Black(AbstractModel):
    """A density whose draws are not differentiable; nothing is asked of it but that."""

    lattice_shape: tuple[int, ...] = eqx.field(static=True)
    likelihood: ClassVar = EXACT

    def sample_batch(self, keys):
        raise NotImplementedError

    def log_prob_batch(self, phis):
        raise NotImplementedError


class Bounded(AbstractModel):
    """A density known only approximately, and refused before it is asked for."""

    lattice_shape: tuple[int, ...] = eqx.field(static=True)
    likelihood: ClassVar = Likelihood("approximate", normalized=True)

    def sample_batch(self, keys):
        raise NotImplementedError

    def log_prob_batch(self, phis):
        raise NotImplementedError


def test_unfit_models_are_refused_by_sentence():
    fit_all = {"log-variance", "forward"} | {n for n in CASES if "reinforce" in n}
    for name, (objective, *_) in CASES.items():
        assert objective.why_unfit(TARGET) is None
        reason = objective.why_unfit(Black(SHAPE))
        assert (reason is None) is (name in fit_all)
        wanted = "Black cannot" if name == "forward-path" else "not differentiable"
        assert reason is None or wanted in reason
        wanted = "cannot" if name == "forward-path" else "Bounded is approximate"
        assert wanted in objective.why_unfit(Bounded(SHAPE))
    assert "GaussianPair cannot" in PathForwardKL(BLANK).why_unfit(TARGET.prior)
    on_another = ForwardKL(np.zeros((3, 5, 4), np.float32)).why_unfit(TARGET)
    assert on_another == "data on (5, 4), model on (4, 6)"


def test_every_pair_is_built_or_refused():
    pairs = {(o, g) for o in admissible.OBJECTIVES for g in admissible.GRADIENTS}
    assert set(objectives.ADMISSIBLE) == pairs
    assert set(admissible.NEEDS) == set(admissible.OBJECTIVES)
    given = {"data": BLANK, "augment": ("sign",), "alpha": 2.0}
    for (name, kind), build in objectives.ADMISSIBLE.items():
        reason = admissible.refusal(name, kind)
        if isinstance(build, str):
            assert reason == build
            assert reason.startswith(f"{name}: ")
            continue
        built = build(**{need: given[need] for need in admissible.NEEDS[name]})
        assert built.why_unfit(TARGET) is None
        assert built.is_additive == ((name, kind) in admissible.ADDITIVE)
        assert reason is None
    with pytest.raises(ValueError, match=r"must be one of path, .*'paht'"):
        admissible.refusal("alpha", "paht")


class Noise(AbstractObjective):
    """A loss that is nothing but the random numbers of its keys."""

    side: ClassVar = "q"
    is_additive: ClassVar = True

    def __call__(self, model, action, keys):
        return jnp.mean(jax.vmap(jr.uniform)(keys)), jnp.zeros(len(keys))

    def why_unfit(self, model):
        return None


class NoiseOfP(Noise):
    side: ClassVar = "p"


def test_the_two_sides_of_the_symmetric_loss_share_no_noise():
    """Variances of two uniform numbers add, 1/6; of one number twice it is 1/3."""
    objective = SymmetricKL(Noise(), NoiseOfP())
    model, action = GaussianPair(np.ones(4)), Phi4((4,), 0.1, 0.1)
    keys = jr.split(jr.key(4), (4000, 1))
    losses = jax.vmap(lambda keys: objective(model, action, keys)[0])(keys)
    # a variance of 4000 numbers is known to 2 %
    assert np.var(losses) == pytest.approx(1 / 6, rel=0.1)


def test_names_and_reasons_need_no_jax():
    code = "import sys, genlat.training.admissible; sys.exit('jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_bad_arguments_are_refused():
    for alpha, hint in [(0.0, "reverse_kl"), (1.0, "forward_kl"), (math.nan, "nan")]:
        for kind in (AlphaDivergence, ReinforceAlphaDivergence):
            with pytest.raises(ValueError, match=f"got {alpha}.*{hint}|got nan"):
                kind(alpha)
    with pytest.raises(ValueError, match=r"got \['signs'\]"):
        ForwardKL(BLANK, ("signs",))
    with pytest.raises(ValueError, match="named once"):
        ForwardKL(BLANK, ("sign", "sign"))
    with pytest.raises(ValueError, match="got 1 values that are not"):
        ForwardKL(np.array([[0.3, np.nan]]))
    with pytest.raises(ValueError, match="wanted configurations"):
        ForwardKL(np.zeros((0, 4, 6)))
    with pytest.raises(ValueError, match="got ReinforceReverseKL and ForwardKL"):
        SymmetricKL(ReinforceReverseKL(), ForwardKL(BLANK))
    for objective in (ReinforceReverseKL(), LogVariance()):
        with pytest.raises(ValueError, match="at least 2 draws, got 1"):
            objective(TARGET, FREE, jr.split(jr.key(0), 1))
