"""Continuous normalizing flow on a Gaussian prior, by fixed-step Runge-Kutta."""

import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Key, PRNGKeyArray

from genlat.likelihood import EXACT, Likelihood
from genlat.models import fourier
from genlat.models.base import AbstractIntegratedFlow
from genlat.models.gaussian import GaussianPair
from genlat.models.gaussian_vectors import GaussianVectors
from genlat.models.prior import AbstractPrior, AbstractPriorFlow
from genlat.models.vector_field import (
    Coefficients,
    SineField,
    pullback_modes,
    velocity,
    velocity_and_divergence,
)


class CNF(AbstractPriorFlow, AbstractIntegratedFlow):
    r"""q: the flow of `field` from t = 0 (prior) to t = 1 (configurations).

    Integrated by the classical fourth-order Runge-Kutta method with `n_steps` equal
    steps; log q is that of the prior minus the equally integrated divergence, so the
    number of steps is part of log q. Its error in ln Z falls like n_steps⁻⁴: compare
    two numbers of steps before quoting a result. `log_prob` inverts every step to
    rounding, so that it returns the log q with which a configuration was drawn.

    **Source:** Chen et al., arXiv:1806.07366; on the lattice de Haan et al.,
    arXiv:2110.02673.
    """

    prior: AbstractPrior
    field: SineField
    n_steps: int = eqx.field(static=True)
    lattice_shape: tuple[int, ...] = eqx.field(static=True)
    likelihood: ClassVar[Likelihood] = EXACT

    def __init__(self, prior: AbstractPrior, field: SineField, *, n_steps: int):
        if prior.lattice_shape != field.lattice_shape:
            raise ValueError(
                f"prior on {prior.lattice_shape}, field on {field.lattice_shape}"
            )
        if prior.components != field.components:
            raise ValueError(
                f"prior of components {prior.components}, field of {field.components}"
            )
        if n_steps < 1:
            raise ValueError(f"n_steps must be at least 1, got {n_steps}")
        self.prior = prior
        self.field = field
        self.n_steps = n_steps
        self.lattice_shape = prior.lattice_shape

    @property
    def components(self) -> tuple[int, ...]:
        return self.field.components

    def with_steps(self, n_steps: int) -> "CNF":
        """The same flow, integrated with another number of steps."""
        return CNF(self.prior, self.field, n_steps=n_steps)

    def with_prior(self, prior: AbstractPrior) -> "CNF":
        """The same flow of another prior."""
        return CNF(prior, self.field, n_steps=self.n_steps)

    def sample_batch(
        self, keys: Key[Array, " n"]
    ) -> tuple[Float[Array, "n *lattice"], Float[Array, " n"]]:
        modes, log_q = self.prior.sample_modes(keys)

        def step(carry, stages):
            modes, divergence = carry
            change, rate = _runge_kutta(modes, stages, 1 / self.n_steps)
            return (modes + change, divergence + rate), None

        start = (modes, jnp.zeros_like(log_q))
        (modes, divergence), _ = lax.scan(jax.checkpoint(step), start, self._stages())
        phis, log_gain = self._leave(modes)
        return phis, log_q - divergence - log_gain

    def sample_batch_with_score(
        self, keys: Key[Array, " n"]
    ) -> tuple[
        Float[Array, "n *lattice"],
        Float[Array, " n"],
        Float[Array, "n *lattice"],
    ]:
        r"""`sample_batch` and the score ∂ log q/∂φ, in one pass.

        The score G solves, along the flow, dG/dt = -(∂V/∂y)ᵀ G - ∂ div V/∂y from the
        prior's score.

        **Source:** Vaitl et al., arXiv:2206.09016.
        """
        modes, log_q = self.prior.sample_modes(keys)
        frozen = lax.stop_gradient(self)

        def step(carry, stages):
            modes, divergence, score = carry
            change, rate, score_change = _runge_kutta_with_score(
                modes, score, stages, 1 / self.n_steps
            )
            return (modes + change, divergence + rate, score + score_change), None

        start_score = frozen.prior.score_modes(lax.stop_gradient(modes))
        start = (modes, jnp.zeros_like(log_q), start_score)
        (modes, divergence, score), _ = lax.scan(
            jax.checkpoint(step), start, self._stages()
        )
        phis, log_gain = self._leave(modes)
        score = score * jnp.exp(-frozen.field.log_gain())
        log_q = lax.stop_gradient(log_q - divergence - log_gain)
        log_q += self.prior.log_choice(keys)
        score = fourier.leave(score, len(self.components))
        return phis, log_q, lax.stop_gradient(score)

    def log_prob_batch(self, phis: Float[Array, "n *lattice"]) -> Float[Array, " n"]:
        log_gain = self.field.log_gain()
        modes = fourier.enter(phis, len(self.components)) * jnp.exp(-log_gain)
        wide = jax.dtypes.canonicalize_dtype(jnp.float64)

        def step_back(carry, stages):
            modes, divergence = carry
            start, rate = _differentiable_inverse(modes, stages, 1 / self.n_steps)
            return (start, divergence + rate), None

        start = (modes, jnp.zeros(len(phis), wide))
        (modes, divergence), _ = lax.scan(
            step_back, start, self._stages(), reverse=True
        )
        log_q = self.prior.log_prob_modes(modes)
        return log_q - divergence - self._log_det_gain(log_gain)

    def _stages(self) -> Coefficients:
        """Coefficients at start, middle and end of every step: leading (steps, 3)."""
        times = np.linspace(0, 1, 2 * self.n_steps + 1)
        points = 2 * np.arange(self.n_steps)[:, None] + np.arange(3)
        return jax.tree.map(lambda x: x[points], self.field.coefficients(times))

    def _leave(
        self, modes: Float[Array, "time *batch_and_space"]
    ) -> tuple[Float[Array, "n *lattice"], Float[Array, ""]]:
        log_gain = self.field.log_gain()
        phis = fourier.leave(modes * jnp.exp(log_gain), len(self.components))
        return phis, self._log_det_gain(log_gain)

    def _log_det_gain(self, log_gain: Array) -> Float[Array, ""]:
        """Of the linear part, which every component has."""
        wide = jax.dtypes.canonicalize_dtype(jnp.float64)
        return math.prod(self.components) * jnp.sum(log_gain, dtype=wide)


