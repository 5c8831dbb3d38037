"""The interface of an objective, and what several of them share."""

from abc import abstractmethod
from typing import Literal, Protocol, runtime_checkable

import equinox as eqx
import jax
from jax import lax
from jaxtyping import Array, Float, Key

from genlat.actions.base import AbstractAction
from genlat.likelihood import EXACT
from genlat.models.base import AbstractFlow, AbstractModel
from genlat.models.conditional import Trainable
from genlat.models.phase_mixture import makes_choices

LossAndWeights = tuple[Float[Array, ""], Float[Array, " n"]]


class AbstractObjective(eqx.Module):
    """A scalar loss of a batch, one key per configuration.

    `side` says of which density the batch's configurations are draws, `is_additive`
    whether loss and gradient of a batch are means over its configurations, so that
    means over slices of it do as well.
    """

    side: eqx.AbstractClassVar[Literal["q", "p"]]
    is_additive: eqx.AbstractClassVar[bool]

    @abstractmethod
    def __call__(
        self, model: Trainable, action: AbstractAction, keys: Key[Array, " n"]
    ) -> LossAndWeights:
        """The loss, and the batch's log-weights -S - log q."""

    @abstractmethod
    def why_unfit(self, model: Trainable) -> str | None:
        """What this objective's gradient lacks in `model`, a sentence; None if fit."""


@runtime_checkable
class Augments(Protocol):
    """An objective that moves samples of p by symmetries, which p must have."""

    @property
    def augment(self) -> tuple[str, ...]:
        """Their names."""
        ...


def at_fixed_draws(
    model: AbstractModel, action: AbstractAction, keys: Key[Array, " n"]
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """log q and log-weights at draws that do not move with the parameters."""
    phis = lax.stop_gradient(model.sample_batch(keys)[0])
    log_q = model.log_prob_batch(phis)
    return log_q, -jax.vmap(action)(phis) - log_q


def with_gradient_of(
    surrogate: Float[Array, ""], value: Float[Array, ""]
) -> Float[Array, ""]:
    """A number that differentiates like another one."""
    return value + surrogate - lax.stop_gradient(surrogate)


def no_density(model: AbstractModel) -> str | None:
    if model.likelihood == EXACT:
        return None
    return (
        f"the loss needs a log q that is {EXACT}; that of {type(model).__name__} is "
        f"{model.likelihood}"
    )


def no_flow(model: AbstractModel) -> str | None:
    if isinstance(model, AbstractFlow):
        return None
    return (
        f"the gradient goes through the draws, and those of {type(model).__name__} are "
        "not differentiable; use reinforce"
    )


def no_choices(model: AbstractModel) -> str | None:
    if not makes_choices(model):
        return None
    return (
        "the total gradient goes through the draws, and misses how often each phase of "
        "the prior is drawn; use path or reinforce"
    )
