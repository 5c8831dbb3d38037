"""`genlat doctor`: exactness gates on the theory and the model of a run file."""

from collections.abc import Iterator

from genlat.families.base import AbstractModelSection
from genlat.models.base import AbstractModel
from genlat.runs.doctor import model_gates, theory_gates
from genlat.runs.doctor.gate import Gate
from genlat.runs.file.sections import RunConfig
from genlat.runs.stages import flow_model
from genlat.theories.base import AbstractTheorySection

EXTENT = 4  # of the tiny lattice
MOST = 1024  # sites that the theory is tried on, as it is


def gates(config: RunConfig) -> Iterator[tuple[str, Gate]]:
    """(what it is of, gate), one after another as they are passed or not.

    The theory is tried on its own lattice where that is small, else on a tiny one, the
    model always on a tiny one, untrained, with parameters moved off their start.

    **Raises:** `RequestError` for what cannot be built.
    """
    theory = config.theory
    if _volume(theory) > MOST:
        theory = _tiny(theory)
    for gate in theory_gates.gates(theory.theory()):
        yield f"{theory.name} {_times(theory.shape)}", gate
    if config.model is None:
        return
    small = _tiny(config.theory)
    section = config.model.model_copy(update={"init": "scratch", "nodes": {}})
    model, action = _built(config, section, small), small.theory().action
    for gate in model_gates.gates(model, action):
        yield f"{section.name} {_times(small.shape)}", gate


def _built(
    config: RunConfig, section: AbstractModelSection, small: AbstractTheorySection
) -> AbstractModel:
    here = config.model_copy(update={"theory": small, "model": section})
    model = flow_model.make(here, small.theory().action)
    assert isinstance(model, AbstractModel)  # without nodes it is no table
    return model


def _tiny(theory: AbstractTheorySection) -> AbstractTheorySection:
    """The same theory on as many axes, each of at most four sites."""
    shape = tuple(min(extent, EXTENT) for extent in theory.shape)
    return theory.model_copy(update={"shape": shape})


def _volume(theory: AbstractTheorySection) -> int:
    volume = theory.n_components
    for extent in theory.shape:
        volume *= extent
    return volume


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