def build(
    variance: Float[np.ndarray, "*lattice"],
    mean: float,
    key: PRNGKeyArray,
    *,
    n_features: int = 8,
    n_channels: int = 4,
    n_kernel_terms: int = 6,
    n_mixing_terms: int = 4,
    n_steps: int = 6,
    components: tuple[int, ...] = (),
) -> CNF:
    """An untrained flow: the identity on the Gaussian prior ±`mean`, `variance`.

    The base frequency of the sine features is set by the prior's fluctuations, so the
    model is the same in every normalisation of φ.

    **Arguments:** as `GaussianPair`, `SineField` and `CNF`. Of components the prior is
    `GaussianVectors`, around 0 whatever `mean` is.
    """
    width = math.sqrt(float(np.mean(variance)) + mean**2 / 8)
    field = SineField(
        tuple(variance.shape),
        frequency=_FREQUENCY / width,
        n_features=n_features,
        n_channels=n_channels,
        n_kernel_terms=n_kernel_terms,
        n_mixing_terms=n_mixing_terms,
        key=key,
        components=components,
    )
    if components:
        return CNF(GaussianVectors(variance, *components), field, n_steps=n_steps)
    return CNF(GaussianPair(variance, mean), field, n_steps=n_steps)


# in units of the prior's width; 0.4 to 0.6 train equally well on 12² and 64x8
_FREQUENCY = 0.45


def _at(stages: Coefficients) -> tuple[Coefficients, Coefficients, Coefficients]:
    first, middle, last = (jax.tree.map(lambda x, i=i: x[i], stages) for i in range(3))
    return first, middle, last


def _weighted(k1: Array, k2: Array, k3: Array, k4: Array, h: float) -> Array:
    return (h / 6) * (k1 + 2 * (k2 + k3) + k4)


def _runge_kutta(
    modes: Float[Array, "time *batch_and_space"], stages: Coefficients, h: float
) -> tuple[Float[Array, "time *batch_and_space"], Float[Array, " n"]]:
    """Change of modes and log-determinant over one step."""
    first, middle, last = _at(stages)
    k1, d1 = velocity_and_divergence(modes, first)
    k2, d2 = velocity_and_divergence(modes + h / 2 * k1, middle)
    k3, d3 = velocity_and_divergence(modes + h / 2 * k2, middle)
    k4, d4 = velocity_and_divergence(modes + h * k3, last)
    return _weighted(k1, k2, k3, k4, h), _weighted(d1, d2, d3, d4, h)


def _runge_kutta_with_score(
    modes: Float[Array, "time *batch_and_space"],
    score: Float[Array, "time *batch_and_space"],
    stages: Coefficients,
    h: float,
) -> tuple[
    Float[Array, "time *batch_and_space"],
    Float[Array, " n"],
    Float[Array, "time *batch_and_space"],
]:
    """`_runge_kutta` with the score alongside; only the modes are differentiable."""

    def rates(modes, score, at):
        still, frozen = lax.stop_gradient((modes, at))
        _, divergence = velocity_and_divergence(still, frozen)
        pull = -pullback_modes(still, frozen, score)
        return velocity(modes, at), divergence, pull

    score = lax.stop_gradient(score)
    first, middle, last = _at(stages)
    k1, d1, s1 = rates(modes, score, first)
    k2, d2, s2 = rates(modes + h / 2 * k1, score + h / 2 * s1, middle)
    k3, d3, s3 = rates(modes + h / 2 * k2, score + h / 2 * s2, middle)
    k4, d4, s4 = rates(modes + h * k3, score + h * s3, last)
    return (
        _weighted(k1, k2, k3, k4, h),
        _weighted(d1, d2, d3, d4, h),
        lax.stop_gradient(_weighted(s1, s2, s3, s4, h)),
    )


