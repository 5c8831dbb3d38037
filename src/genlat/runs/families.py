"""The family of models that a run file names."""

from genlat.runs.cnf_family import CnfFamily
from genlat.runs.coupling_family import CouplingFamily
from genlat.runs.family import AbstractFamily
from genlat.runs.model_sections import (
    AbstractSpinSection,
    CouplingSection,
    ModelSection,
)
from genlat.runs.spin_family import SpinFamily


def of(section: ModelSection) -> AbstractFamily:
    """The family that a `[model]` names."""
    if isinstance(section, AbstractSpinSection):
        return SpinFamily(section)
    if isinstance(section, CouplingSection):
        return CouplingFamily(section)
    return CnfFamily(section)
