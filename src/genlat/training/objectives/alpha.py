"""The α-divergences, on draws of q."""

import math
from typing import ClassVar, Literal

import equinox as eqx
import jax
from jax import lax
from jaxtyping import Array, Float, Key

from genlat.actions.base import AbstractAction
from genlat.models.base import AbstractModel
from genlat.training.objectives.base import (
    AbstractObjective,
    LossAndWeights,
    at_fixed_draws,
    no_choices,
    no_density,
    no_flow,
    with_gradient_of,
)


class AlphaDivergence(AbstractObjective):
    r"""D_α(p||q) = ln E_q[(p/q)^α] / (α(α-1)) by the total gradient.

    The loss is ln mean_i w_i^α / (α(α-1)), which is D_α + ln Z/(α-1) with the bias
    -Var(w^α) / (2n E[w^α]²) / (α(α-1)) of the logarithm of a mean. Its derivative
    through draws and log q, Σ_i s_i ∂_θ log w_i / (α-1) with s_i ∝ w_i^α summing to 1,
    has a bias of O(1/n) too, and variance at q = p. At α = 2, D_α = -½ ln ESS. The path
    gradient is biased: the dropped ∂_θ log q is weighted by w^α. For flows without
    discrete choices.

    **Source:** the objective of Li & Turner, arXiv:1602.02311, with log-weights
    shifted.

    **Arguments:** `alpha`: any number but 0 and 1.

    **Raises:** `ValueError` at 0 and 1, where the limits are the two KL divergences.
    """

    alpha: float = eqx.field(static=True)
    side: ClassVar[Literal["q", "p"]] = "q"
    is_additive: ClassVar[bool] = False

    def __check_init__(self):
        _check_alpha(self.alpha)

    def __call__(
        self, model: AbstractModel, action: AbstractAction, keys: Key[Array, " n"]
    ) -> LossAndWeights:
        phis, log_q = model.sample_batch(keys)
        log_w = -jax.vmap(action)(phis) - log_q
        return _log_mean_power(log_w, self.alpha), log_w

    def why_unfit(self, model: AbstractModel) -> str | None:
        return no_density(model) or no_flow(model) or no_choices(model)


class ReinforceAlphaDivergence(AbstractObjective):
    r"""The same loss with the score-function gradient, at draws that are held fixed.

    -(1/α) Σ_i (s_i - 1/n) ∂_θ log q(φ_i) with s_i ∝ w_i^α summing to 1. 1/n is a
    control variate of mean zero, with which the gradient vanishes at q = p batch by
    batch. The bias is O(1/n). For every exact, normalised density.

    **Arguments** and **Raises:** as `AlphaDivergence`.
    """

    alpha: float = eqx.field(static=True)
    side: ClassVar[Literal["q", "p"]] = "q"
    is_additive: ClassVar[bool] = False

    def __check_init__(self):
        _check_alpha(self.alpha)

    def __call__(
        self, model: AbstractModel, action: AbstractAction, keys: Key[Array, " n"]
    ) -> LossAndWeights:
        log_q, log_w = at_fixed_draws(model, action, keys)
        still = lax.stop_gradient(log_w)
        excess = (1 / len(keys) - jax.nn.softmax(self.alpha * still)) / self.alpha
        loss = _log_mean_power(still, self.alpha)
        return with_gradient_of(excess @ log_q, loss), still

    def why_unfit(self, model: AbstractModel) -> str | None:
        return no_density(model)


def _log_mean_power(log_w: Float[Array, " n"], alpha: float) -> Float[Array, ""]:
    total = jax.nn.logsumexp(alpha * log_w)
    return (total - math.log(len(log_w))) / (alpha * (alpha - 1))


def _check_alpha(alpha: float) -> None:
    limits = {0: "reverse_kl", 1: "forward_kl"}
    if not math.isfinite(alpha) or alpha in limits:
        hint = f"; its limit there is {limits[int(alpha)]}" if alpha in limits else ""
        raise ValueError(f"alpha must be a number but 0 and 1, got {alpha}{hint}")
