"""The family of models that a run file names."""

from genlat.families.base import AbstractFamily
from genlat.families.cnf import CnfFamily
from genlat.families.coupling import CouplingFamily
from genlat.families.model_sections import (
    AbstractSpinSection,
    CouplingSection,
    ModelSection,
)
from genlat.families.spins import SpinFamily


def of(section: ModelSection) -> AbstractFamily:
    """The family that a `[model]` names."""
    if isinstance(section, AbstractSpinSection):
        return SpinFamily(section)
    if isinstance(section, CouplingSection):
        return CouplingFamily(section)
    return CnfFamily(section)
