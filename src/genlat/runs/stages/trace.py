"""A run rehearsed without numbers: built and traced, compiled never.

What the checks of a run file know is sentences; this asks the code itself, before
anything is made on disk.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.random as jr
import numpy as np

from genlat.actions.base import AbstractAction
from genlat.errors import RequestError
from genlat.families import conditioning
from genlat.models.base import AbstractModel
from genlat.models.conditional import Trainable
from genlat.runs.file import run_text, slices
from genlat.runs.file.sections import RunConfig
from genlat.runs.stages import (
    chain_stage,
    flow_model,
    sampling,
    target_stage,
    train_stage,
)
from genlat.theories.base import Theory
from genlat.training import loop

FEW = 4  # samples of p


def refuse_untraceable(config: RunConfig) -> None:
    """Build the model and trace every stage that works on the device.

    **Raises:** `RequestError` with one line that names the field; as `flow_model.make`.
    """
    theory = config.theory.theory()
    action = theory.action
    if config.mcmc is not None:
        kernel = list(config.mcmc.kernel)
        _attempt("mcmc.kernel", kernel, lambda: _chain(config, theory))
    if config.model is None:
        return
    name, train = config.model.name, config.train
    model = _attempt("model.name", name, lambda: flow_model.make(config, action))
    if train.steps != 0:
        field, value = "train.objective", train.objective
        _attempt(field, value, lambda: _train(config, action, model))
    _attempt("model.name", name, lambda: _sample(config, action, model))


def _attempt(field: str, value: Any, make: Callable[[], Any]) -> Any:
    try:
        return make()
    # what JAX and our own constructors raise for shapes and options that do not fit
    except (ValueError, TypeError, NotImplementedError, IndexError) as error:
        reason = " ".join(str(error).split())
        line = f"{field} = {run_text.shown(value)}: cannot be carried out: {reason}"
        raise RequestError(line[:LONGEST]) from error


LONGEST = 500  # characters: messages of JAX can have pages


def _chain(config: RunConfig, theory: Theory) -> None:
    assert config.mcmc is not None
    kernel = chain_stage.kernel_of(config.mcmc, config.theory, theory)
    phi = jax.ShapeDtypeStruct(theory.action.field_shape, config.theory.SPACE.dtype)
    state = eqx.filter_eval_shape(kernel.init, phi)
    eqx.filter_eval_shape(kernel.step, _key(), state)


def _train(config: RunConfig, action: AbstractAction, model: Trainable) -> None:
    settings = train_stage.settings_of(config)
    samples = None
    if config.train.needs_data:
        samples = np.ones((FEW, *action.field_shape), action.space.dtype)
    objective = train_stage.objective_of(config, samples)
    if reason := objective.why_unfit(model):
        raise ValueError(reason)
    annealing = train_stage.annealing_of(config, settings.steps)
    state = eqx.filter_eval_shape(loop.init, model, settings, _key())
    # as long as those of the training, which finds this one traced already
    n = train_stage.chunk_length(settings.steps)
    # the action as it is: one that is traced cannot say which symmetries it has
    eqx.filter_eval_shape(
        lambda state: loop.run_chunk(state, action, objective, settings, n, annealing),
        state,
    )


def _sample(config: RunConfig, action: AbstractAction, model: Trainable) -> None:
    nodes = {} if config.model is None else config.model.nodes
    here = conditioning.at(model, nodes, config.theory)
    assert isinstance(here, AbstractModel)
    assert config.model is not None
    n = slices.draws_at_once(config.model, config.estimate, config.theory)
    keys = jax.eval_shape(lambda key: jr.split(key, n), _key())
    eqx.filter_eval_shape(sampling.batch_of, here, action, keys)
    if config.needs_samples:
        shape = (FEW, *action.field_shape)
        phis = jax.ShapeDtypeStruct(shape, action.space.dtype)
        eqx.filter_eval_shape(target_stage.evaluate_batch, here, action, phis)


def _key() -> jax.ShapeDtypeStruct:
    return jax.eval_shape(lambda: jr.key(0))
