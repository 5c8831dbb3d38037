"""Train a model of one's own making."""

import dataclasses
import math
from collections.abc import Callable, Mapping

import jax.random as jr
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from genlat.api import ensembles, environment
from genlat.errors import DivergedError, RequestError
from genlat.estimators.brief import brief
from genlat.models.base import AbstractModel
from genlat.runs.stages import integrated, train_stage
from genlat.theories.base import Theory
from genlat.training import loop
from genlat.training.objectives import AbstractObjective
from genlat.verdict import integrator

Columns = dict[str, Float[np.ndarray, " steps"]]
Progress = Callable[[int, Mapping[str, Float[np.ndarray, " n"]]], None]
"""Called after every chunk: the number of its first step, and its metrics."""


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained model, and what was logged on the way.

    - `model`: with as many integration steps, if it has any, as ln Z wants of the
      number of draws that was asked for.
    - `metrics`: `loss`, `ess` of the batch, `grad_norm`, `learning_rate`, step by step.
    """

    model: AbstractModel
    metrics: Columns

    __repr__ = brief


def train(
    model: AbstractModel,
    theory: Theory,
    objective: AbstractObjective,
    settings: loop.Settings,
    key: PRNGKeyArray,
    *,
    n_draws: int = 100_000,
    progress: Progress | None = None,
) -> Trained:
    """All steps of `settings`; the model that comes back is ready to be drawn from.

    **Arguments:** `n_draws`: that are to come, for the choice of the integrator's
    steps.

    **Raises:** `RequestError` for a model that the objective does not fit;
    `DivergedError` for a loss or gradient that is not finite.
    """
    environment.require()
    if reason := objective.why_unfit(model):
        raise RequestError(f"{type(objective).__name__}: {reason}")
    key_train, key_steps = jr.split(key)
    state, parts = loop.init(model, settings, key_train), []
    chunk, done = train_stage.chunk_length(settings.steps), 0
    while done < settings.steps:
        n = min(chunk, settings.steps - done)
        state, found = loop.run_chunk(state, theory.action, objective, settings, n)
        columns = {name: np.asarray(x) for name, x in found.items()}
        _refuse_non_finite(columns, done)
        parts.append(columns)
        if progress is not None:
            progress(done, columns)
        done += n
    trained = state.model
    assert isinstance(trained, AbstractModel)
    steps = integrated.n_steps(trained)
    if steps is not None:
        log_w_at = ensembles.pilot(trained, theory, key_steps, n_draws)
        choice = integrator.choose(log_w_at, steps, n_draws)
        trained = integrated.with_steps(trained, choice.steps)
    names = parts[0] if parts else {}
    metrics = {name: np.concatenate([part[name] for part in parts]) for name in names}
    return Trained(trained, metrics)


def _refuse_non_finite(columns: Columns, first: int) -> None:
    for name in ("loss", "grad_norm"):
        is_bad = ~np.isfinite(columns[name])
        if np.any(is_bad):
            step = int(np.argmax(is_bad))
            value = columns[name][step]
            assert not math.isfinite(value)
            raise DivergedError(
                f"training stopped at step {first + step}: {name} is {value}; try a "
                "smaller learning_rate"
            )
