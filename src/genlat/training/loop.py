"""The training loop: chunks of compiled steps, reproducible across restarts."""

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from genlat.actions.base import AbstractAction
from genlat.actions.declared import require
from genlat.actions.path import CouplingLine
from genlat.models.conditional import Conditional, Trainable
from genlat.training.across import AcrossCouplings
from genlat.training.objectives import AbstractObjective
from genlat.training.objectives.base import Augments


@dataclasses.dataclass(frozen=True)
class Settings:
    """Adam with b₁ = 0.8, b₂ = 0.9 on a warm-up and cosine schedule.

    Short memories suit a loss whose noise shrinks as q approaches p.

    - `steps`: total number of steps; the schedule ends there.
    - `batch`: configurations per step.
    - `learning_rate`: peak of the schedule.
    - `warmup`: steps of linear warm-up from 0.
    - `final_fraction`: last learning rate over the peak.
    - `micro_batch`: gradients are accumulated over slices of this many configurations,
      which bounds memory; None for the whole batch at once.
    """

    steps: int
    batch: int
    learning_rate: float = 1e-2
    warmup: int = 10
    final_fraction: float = 0.02
    micro_batch: int | None = None

    def __post_init__(self):
        if self.steps < 0:
            raise ValueError(f"steps must not be negative, got {self.steps}")
        for name in ("batch", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        size = self.batch if self.micro_batch is None else self.micro_batch
        if size < 1 or self.batch % size:
            raise ValueError(
                f"micro_batch must divide batch = {self.batch}, got {size}"
            )

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


class Annealing(eqx.Module):
    """Couplings that move, step by step, from those of `start` to the target's.

    At step k < `steps` every coupling is the linear interpolation at k/`steps`; from
    then on the action is exactly the target.

    **Arguments:** `start`: a theory of the same kind as the target; `steps`: ≥ 1.

    **Raises:** `ValueError` for fewer steps.
    """

    start: AbstractAction
    steps: int = eqx.field(static=True)

    def __check_init__(self):
        if self.steps < 1:
            raise ValueError(f"annealing needs steps >= 1, got {self.steps}")

    def at(self, step: Int[Array, ""], target: AbstractAction) -> AbstractAction:
        """The action of a step.

        **Raises:** `ValueError` if `target` is another theory or lattice than `start`.
        """
        between = CouplingLine(self.start, target).at(step / self.steps)
        return jax.tree.map(
            lambda a, b: jnp.where(step < self.steps, a, b), between, target
        )


class TrainState(eqx.Module):
    """Everything a restart needs: the same state continues to the same numbers."""

    model: Trainable
    optimizer_state: Any
    step: Int[Array, ""]
    key: PRNGKeyArray


def init(model: Trainable, settings: Settings, key: PRNGKeyArray) -> TrainState:
    """State before the first step."""
    optimizer_state = settings.optimizer().init(eqx.filter(model, eqx.is_inexact_array))
    return TrainState(model, optimizer_state, jnp.zeros((), jnp.int32), key)


def run_chunk(
    state: TrainState,
    action: AbstractAction,
    objective: AbstractObjective,
    settings: Settings,
    n_steps: int,
    annealing: Annealing | None = None,
) -> tuple[TrainState, dict[str, Float[Array, " n_steps"]]]:
    """`n_steps` steps in one compiled call, without touching the host.

    The noise of a step depends on `state.key`, the step's number and the place in the
    batch alone, so chunks and restarts change nothing.

    **Returns:** the new state, and per step the `loss`, the batch `ess` (a progress
    bar, not a result; the forward one if the batch is one of samples of p), the
    gradient's norm `grad_norm` and `learning_rate`. Non-finite values are passed on:
    the caller stops.

    **Raises:** `ValueError` for a model that the objective does not fit, samples of p
    moved by symmetries that the action does not declare, micro-batches of an objective
    that is no mean over them, or annealing with samples of the target.
    """
    is_family = isinstance(state.model, Conditional)
    if is_family and not isinstance(objective, AcrossCouplings):
        raise ValueError("a conditional model is trained by AcrossCouplings alone")
    if reason := objective.why_unfit(state.model):
        raise ValueError(reason)
    name = type(objective).__name__
    if isinstance(objective, Augments):
        require(action, objective.augment, "augment")
    if settings.micro_batch is not None and not objective.is_additive:
        raise ValueError(
            f"{name} couples all configurations of a batch and is no mean over "
            "micro-batches: leave micro_batch out"
        )
    if annealing is not None and objective.side == "p":
        raise ValueError(
            f"{name} trains on samples of the target, which annealed couplings do not "
            "change: leave the annealing out"
        )
    return _compiled_chunk(state, action, objective, settings, n_steps, annealing)


@eqx.filter_jit(donate="none")
def _compiled_chunk(state, action, objective, settings, n_steps, annealing):
    optimizer, schedule = settings.optimizer(), settings.schedule()
    trainable, fixed = eqx.partition(state.model, eqx.is_inexact_array)

    def one_step(carry, _):
        trainable, optimizer_state, step = carry
        keys = jr.split(jr.fold_in(state.key, step), settings.batch)
        now = action if annealing is None else annealing.at(step, action)

        def loss(trainable, keys):
            return objective(eqx.combine(trainable, fixed), now, keys)

        with_gradient = jax.value_and_grad(loss, has_aux=True)
        (value, log_w), gradient = _over_slices(
            with_gradient, trainable, keys, settings.micro_batch
        )
        updates, optimizer_state = optimizer.update(gradient, optimizer_state)
        metrics = {
            "loss": value,
            "ess": _ESS[objective.side](log_w),
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


def _over_slices(with_gradient, trainable, keys, size):
    """Loss, log-weights and gradient of a batch, from those of slices of `size`."""
    if size is None or size == len(keys):
        return with_gradient(trainable, keys)
    slices = keys.reshape(-1, size)

    def add(total, keys):
        (value, log_w), gradient = with_gradient(trainable, keys)
        return jax.tree.map(jnp.add, total, (value, gradient)), log_w

    (value, _), gradient = jax.eval_shape(with_gradient, trainable, slices[0])
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), (value, gradient))
    total, log_w = lax.scan(add, zeros, slices)
    value, gradient = jax.tree.map(lambda x: x / len(slices), total)
    return (value, log_w.ravel()), gradient


def _reverse_ess(log_w: Float[Array, " n"]) -> Float[Array, ""]:
    """(Σw)²/(n Σw²) of draws of q."""
    weight = jnp.exp(log_w - jnp.max(log_w))
    return jnp.sum(weight) ** 2 / (len(log_w) * jnp.sum(weight**2))


def _forward_ess(log_w: Float[Array, " n"]) -> Float[Array, ""]:
    """1/(mean w · mean 1/w) of draws of p."""
    log_sums = jax.nn.logsumexp(log_w) + jax.nn.logsumexp(-log_w)
    return jnp.exp(2 * math.log(len(log_w)) - log_sums)


_ESS = {"q": _reverse_ess, "p": _forward_ess}
