"""From the `[theory]` section of a run file to an action."""

from genlat.actions.base import AbstractAction
from genlat.actions.double_well import DoubleWell
from genlat.actions.ising import Ising
from genlat.actions.phi4 import Phi4
from genlat.runs.theory_sections import DoubleWellSection, IsingSection, TheoryKind


def build(section: TheoryKind) -> AbstractAction:
    """The action of a checked `[theory]` section, in its own form."""
    if isinstance(section, IsingSection):
        return Ising(section.shape, section.beta, section.field)
    if isinstance(section, DoubleWellSection):
        return DoubleWell(
            section.shape, section.m0, section.mu2, section.lam, section.spacing
        )
    first, quartic = (getattr(section, name) for name in section.FORMS[section.form])
    constructor = {"A": Phi4, "B": Phi4.form_b, "C": Phi4.form_c}[section.form]
    return constructor(section.shape, first, quartic)
