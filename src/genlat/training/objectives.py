"""What training minimises: objectives whose autodiff gradient is the one wanted.

Each is an estimate from one batch, and says through `why_unfit` for which models its
gradient is what its docstring states.
"""

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jax import lax
from jaxtyping import Array, Float, Key

from genlat.actions.base import AbstractAction
from genlat.models.base import AbstractFlow, AbstractModel
from genlat.training import admissible
from genlat.training.data import Data, checked_data, checked_symmetries, draw_batch

LossAndWeights = tuple[Float[Array, ""], Float[Array, " n"]]


class AbstractObjective(eqx.Module):
    """A scalar loss of a batch, one key per configuration.

    `side` says of which density the batch's configurations are draws, `is_additive`
    whether loss and gradient of a batch are the means of those of its slices.
    """

    side: eqx.AbstractClassVar[Literal["q", "p"]]
    is_additive: eqx.AbstractClassVar[bool]

    @abstractmethod
    def __call__(
        self, model: AbstractModel, action: AbstractAction, keys: Key[Array, " n"]
    ) -> LossAndWeights:
        """The loss, and the batch's log-weights -S - log q."""

    @abstractmethod
    def why_unfit(self, model: AbstractModel) -> str | None:
        """What this objective's gradient lacks in `model`, a sentence; None if fit."""


class ReverseKL(AbstractObjective):
    """E_q[S + log q] = KL(q||p) - ln Z with the total (reparametrised) gradient.

    Unbiased for flows. Differentiates the integrated divergence too, which lets coarse
    integrators be exploited; `PathReverseKL` does not.
    """

    side: ClassVar[Literal["q", "p"]] = "q"
    is_additive: ClassVar[bool] = True

    def __call__(
        self, model: AbstractModel, action: AbstractAction, keys: Key[Array, " n"]
    ) -> LossAndWeights:
        phis, log_q = model.sample_batch(keys)
        log_w = -jax.vmap(action, in_axes=1)(phis) - log_q
        return -jnp.mean(log_w), log_w

    def why_unfit(self, model: AbstractModel) -> str | None:
        return _no_density(model) or _no_flow(model)


class PathReverseKL(AbstractObjective):
    r"""The same loss with the path gradient, of lower variance near the optimum.

    Of the total derivative it keeps the part through the configurations,
    E[(∂_φ log q + ∂_φ S) · ∂φ/∂θ], and drops the score term ∂_θ log q(φ), whose mean is
    zero. At q = p it vanishes configuration by configuration. Unbiased for flows.

    **Source:** Roeder et al., arXiv:1703.09194; Vaitl et al., arXiv:2206.09016.
    """

    side: ClassVar[Literal["q", "p"]] = "q"
    is_additive: ClassVar[bool] = True

    def __call__(
        self, model: AbstractFlow, action: AbstractAction, keys: Key[Array, " n"]
    ) -> LossAndWeights:
        phis, log_q, score = model.sample_batch_with_score(keys)
        still = lax.stop_gradient(phis)
        log_w = -jax.vmap(action, in_axes=1)(still) - log_q
        gradient = score - jax.vmap(action.force, in_axes=1, out_axes=1)(still)
        along_path = jnp.sum(phis * gradient) / len(keys)
        return _with_gradient_of(along_path, -jnp.mean(log_w)), log_w

    def why_unfit(self, model: AbstractModel) -> str | None:
        return _no_density(model) or _no_flow(model)


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
        log_q, log_w = _at_fixed_draws(model, action, keys)
        still = lax.stop_gradient(log_w)
        # f_i - b_i = n/(n-1) (f_i - mean f)
        excess = (jnp.mean(still) - still) / (len(_several(keys)) - 1)
        return _with_gradient_of(excess @ log_q, -jnp.mean(still)), still

    def why_unfit(self, model: AbstractModel) -> str | None:
        return _no_density(model)


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
        _, log_w = _at_fixed_draws(model, action, _several(keys))
        return jnp.var(log_w, ddof=1), log_w

    def why_unfit(self, model: AbstractModel) -> str | None:
        return _no_density(model)


