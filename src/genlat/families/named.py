"""The families of a run file: a new one is its file and its name here. No JAX here."""

from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    AnyModel = AbstractModelSection
else:
    AnyModel = one_of(FAMILIES, default="cnf")
