"""Objectives on samples of p: the forward KL divergence, and with the reverse one."""

from typing import ClassVar, Literal, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Key, Num

from genlat.actions.base import AbstractAction, AbstractContinuousAction
from genlat.models.base import AbstractModel
from genlat.models.phase_mixture import makes_choices
from genlat.training.data import Data, checked_data, checked_symmetries, draw_batch
from genlat.training.objectives.base import (
    AbstractObjective,
    Augments,
    LossAndWeights,
    no_density,
    with_gradient_of,
)
from genlat.training.objectives.reverse import PathReverseKL, ReverseKL


class ForwardKL(AbstractObjective):
    """-E_p[log q] = KL(p||q) - E_p[log p]: maximum likelihood on samples of p.

    The gradient is -mean ∂_θ log q(φ). Unbiased for every exact, normalised density,
    as far as `data` are samples of p: only these are seen of p, `action` enters the
    log-weights alone. A batch is drawn from `data` with replacement and moved by random
    symmetries (`draw_batch`).

    **Arguments:**

    - `data`: configurations `(n, *field)`, kept in single precision, spins in int8.
    - `augment`: names of `symmetry.LATTICE` and, of several components,
      `symmetry.INTERNAL`; they must be symmetries of the theory.

    **Raises:** `ValueError` for no configurations, values that are not finite or an
    unknown symmetry.
    """

    data: Num[Array, "n *lattice"]
    augment: tuple[str, ...] = eqx.field(static=True)
    side: ClassVar[Literal["q", "p"]] = "p"
    is_additive: ClassVar[bool] = True

    def __init__(self, data: Data, augment: tuple[str, ...] = ()):
        self.data = checked_data(data)
        self.augment = checked_symmetries(augment)

    def __call__(
        self, model: AbstractModel, action: AbstractAction, keys: Key[Array, " n"]
    ) -> LossAndWeights:
        phis = draw_batch(self.data, keys, self.augment, model.components)
        log_q = model.log_prob_batch(phis)
        log_w = -jax.vmap(action)(phis) - log_q
        return -jnp.mean(log_q), log_w

    def why_unfit(self, model: AbstractModel) -> str | None:
        return no_density(model) or _other_lattice(model, self.data)


@runtime_checkable
class PullsBack(Protocol):
    """What the path gradient of the forward KL asks of a model φ = f(z), z ~ q₀."""

    def pull_back_batch(
        self,
        phis: Float[Array, "n *lattice"],
        score: Float[Array, "n *lattice"],
    ) -> tuple[
        Float[Array, "n *lattice"],
        Float[Array, " n"],
        Float[Array, "n *lattice"],
    ]:
        """z = f⁻¹(φ), log q(φ), and ∂_z ln p_z - ∂_z ln q₀ from `score` = ∂_φ ln p.

        p_z is the density of z for φ ~ p. Only z is differentiable.
        """
        ...


class PathForwardKL(AbstractObjective):
    r"""The same loss as `ForwardKL` with the path gradient, quiet near the optimum.

    KL(p||q) = KL(p_z||q₀), with p_z the density of z = f⁻¹(φ) for φ ~ p. Of its total
    derivative the path gradient keeps E_p[(∂_z ln p_z - ∂_z ln q₀) · ∂z/∂θ]; the
    dropped ∂_θ ln p_z has mean zero. At q = p it vanishes configuration by
    configuration. `action` supplies ∂_φ ln p. Unbiased for models with
    `pull_back_batch`.

    **Source:** Vaitl et al., arXiv:2403.15881.

    **Arguments** and **Raises:** as `ForwardKL`.
    """

    data: Num[Array, "n *lattice"]
    augment: tuple[str, ...] = eqx.field(static=True)
    side: ClassVar[Literal["q", "p"]] = "p"
    is_additive: ClassVar[bool] = True

    def __init__(self, data: Data, augment: tuple[str, ...] = ()):
        self.data = checked_data(data)
        self.augment = checked_symmetries(augment)

    def __call__(
        self, model: AbstractModel, action: AbstractAction, keys: Key[Array, " n"]
    ) -> LossAndWeights:
        assert isinstance(action, AbstractContinuousAction)  # so is all that pulls back
        phis = draw_batch(self.data, keys, self.augment, model.components)
        score = jax.vmap(action.force)(phis)
        assert isinstance(model, PullsBack)  # `why_unfit` has been asked
        zs, log_q, mismatch = model.pull_back_batch(phis, score)
        log_w = -jax.vmap(action)(phis) - log_q
        along_path = jnp.sum(zs * mismatch) / len(keys)
        return with_gradient_of(along_path, -jnp.mean(log_q)), log_w

    def why_unfit(self, model: AbstractModel) -> str | None:
        if not isinstance(model, PullsBack):
            return (
                "the path gradient of the forward KL pulls configurations back with "
                f"their score, which {type(model).__name__} cannot; use total"
            )
        if makes_choices(model):
            return (
                "the path gradient of the forward KL moves draws of the prior, and "
                "misses how often each of its phases is drawn; use total"
            )
        return no_density(model) or _other_lattice(model, self.data)


class SymmetricKL(AbstractObjective):
    """KL(q||p) + KL(p||q), up to the constant -ln Z - E_p[log p]: Jeffreys.

    The gradient is the sum of the parts' and unbiased where both are; the noise of the
    parts is independent. The log-weights are those of the samples of p.

    **Arguments:** a part on draws of q and one on samples of p, both additive; `total`
    and `path` build the usual pairs.

    **Raises:** `ValueError` for other parts.
    """

    reverse: AbstractObjective
    forward: AbstractObjective
    side: ClassVar[Literal["q", "p"]] = "p"
    is_additive: ClassVar[bool] = True

    @property
    def augment(self) -> tuple[str, ...]:
        """The symmetries that its samples of p are moved by."""
        return self.forward.augment if isinstance(self.forward, Augments) else ()

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

    @classmethod
    def path(cls, data: Data, augment: tuple[str, ...] = ()) -> "SymmetricKL":
        """Both parts with their path gradient."""
        return cls(PathReverseKL(), PathForwardKL(data, augment))

    def __call__(
        self, model: AbstractModel, action: AbstractAction, keys: Key[Array, " n"]
    ) -> LossAndWeights:
        key_q, key_p = jnp.moveaxis(jax.vmap(jr.split)(keys), 1, 0)
        reverse, _ = self.reverse(model, action, key_q)
        forward, log_w = self.forward(model, action, key_p)
        return reverse + forward, log_w

    def why_unfit(self, model: AbstractModel) -> str | None:
        return self.reverse.why_unfit(model) or self.forward.why_unfit(model)


def _other_lattice(model: AbstractModel, data: Array) -> str | None:
    if data.shape[1:] == model.field_shape:
        return None
    return f"data on {data.shape[1:]}, model on {model.field_shape}"
