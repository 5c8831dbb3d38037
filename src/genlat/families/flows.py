"""What flows of a continuous field share: the Gaussian that they start from."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from genlat.families.base import AbstractModelSection, Static
from genlat.groups import REAL, Space
from genlat.likelihood import EXACT
from genlat.schema import Problem
from genlat.theories.base import AbstractTheorySection

if TYPE_CHECKING:
    from genlat.models.base import AbstractModel


class AbstractFlowSection(AbstractModelSection):
    """A flow of continuous fields, which starts from a Gaussian prior."""

    SPACES: ClassVar[tuple[Space, ...]] = (REAL,)
    LIKELIHOOD: ClassVar = EXACT

    wells: Literal["auto", "both", "one", "none", "mixed"] = Field(
        default="auto",
        description='phases of the prior: "auto" all that the theory may contain; '
        '"both" the exact mixture of ±v in the broken phase; "none" one Gaussian '
        'around 0; "mixed" ±v and around 0 in shares that are learned, for domain '
        'walls near the transition; "one" drops a mode on purpose',
    )

    @property
    def has_normal_prior(self) -> bool:
        """Whether the sites of the prior are independent."""
        return False

    @property
    def mixes_phases(self) -> bool:
        return self.wells == "mixed"

    def problems(self, theory: AbstractTheorySection) -> Iterator[Problem]:
        if self.nodes and self.wells == "one":
            yield "model.wells", self.wells, "a conditional model has no single well"
        if not theory.SPACE.has_components:
            return
        around_0 = "of several components the prior stands around 0"
        if self.wells not in ("auto", "none"):
            yield "model.wells", self.wells, f'{around_0}: "auto" or "none"'
        for name, nodes in self.nodes.items():
            if len({*nodes}) < len(nodes):
                yield f"model.nodes.{name}", list(nodes), f"{around_0}: each once"

    def static(self, model: "AbstractModel") -> Static:
        from genlat.families import gaussian_prior
        from genlat.models.prior import AbstractPriorFlow

        assert isinstance(model, AbstractPriorFlow)
        return gaussian_prior.static_of(model.prior)

    def as_node(self, model: "AbstractModel") -> "AbstractModel":
        import equinox as eqx

        from genlat.models.prior import AbstractPriorFlow

        assert isinstance(model, AbstractPriorFlow)
        return eqx.tree_at(lambda flow: flow.prior, model, model.prior.as_pair())
