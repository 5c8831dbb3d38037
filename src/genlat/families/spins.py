"""What models of spins ±1 share."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from genlat.families.base import AbstractModelSection, Shape, Static
from genlat.groups import SIGNS, Space
from genlat.likelihood import EXACT
from genlat.schema import Problem
from genlat.theories.base import AbstractTheorySection

if TYPE_CHECKING:
    from genlat.actions.base import AbstractAction, AbstractSpinAction
    from genlat.models.base import AbstractModel

LONGEST = 64
"""Configurations of a slice: what the networks see of them stays in cache."""

OF_SPIN = 6
"""Numbers in single precision of every spin, whatever its network: itself, a logit, and
twice as long a uniform number and a log-probability."""


class AbstractSpinSection(AbstractModelSection):
    """A normalised probability of spins ±1, drawn in an order."""

    SPACES: ClassVar[tuple[Space, ...]] = (SIGNS,)
    LIKELIHOOD: ClassVar = EXACT

    def problems(self, theory: AbstractTheorySection) -> Iterator[Problem]:
        odd = [name for name in theory.ODD if name in self.nodes]
        if odd and "sign" in self.symmetrize and "sign" in theory.symmetries:
            allowed = f"a {odd[0]} breaks the symmetry sign"
            yield "model.symmetrize", list(self.symmetrize), allowed

    def why_no_node_twice(self) -> str | None:
        return "names a coupling twice: spins have no prior to change"

    def longest_slice(self, shape: Shape) -> int | None:
        return LONGEST

    def static(self, model: "AbstractModel") -> Static:
        return {}


def why_not_flat(shape: Shape) -> str | None:
    """Why a model of two dimensions is none of this lattice."""
    if len(shape) == 2:
        return None
    return f"wants two extents, shape is {list(shape)}: use made"


def of_spins(action: "AbstractAction") -> "AbstractSpinAction":
    """An action of spins; those of other fields are refused with the run file."""
    from genlat.actions.base import AbstractSpinAction

    assert isinstance(action, AbstractSpinAction)
    return action
