"""The families of a run file: a new one is its file and its name here. No JAX here."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from genlat import written
from genlat.families import own
from genlat.families.base import AbstractModelSection
from genlat.families.cnf import CnfSection
from genlat.families.coarse_to_fine import CoarseToFineSection
from genlat.families.coupling import CouplingSection
from genlat.families.dense_spins import DenseSpinSection
from genlat.families.pixelcnn import PixelCnnSection
from genlat.schema import one_of

FAMILIES: tuple[type[AbstractModelSection], ...] = (
    CnfSection,
    CouplingSection,
    CoarseToFineSection,
    PixelCnnSection,
    DenseSpinSection,
)

DEFAULT = "cnf"
"""Where no name is given."""


def section_of(given: Mapping[str, Any]) -> type[AbstractModelSection] | None:
    """The section of a `[model]` by its name; None if there is none of that name.

    **Raises:** `RequestError` for a class of a user's that cannot be used.
    """
    name = given.get("name", DEFAULT)
    if written.is_named(name):
        return own.section(name, written.hash_in(given))
    found = [x for x in FAMILIES if isinstance(name, str) and name in x.SUMMARIES]
    return found[0] if found else None


if TYPE_CHECKING:
    AnyModel = AbstractModelSection
else:
    AnyModel = one_of(AbstractModelSection, section_of)
