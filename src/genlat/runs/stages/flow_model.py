"""The model of a run: fresh, from an earlier run, or read back from its directory."""

import math
from pathlib import Path

import jax
import jax.random as jr

from genlat import symmetry
from genlat.actions.base import AbstractAction
from genlat.actions.declared import require
from genlat.errors import RequestError
from genlat.families import conditioning, gaussian_prior
from genlat.families.base import AbstractModelSection, Static
from genlat.families.flows import AbstractFlowSection
from genlat.models.base import AbstractFlow, AbstractModel
from genlat.models.conditional import Conditional, Trainable
from genlat.models.symmetrized import (
    AbstractSymmetrized,
    Symmetrized,
    SymmetrizedSpins,
)
from genlat.runs.disk import checkpoint, directory
from genlat.runs.file import source
from genlat.runs.file.sections import RunConfig
from genlat.runs.stages import keys
from genlat.runs.stages.job import Job
from genlat.runs.stages.keys import Purpose
from genlat.theories.base import AbstractTheorySection
from genlat.training import loop
from genlat.training.across import with_coupling

NOTE = "model"


def initial(job: Job) -> Trainable:
    """The model before training; notes what a checkpoint does not hold.

    **Raises:** as `make`.
    """
    section = job.config.model
    assert section is not None
    model = make(job.config, job.action)
    static = section.static(_bare(model))
    directory.note(job.directory, NOTE, static)
    return model


def make(config: RunConfig, action: AbstractAction) -> Trainable:
    """The model that a run begins with.

    From an earlier run it keeps the flow, and the prior unless the Gaussian wanted for
    this theory is in the other phase. A conditional model is kept whole, or taken at
    the couplings of this run.

    **Raises:** as `read`, of the run it starts from.
    """
    section = config.model
    assert section is not None
    require(action, section.symmetrize, "model.symmetrize")
    if section.init == "scratch":
        return _untrained(config, action, section)
    path = Path(section.init)
    model = read(path)
    if section.nodes:
        # its parameters, with this run's number of integration steps
        static = section.static(_bare(model))
        blank = _blank(section, config.theory, static)
        leaves = jax.tree.leaves(model)
        return jax.tree.unflatten(jax.tree.structure(blank), leaves)
    there = conditioning.at(model, _nodes(_config(path)), config.theory)
    carried = section.carry(_bare(there), action)
    return _symmetrized(carried, section)


def read(path: Path) -> Trainable:
    """The model of a run directory: of its newest checkpoint, and no older one.

    **Raises:** `RequestError` if there is none; `DamagedError` if it is not the one
    that was trained.
    """
    newest, skeleton = source.checkpoint(path), _skeleton(path, _config(path))
    if newest is None or skeleton is None:
        raise RequestError(f"{path}: holds no checkpoint of a model")
    return checkpoint.load(newest, skeleton).model


def trained(state: loop.TrainState, config: RunConfig) -> AbstractModel:
    """The model of a training state, a conditional one at the run's couplings."""
    model = conditioning.at(state.model, _nodes(config), config.theory)
    assert isinstance(model, AbstractModel)
    return model


def read_state(path: Path, config: RunConfig) -> loop.TrainState | None:
    """The newest sound training state in a run directory; None if there is none."""
    skeleton = _skeleton(path, config)
    if skeleton is None:
        return None
    return checkpoint.load_newest(path / "checkpoints", skeleton)


def _skeleton(path: Path, config: RunConfig) -> loop.TrainState | None:
    """A training state with the leaves of those that a run has on disk, if it does."""
    static = directory.notes(path).get(NOTE)
    if static is None or config.model is None:
        return None
    model = _blank(config.model, config.theory, static)
    # the optimiser's state has the same shape whatever its settings
    return loop.init(model, loop.Settings(steps=1, batch=1), jr.key(0))


def _config(path: Path) -> RunConfig:
    """What the run began with that another one starts from."""
    try:
        return source.read_config(path)
    except (OSError, ValueError) as error:
        raise RequestError(f"model.init: {path}: no run directory any more") from error


def _untrained(
    config: RunConfig, action: AbstractAction, section: AbstractModelSection
) -> Trainable:
    key = keys.make(config.seed, Purpose.MODEL)
    # one prior at all nodes, unless one given twice says where it changes
    one = gaussian_prior.settled(section, action)

    def build(couplings: dict[str, float], side: conditioning.Side) -> AbstractModel:
        here, own = action, one
        for name, value in couplings.items():
            here = with_coupling(here, name, value)
        if side is not None and isinstance(section, AbstractFlowSection):
            of_phase = "none" if side == "below" else "both"
            wells = "mixed" if section.wells == "mixed" else of_phase
            own = section.model_copy(update={"wells": wells})
        model = own.build(here, key)
        if couplings:
            model = own.as_node(model)
        return _symmetrized(model, section)

    return conditioning.tabulate(section.nodes, build)


def _blank(
    section: AbstractModelSection, theory: AbstractTheorySection, static: Static
) -> Trainable:
    """A model with the leaves of one that is on disk."""
    one = section.skeleton(theory, static)
    return conditioning.tabulate(
        section.nodes, lambda couplings, side: _symmetrized(one, section)
    )


def _nodes(config: RunConfig) -> dict[str, tuple[float, ...]]:
    return {} if config.model is None else config.model.nodes


def _symmetrized(model: AbstractModel, section: AbstractModelSection) -> AbstractModel:
    if not section.symmetrize:
        return model
    n_components = math.prod(model.components)
    group = symmetry.group(model.lattice_shape, section.symmetrize, n_components)
    if isinstance(model, AbstractFlow):
        return Symmetrized(model, group)
    return SymmetrizedSpins(model, group)


def _bare(model: Trainable) -> AbstractModel:
    """The model inside of a mixture, or of all the nodes."""
    while isinstance(model, Conditional | AbstractSymmetrized):
        model = model.table if isinstance(model, Conditional) else model.model
    return model
