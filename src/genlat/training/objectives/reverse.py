"""Objectives on draws of q: the reverse KL divergence and the log-variance."""

from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from genlat.actions.base import AbstractAction, AbstractContinuousAction
from genlat.models.base import AbstractFlow, AbstractModel
from genlat.training.objectives.base import (
    AbstractObjective,
    LossAndWeights,
    at_fixed_draws,
    no_choices,
    no_density,
    no_flow,
    with_gradient_of,
)


class ReverseKL(AbstractObjective):
    """E_q[S + log q] = KL(q||p) - ln Z with the total (reparametrised) gradient.

    Unbiased for flows without discrete choices. Differentiates the integrated
    divergence too, which lets coarse integrators be exploited; `PathReverseKL` does
    not.
    """

    side: ClassVar[Literal["q", "p"]] = "q"
    is_additive: ClassVar[bool] = True

    def __call__(
        self, model: AbstractModel, action: AbstractAction, keys: Key[Array, " n"]
    ) -> LossAndWeights:
        phis, log_q = model.sample_batch(keys)
        log_w = -jax.vmap(action)(phis) - log_q
        return -jnp.mean(log_w), log_w

    def why_unfit(self, model: AbstractModel) -> str | None:
        return no_density(model) or no_flow(model) or no_choices(model)


class PathReverseKL(AbstractObjective):
    r"""The same loss with the path gradient, of lower variance near the optimum.

    Of the total derivative it keeps the part through the configurations,
    E[(∂_φ log q + ∂_φ S) · ∂φ/∂θ], and drops the score term ∂_θ log q(φ), whose mean is
    zero. At q = p it vanishes configuration by configuration. Discrete choices in
    drawing, if any, get the score term of `ReinforceReverseKL` for their probabilities
    (its baseline is that of the batch, or slice). Unbiased for flows.

    **Source:** Roeder et al., arXiv:1703.09194; Vaitl et al., arXiv:2206.09016.
    """

    side: ClassVar[Literal["q", "p"]] = "q"
    is_additive: ClassVar[bool] = True

    def __call__(
        self, model: AbstractFlow, action: AbstractAction, keys: Key[Array, " n"]
    ) -> LossAndWeights:
        assert isinstance(action, AbstractContinuousAction)  # flows are of real fields
        phis, log_q, score = model.sample_batch_with_score(keys)
        still = lax.stop_gradient(phis)
        log_w = -jax.vmap(action)(still) - lax.stop_gradient(log_q)
        gradient = score - jax.vmap(action.force)(still)
        along_path = jnp.sum(phis * gradient) / len(keys)
        of_choices = _excess(log_w) @ log_q
        return with_gradient_of(along_path + of_choices, -jnp.mean(log_w)), log_w

    def why_unfit(self, model: AbstractModel) -> str | None:
        return no_density(model) or no_flow(model)


class ReinforceReverseKL(AbstractObjective):
    r"""The same loss with the score-function gradient and a leave-one-out baseline.

    $$\frac1n \sum_i (f_i - b_i)\, \partial_\theta \log q(\phi_i), \qquad
      f = \log q + S, \quad b_i = \frac{1}{n-1} \sum_{j \ne i} f_j,$$

    at draws that are held fixed. At q = p it vanishes batch by batch. Unbiased for
    every exact, normalised density; draws need not be differentiable. n ≥ 2.

    **Source:** Williams, Machine Learning 8, 229 (1992); the baseline of Kool et al.,
    "Buy 4 REINFORCE samples, get a baseline for free!" (2019).
    """

    side: ClassVar[Literal["q", "p"]] = "q"
    is_additive: ClassVar[bool] = False

    def __call__(
        self, model: AbstractModel, action: AbstractAction, keys: Key[Array, " n"]
    ) -> LossAndWeights:
        log_q, log_w = at_fixed_draws(model, action, _several(keys))
        still = lax.stop_gradient(log_w)
        return with_gradient_of(_excess(still) @ log_q, -jnp.mean(still)), still

    def why_unfit(self, model: AbstractModel) -> str | None:
        return no_density(model)


class LogVariance(AbstractObjective):
    r"""Var(log w) over draws of q that are held fixed; the estimate with n - 1.

    Zero, like its noise, at q = p and nowhere else. Its gradient is that of
    `ReinforceReverseKL`, twice, batch by batch; a path gradient would be biased.
    Unbiased for every exact, normalised density. n ≥ 2.

    **Source:** Richter et al., arXiv:2010.10436.
    """

    side: ClassVar[Literal["q", "p"]] = "q"
    is_additive: ClassVar[bool] = False

    def __call__(
        self, model: AbstractModel, action: AbstractAction, keys: Key[Array, " n"]
    ) -> LossAndWeights:
        _, log_w = at_fixed_draws(model, action, _several(keys))
        return jnp.var(log_w, ddof=1), log_w

    def why_unfit(self, model: AbstractModel) -> str | None:
        return no_density(model)


def _excess(log_w: Float[Array, " n"]) -> Float[Array, " n"]:
    """(f_i - b_i)/n of f = -log w: with the baseline n/(n-1) (f_i - mean f).

    0 for a single draw.
    """
    return (jnp.mean(log_w) - log_w) / max(len(log_w) - 1, 1)


def _several(keys: Key[Array, " n"]) -> Key[Array, " n"]:
    if len(keys) < 2:
        raise ValueError(f"a baseline needs at least 2 draws, got {len(keys)}")
    return keys
