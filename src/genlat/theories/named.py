"""The theories of a run file: a new one is its file and its name here. No JAX here."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

from genlat import written
from genlat.schema import one_of
from genlat.theories import own
from genlat.theories.base import AbstractTheorySection
from genlat.theories.double_well import DoubleWellSection
from genlat.theories.ising import IsingSection
from genlat.theories.on import OnSection
from genlat.theories.phi4 import Phi4Section

THEORIES: tuple[type[AbstractTheorySection], ...] = (
    Phi4Section,
    DoubleWellSection,
    IsingSection,
    OnSection,
)


def theory_name(theory: type[AbstractTheorySection]) -> str:
    """Of a run file."""
    (name,) = get_args(theory.model_fields["name"].annotation)
    return name


def section_of(given: Mapping[str, Any]) -> type[AbstractTheorySection] | None:
    """The section of a `[theory]` by its name; None if there is none of that name.

    **Raises:** `RequestError` for a class of a user's that cannot be used.
    """
    name = given.get("name")
    if written.is_named(name):
        return own.section(str(name), written.hash_in(given))
    found = [x for x in THEORIES if theory_name(x) == name]
    return found[0] if found else None


if TYPE_CHECKING:
    AnyTheory = AbstractTheorySection
else:
    AnyTheory = one_of(AbstractTheorySection, section_of)