class AlphaDivergence(AbstractObjective):
    r"""D_α(p||q) = ln E_q[(p/q)^α] / (α(α-1)) by the total gradient.

    The loss is ln mean_i w_i^α / (α(α-1)), which is D_α + ln Z/(α-1) with the bias
    -Var(w^α) / (2n E[w^α]²) / (α(α-1)) of the logarithm of a mean. Its derivative
    through draws and log q, Σ_i s_i ∂_θ log w_i / (α-1) with s_i ∝ w_i^α summing to 1,
    has a bias of O(1/n) too, and variance at q = p. At α = 2, D_α = -½ ln ESS. The path
    gradient is biased: the dropped ∂_θ log q is weighted by w^α. For flows.

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
        log_w = -jax.vmap(action, in_axes=1)(phis) - log_q
        return _log_mean_power(log_w, self.alpha), log_w

    def why_unfit(self, model: AbstractModel) -> str | None:
        return _no_density(model) or _no_flow(model)


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
        log_q, log_w = _at_fixed_draws(model, action, keys)
        still = lax.stop_gradient(log_w)
        excess = (1 / len(keys) - jax.nn.softmax(self.alpha * still)) / self.alpha
        loss = _log_mean_power(still, self.alpha)
        return _with_gradient_of(excess @ log_q, loss), still

    def why_unfit(self, model: AbstractModel) -> str | None:
        return _no_density(model)


class ForwardKL(AbstractObjective):
    """-E_p[log q] = KL(p||q) - E_p[log p]: maximum likelihood on samples of p.

    The gradient is -mean ∂_θ log q(φ). Unbiased for every exact, normalised density,
    as far as `data` are samples of p: only these are seen of p, `action` enters the
    log-weights alone. A batch is drawn from `data` with replacement and moved by random
    symmetries (`draw_batch`).

    **Arguments:**

    - `data`: configurations `(n, *lattice)`, kept in single precision.
    - `augment`: any of "sign", "translations", "point_group"; they must be symmetries
      of the theory.

    **Raises:** `ValueError` for no configurations, values that are not finite or an
    unknown symmetry.
    """

    data: Float[Array, "n *lattice"]
    augment: tuple[str, ...] = eqx.field(static=True)
    side: ClassVar[Literal["q", "p"]] = "p"
    is_additive: ClassVar[bool] = True

    def __init__(self, data: Data, augment: tuple[str, ...] = ()):
        self.data = checked_data(data)
        self.augment = checked_symmetries(augment)

    def __call__(
        self, model: AbstractModel, action: AbstractAction, keys: Key[Array, " n"]
    ) -> LossAndWeights:
        phis = draw_batch(self.data, keys, self.augment)
        log_q = model.log_prob_batch(phis)
        log_w = -jax.vmap(action, in_axes=1)(phis) - log_q
        return -jnp.mean(log_q), log_w

    def why_unfit(self, model: AbstractModel) -> str | None:
        return _no_density(model) or _other_lattice(model, self.data)


class SymmetricKL(AbstractObjective):
    """KL(q||p) + KL(p||q), up to the constant -ln Z - E_p[log p]: Jeffreys.

    The gradient is the sum of the parts' and unbiased where both are; the noise of the
    parts is independent. The log-weights are those of the samples of p.

    **Arguments:** a part on draws of q and one on samples of p, both additive; `total`
    builds the usual pair.

    **Raises:** `ValueError` for other parts.
    """

    reverse: AbstractObjective
    forward: AbstractObjective
    side: ClassVar[Literal["q", "p"]] = "p"
    is_additive: ClassVar[bool] = True

    def __check_init__(self):
        parts = (self.reverse, self.forward)
        is_fine = all(part.is_additive for part in parts)
        if not is_fine or [part.side for part in parts] != ["q", "p"]:
            raise ValueError(
                "wanted an additive objective on draws of q and one on samples of p, "
                f"got {' and '.join(type(part).__name__ for part in parts)}"
            )

    @classmethod
    def total(cls, data: Data, augment: tuple[str, ...] = ()) -> "SymmetricKL":
        """Both parts with their total gradient."""
        return cls(ReverseKL(), ForwardKL(data, augment))

    def __call__(
        self, model: AbstractModel, action: AbstractAction, keys: Key[Array, " n"]
    ) -> LossAndWeights:
        key_q, key_p = jnp.moveaxis(jax.vmap(jr.split)(keys), 1, 0)
        reverse, _ = self.reverse(model, action, key_q)
        forward, log_w = self.forward(model, action, key_p)
        return reverse + forward, log_w

    def why_unfit(self, model: AbstractModel) -> str | None:
        return self.reverse.why_unfit(model) or self.forward.why_unfit(model)


# How every pair of names in `admissible` is built, or why it is refused. Arguments are
# those of `admissible.NEEDS`, by name.
ADMISSIBLE: dict[tuple[str, str], Callable[..., AbstractObjective] | str] = {
    ("reverse_kl", "path"): PathReverseKL,
    ("reverse_kl", "total"): ReverseKL,
    ("reverse_kl", "reinforce"): ReinforceReverseKL,
    ("forward_kl", "total"): ForwardKL,
    ("symmetric_kl", "total"): SymmetricKL.total,
    ("alpha", "total"): AlphaDivergence,
    ("alpha", "reinforce"): ReinforceAlphaDivergence,
    ("log_variance", "reinforce"): LogVariance,
    **admissible.REFUSED,
}


def _at_fixed_draws(
    model: AbstractModel, action: AbstractAction, keys: Key[Array, " n"]
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """log q and log-weights at draws that do not move with the parameters."""
    phis = lax.stop_gradient(model.sample_batch(keys)[0])
    log_q = model.log_prob_batch(phis)
    return log_q, -jax.vmap(action, in_axes=1)(phis) - log_q


def _with_gradient_of(
    surrogate: Float[Array, ""], value: Float[Array, ""]
) -> Float[Array, ""]:
    """A number that differentiates like another one."""
    return value + surrogate - lax.stop_gradient(surrogate)


def _log_mean_power(log_w: Float[Array, " n"], alpha: float) -> Float[Array, ""]:
    total = jax.nn.logsumexp(alpha * log_w)
    return (total - math.log(len(log_w))) / (alpha * (alpha - 1))


def _check_alpha(alpha: float) -> None:
    limits = {0: "reverse_kl", 1: "forward_kl"}
    if not math.isfinite(alpha) or alpha in limits:
        hint = f"; its limit there is {limits[int(alpha)]}" if alpha in limits else ""
        raise ValueError(f"alpha must be a number but 0 and 1, got {alpha}{hint}")


def _several(keys: Key[Array, " n"]) -> Key[Array, " n"]:
    if len(keys) < 2:
        raise ValueError(f"a baseline needs at least 2 draws, got {len(keys)}")
    return keys


def _no_density(model: AbstractModel) -> str | None:
    if model.likelihood == "exact" and model.normalized:
        return None
    norm = "normalised" if model.normalized else "not normalised"
    return (
        f"the loss needs an exact, normalised log q; that of {type(model).__name__} is "
        f"{model.likelihood}, {norm}"
    )


def _no_flow(model: AbstractModel) -> str | None:
    if isinstance(model, AbstractFlow):
        return None
    return (
        f"the gradient goes through the draws, and those of {type(model).__name__} are "
        "not differentiable; use reinforce"
    )


def _other_lattice(model: AbstractModel, data: Array) -> str | None:
    if data.shape[1:] == model.lattice_shape:
        return None
    return f"data on {data.shape[1:]}, model on {model.lattice_shape}"
