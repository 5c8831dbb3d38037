"""The training loop: chunks of compiled steps, reproducible across restarts."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from genlat.actions.base import AbstractAction
from genlat.models.base import AbstractModel
from genlat.training.objectives import AbstractObjective


@dataclasses.dataclass(frozen=True)
class Settings:
    """Adam with b₁ = 0.8, b₂ = 0.9 on a warm-up and cosine schedule.

    Short memories suit a loss whose noise shrinks as q approaches p.

    - `steps`: total number of steps; the schedule ends there.
    - `batch`: configurations per step.
    - `learning_rate`: peak of the schedule.
    - `warmup`: steps of linear warm-up from 0.
    - `final_fraction`: last learning rate over the peak.
    """

    steps: int
    batch: int
    learning_rate: float = 1e-2
    warmup: int = 10
    final_fraction: float = 0.02

    def __post_init__(self):
        for name in ("steps", "batch", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")

    def schedule(self) -> optax.Schedule:
        """Learning rate at a step."""
        return optax.warmup_cosine_decay_schedule(
            init_value=0.0,
            peak_value=self.learning_rate,
            warmup_steps=self.warmup,
            decay_steps=max(self.steps, self.warmup + 1),
            end_value=self.final_fraction * self.learning_rate,
        )

    def optimizer(self) -> optax.GradientTransformation:
        """The Optax chain that `init` and `run_chunk` share."""
        return optax.adam(self.schedule(), b1=0.8, b2=0.9)


class TrainState(eqx.Module):
    """Everything a restart needs: the same state continues to the same numbers."""

    model: AbstractModel
    optimizer_state: Any
    step: Int[Array, ""]
    key: PRNGKeyArray


def init(model: AbstractModel, settings: Settings, key: PRNGKeyArray) -> TrainState:
    """State before the first step."""
    optimizer_state = settings.optimizer().init(eqx.filter(model, eqx.is_inexact_array))
    return TrainState(model, optimizer_state, jnp.zeros((), jnp.int32), key)


def run_chunk(
    state: TrainState,
    action: AbstractAction,
    objective: AbstractObjective,
    settings: Settings,
    n_steps: int,
) -> tuple[TrainState, dict[str, Float[Array, " n_steps"]]]:
    """`n_steps` steps in one compiled call, without touching the host.

    The noise of a step depends on `state.key`, the step's number and the place in the
    batch alone, so chunks and restarts change nothing.

    **Returns:** the new state, and per step the `loss` E_q[S + log q], the batch `ess`
    (a progress bar, not a result), the gradient's norm `grad_norm` and
    `learning_rate`. Non-finite values are passed on: the caller stops.
    """
    return _compiled_chunk(state, action, objective, settings, n_steps)


@eqx.filter_jit(donate="none")
def _compiled_chunk(state, action, objective, settings, n_steps):
    optimizer, schedule = settings.optimizer(), settings.schedule()
    trainable, fixed = eqx.partition(state.model, eqx.is_inexact_array)

    def loss(trainable, keys):
        return objective(eqx.combine(trainable, fixed), action, keys)

    def one_step(carry, _):
        trainable, optimizer_state, step = carry
        keys = jr.split(jr.fold_in(state.key, step), settings.batch)
        (value, log_w), gradient = jax.value_and_grad(loss, has_aux=True)(
            trainable, keys
        )
        updates, optimizer_state = optimizer.update(gradient, optimizer_state)
        weight = jnp.exp(log_w - jnp.max(log_w))
        metrics = {
            "loss": value,
            "ess": jnp.sum(weight) ** 2 / (len(keys) * jnp.sum(weight**2)),
            "grad_norm": optax.tree.norm(gradient),
            "learning_rate": schedule(step),
        }
        trainable = optax.apply_updates(trainable, updates)
        return (trainable, optimizer_state, step + 1), metrics

    start = (trainable, state.optimizer_state, state.step)
    (trainable, optimizer_state, step), metrics = lax.scan(
        one_step, start, length=n_steps
    )
    model = eqx.combine(trainable, fixed)
    return TrainState(model, optimizer_state, step, state.key), metrics
