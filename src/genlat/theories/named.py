"""The theories of a run file: a new one is its file and its name here. No JAX here."""

from typing import TYPE_CHECKING

from genlat.schema import one_of
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

if TYPE_CHECKING:
    AnyTheory = AbstractTheorySection
else:
    AnyTheory = one_of(THEORIES)
