"""From the `[theory]` section of a run file to an action."""

from genlat.actions.base import AbstractScalarAction
from genlat.actions.double_well import DoubleWell
from genlat.actions.phi4 import Phi4
from genlat.runs.sections import DoubleWellSection, Phi4Section


def build(section: Phi4Section | DoubleWellSection) -> AbstractScalarAction:
    """The action of a checked `[theory]` section, in its own form."""
    if isinstance(section, DoubleWellSection):
        return DoubleWell(
            section.shape, section.m0, section.mu2, section.lam, section.spacing
        )
    first, quartic = (getattr(section, name) for name in section.FORMS[section.form])
    constructor = {"A": Phi4, "B": Phi4.form_b, "C": Phi4.form_c}[section.form]
    return constructor(section.shape, first, quartic)
