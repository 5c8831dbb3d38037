"""The family of models that a run file names."""

from genlat.runs.cnf_family import CnfFamily
from genlat.runs.coupling_family import CouplingFamily
from genlat.runs.family import AbstractFamily
from genlat.runs.model_sections import CouplingSection, ModelSection


def of(section: ModelSection) -> AbstractFamily:
    """The family that a `[model]` names."""
    if isinstance(section, CouplingSection):
        return CouplingFamily(section)
    return CnfFamily(section)
