"""Models that are integrated: the number of steps is a part of their log q."""

from genlat.models.base import AbstractFlow, AbstractIntegratedFlow, AbstractModel
from genlat.models.symmetrized import Symmetrized
from genlat.runs.disk import directory
from genlat.runs.stages.job import Job

NOTE = "integrator"


def n_steps(model: AbstractModel) -> int | None:
    """Runge-Kutta steps of a model; None for one that has no integrator."""
    if isinstance(model, Symmetrized):
        return n_steps(model.model)
    return model.n_steps if isinstance(model, AbstractIntegratedFlow) else None


def with_steps(model: AbstractModel, steps: int) -> AbstractFlow:
    """The same model, integrated with another number of steps.

    **Raises:** `TypeError` for one that is not integrated.
    """
    if isinstance(model, Symmetrized):
        return Symmetrized(with_steps(model.model, steps), model.group)
    if isinstance(model, AbstractIntegratedFlow):
        return model.with_steps(steps)
    raise TypeError(f"a {type(model).__name__} is not integrated")


def as_sampled(job: Job, model: AbstractModel) -> AbstractModel:
    """The model whose draws the run's estimates are from: with the steps it noted."""
    choice = directory.notes(job.directory).get(NOTE)
    return model if choice is None else with_steps(model, choice["steps"])
