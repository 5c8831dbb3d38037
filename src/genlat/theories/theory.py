"""From the `[theory]` section of a run file to an action."""

from genlat import exact
from genlat.actions import gap
from genlat.actions.base import AbstractAction, AbstractScalarAction
from genlat.actions.double_well import DoubleWell
from genlat.actions.ising import Ising
from genlat.actions.phi4 import Phi4
from genlat.errors import RequestError
from genlat.theories.theory_sections import (
    DoubleWellSection,
    IsingSection,
    Phi4Section,
    TheoryKind,
)


def build(section: TheoryKind) -> AbstractAction:
    """The action of a checked `[theory]` section, in its own form.

    **Raises:** `RequestError` for couplings, or typical configurations with an action,
    beyond floating point.
    """
    if isinstance(section, IsingSection):
        return Ising(section.shape, section.beta, section.field)
    try:
        action = _scalar(section)
        gap.best_gaussian(action)
    except ValueError as error:
        values = {name: getattr(section, name) for name in section.couplings}
        given = ", ".join(f"{name} = {value:g}" for name, value in values.items())
        raise RequestError(f"theory: {given}: {error}") from error
    return action


def why_unknown(action: AbstractAction) -> str | None:
    """Why ln Z is not known exactly; None where it is."""
    return exact.answer(action).why_not


def _scalar(section: Phi4Section | DoubleWellSection) -> AbstractScalarAction:
    if isinstance(section, DoubleWellSection):
        return DoubleWell(
            section.shape, section.m0, section.mu2, section.lam, section.spacing
        )
    first, quartic = (getattr(section, name) for name in section.FORMS[section.form])
    constructor = {"A": Phi4, "B": Phi4.form_b, "C": Phi4.form_c}[section.form]
    return constructor(section.shape, first, quartic)
