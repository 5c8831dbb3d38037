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
        'walls near the transition; "one" drops a mode on purpose. In a field there is '
        "one Gaussian around its own mean, and nothing to choose",
    )

    @property
    def has_normal_prior(self) -> bool:
        """Whether the sites of the prior are independent."""
        return False

    @property
    def mixes_phases(self) -> bool:
        return self.wells == "mixed"

    def problems(self, theory: AbstractTheorySection) -> Iterator[Problem]:
        if theory.SPACE.has_components:
            where, known = "of several components the prior stands around 0", "none"
        elif cause := theory.breaks_sign:
            where, known = f"with {cause} the prior is one Gaussian", "auto"
        elif not theory.KNOWS_PHASES:
            where, known = f"of {theory.name} no phases are known", "auto"
        elif self.nodes and self.wells == "one":
            yield "model.wells", self.wells, "a conditional model has no single well"
            return
        else:
            return
        if self.wells not in ("auto", known):
            allowed = " or ".join(f'"{x}"' for x in dict.fromkeys(("auto", known)))
            yield "model.wells", self.wells, f"{where}: {allowed}"
        for name, nodes in self.nodes.items():
            if len({*nodes}) < len(nodes):
                yield f"model.nodes.{name}", list(nodes), f"{where}: each once"

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