def _invert_runge_kutta(
    end: Float[Array, "time *batch_and_space"], stages: Coefficients, h: float
) -> tuple[Float[Array, "time *batch_and_space"], Float[Array, " n"]]:
    """Start of the step that ends at `end`, and the step's log-determinant.

    The step is the identity plus O(h), so its inverse is the fixed point of
    start = end - change(start). The same step run backwards is off by O(h⁵) only;
    from there one or two iterations move by no more than rounding. Where the step is no
    contraction they never settle: the log-determinant of that configuration is NaN. The
    loop is not differentiated: `_differentiable_inverse` uses the implicit function
    theorem.
    """
    eps = jnp.finfo(end.dtype).eps
    scale = 1 + jnp.max(jnp.abs(end))
    batch = stages.n_batch_axes
    axes = tuple(axis for axis in range(end.ndim) if axis != batch)

    def is_moving(carry):
        _, _, shifts, count = carry
        return (jnp.max(shifts) > 4 * eps) & (count < 60)

    def improve(carry):
        start, _, _, count = carry
        change, rate = _runge_kutta(start, stages, h)
        new = end - change
        return new, rate, jnp.max(jnp.abs(new - start), axis=axes) / scale, count + 1

    backwards = jax.tree.map(lambda x: x[::-1], stages)
    guess = end + _velocity_runge_kutta(end, backwards, -h)
    wide = jax.dtypes.canonicalize_dtype(jnp.float64)
    unknown = jnp.full(end.shape[batch], jnp.inf, end.dtype)
    initial = (guess, jnp.zeros(end.shape[batch], wide), unknown, 0)
    # the log-determinant of the last iteration is at a start good to rounding
    start, rate, shifts, _ = lax.while_loop(is_moving, improve, initial)
    return start, jnp.where(shifts < 1e3 * eps, rate, jnp.nan)


def _invert_forward(end, stages, h):
    start, rate = _invert_runge_kutta(end, stages, h)
    return (start, rate), (start, stages)


def _invert_backward(
    h: float,
    residuals: tuple[Float[Array, "time *batch_and_space"], Coefficients],
    bars: tuple[Float[Array, "time *batch_and_space"], Float[Array, " n"]],
) -> tuple[Float[Array, "time *batch_and_space"], Coefficients]:
    """With start + change(start) = end, the cotangent of end is the fixed point of

    end_bar = start_bar + (∂rate/∂start)ᵀ rate_bar - (∂change/∂start)ᵀ end_bar,

    a contraction for the reason the inverse is one.
    """
    (start, stages), (start_bar, rate_bar) = residuals, bars
    _, pull = jax.vjp(lambda y, at: _runge_kutta(y, at, h), start, stages)
    _, pull_change = jax.vjp(lambda y: _velocity_runge_kutta(y, stages, h), start)
    source = start_bar + pull((jnp.zeros_like(start), rate_bar))[0]
    tolerance = 4 * jnp.finfo(start.dtype).eps * jnp.max(jnp.abs(source))

    def is_moving(carry):
        _, shift, count = carry
        return (shift > tolerance) & (count < 60)

    def improve(carry):
        end_bar, _, count = carry
        new = source - pull_change(end_bar)[0]
        return new, jnp.max(jnp.abs(new - end_bar)), count + 1

    infinite = jnp.asarray(jnp.inf, start.dtype)
    end_bar, shift, _ = lax.while_loop(is_moving, improve, (source, infinite, 0))
    end_bar = jnp.where(shift < 1e3 * tolerance, end_bar, jnp.nan)
    return end_bar, pull((-end_bar, rate_bar))[1]


_differentiable_inverse = jax.custom_vjp(_invert_runge_kutta, nondiff_argnums=(2,))
_differentiable_inverse.defvjp(_invert_forward, _invert_backward)


def _velocity_runge_kutta(
    modes: Float[Array, "time *batch_and_space"], stages: Coefficients, h: float
) -> Float[Array, "time *batch_and_space"]:
    """Change of modes over one step, without the log-determinant."""
    first, middle, last = _at(stages)
    k1 = velocity(modes, first)
    k2 = velocity(modes + h / 2 * k1, middle)
    k3 = velocity(modes + h / 2 * k2, middle)
    k4 = velocity(modes + h * k3, last)
    return _weighted(k1, k2, k3, k4, h)
