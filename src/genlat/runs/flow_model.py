"""The model of a run: fresh, from an earlier run, or read back from its directory."""

from pathlib import Path

import jax.random as jr

from genlat import lattice
from genlat.models.base import AbstractFlow
from genlat.models.symmetrized import Symmetrized
from genlat.runs import checkpoint, directory, families, gaussian_prior, source
from genlat.runs.errors import RequestError
from genlat.runs.job import Job
from genlat.runs.keys import Purpose
from genlat.runs.model_sections import ModelSection
from genlat.runs.sections import RunConfig
from genlat.training import loop

NOTE = "model"


def initial(job: Job) -> AbstractFlow:
    """The model before training; notes what a checkpoint does not hold.

    From an earlier run it keeps the flow, and the prior unless the Gaussian wanted for
    this theory is in the other phase.

    **Raises:** `RequestError` if the run it starts from has no sound checkpoint.
    """
    section = job.config.model
    assert section is not None
    family = families.of(section)
    prior = gaussian_prior.choose(section, job.action)
    if section.init == "scratch":
        model = family.build(prior, job.key(Purpose.MODEL))
    else:
        trained = read(Path(section.init))
        is_mixture = isinstance(trained, Symmetrized)
        model = family.carry(trained.model if is_mixture else trained, prior)
    directory.note(job.directory, NOTE, family.static(model))
    return _symmetrized(model, section)


def read(path: Path) -> AbstractFlow:
    """The model of the newest sound checkpoint in a run directory.

    **Raises:** `RequestError` if there is none.
    """
    state = read_state(path, source.read_config(path))
    if state is None:
        raise RequestError(f"{path}: holds no sound checkpoint of a model")
    return trained_flow(state)


def trained_flow(state: loop.TrainState) -> AbstractFlow:
    """The model of a training state, which trains flows only."""
    assert isinstance(state.model, AbstractFlow)
    return state.model


def read_state(path: Path, config: RunConfig) -> loop.TrainState | None:
    """The newest sound training state in a run directory; None if there is none."""
    static = directory.notes(path).get(NOTE)
    if static is None:
        return None
    section, shape = config.model, config.theory.shape
    assert section is not None
    model = _symmetrized(families.of(section).skeleton(shape, static), section)
    # the optimiser's state has the same shape whatever its settings
    skeleton = loop.init(model, loop.Settings(steps=1, batch=1), jr.key(0))
    return checkpoint.load_newest(path / "checkpoints", skeleton)


def _symmetrized(model: AbstractFlow, section: ModelSection) -> AbstractFlow:
    if not section.symmetrize:
        return model
    group = lattice.symmetry_group(model.lattice_shape, section.symmetrize)
    return Symmetrized(model, group)
