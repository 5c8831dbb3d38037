"""What a run asks of a family of models: facts, and how they are made. No JAX here."""

import itertools
import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from genlat.groups import Space
from genlat.likelihood import Likelihood
from genlat.schema import LISTED, AbstractSection, ModelSource, Problem
from genlat.theories.base import AbstractTheorySection, Group

if TYPE_CHECKING:
    from jaxtyping import PRNGKeyArray

    from genlat.actions.base import AbstractAction
    from genlat.models.base import AbstractModel

Shape = tuple[int, ...]

Static = dict[str, Any]
"""What a checkpoint, which has arrays only, does not hold of a model."""

DRAWS = 500
"""Configurations that are drawn at once where nothing is gained by fewer."""


def _nodes(given: Any) -> Any:
    """Couplings in TOML's lists; whole numbers are numbers too."""
    if not isinstance(given, dict):
        return given
    return {
        name: tuple(float(x) if isinstance(x, int) else x for x in nodes)
        if isinstance(nodes, list)
        else nodes
        for name, nodes in given.items()
    }


class AbstractModelSection(AbstractSection):
    """What every model has; a model can start from one of the same ARCHITECTURE.

    Facts are class variables and properties, for whoever has no JAX; the models are
    made by `build`, `carry` and `skeleton`.

    - `SUMMARIES`: for `genlat list`, by the names that the section may have.
    - `SPACES`: what the fields may be that it draws. `LIKELIHOOD`: of its models.
    - `SIZES`: those of its fields that its weights grow with.
    - `PULLS_BACK`: whether it carries the score of a configuration back to its prior.
    """

    ARCHITECTURE: ClassVar[tuple[str, ...]]
    SUMMARIES: ClassVar[Mapping[str, str]]
    SPACES: ClassVar[tuple[Space, ...]]
    LIKELIHOOD: ClassVar[Likelihood]
    SIZES: ClassVar[tuple[str, ...]]
    PULLS_BACK: ClassVar[bool] = False

    name: str
    init: ModelSource = Field(
        default="scratch",
        description='"scratch", or the directory of an earlier run to start from',
    )
    symmetrize: Annotated[tuple[Group, ...], LISTED] = Field(
        default=(),
        description='groups whose images are mixed exactly: "sign", "translations", '
        '"point_group", "permutations" of components; every draw costs one log q per '
        "element",
    )
    nodes: Annotated[dict[str, tuple[float, ...]], BeforeValidator(_nodes)] = Field(
        default={},
        description="one model for an interval of couplings: {kappa = [0.2, 0.25, "
        "0.3]} are where it has parameters of its own, in increasing order. One given "
        "twice is a transition: below it the prior stands around 0, above in both "
        'wells, unless they are "mixed"',
    )

    @property
    def has_slope(self) -> bool:
        """Whether its draws have a derivative by its parameters."""
        return all(space.is_continuous for space in self.SPACES)

    @property
    def is_integrated(self) -> bool:
        """Whether a number of integration steps is a part of its log q."""
        return False

    @property
    def stays_on_its_lattice(self) -> bool:
        """Whether it cannot be carried to a larger one."""
        return False

    @property
    def passes(self) -> int:
        """How often it goes over a lattice, at the least."""
        return 1

    @property
    def mixes_phases(self) -> bool:
        """Whether the shares of a prior's phases are among its parameters."""
        return False

    def problems(self, theory: AbstractTheorySection) -> Iterator[Problem]:
        """What is wrong with it for a theory of its spaces."""
        yield from ()

    def why_no_node_twice(self) -> str | None:
        """Why a coupling cannot be given twice, as a transition."""

    def longest_slice(self, shape: Shape) -> int | None:
        """Configurations of a batch that are fast side by side; None for all of it."""

    def draws_at_once(self, shape: Shape) -> int:
        """Configurations that are fast to draw side by side."""
        return DRAWS

    @abstractmethod
    def training_numbers(self, shape: Shape) -> int:
        """Numbers that a training step holds of one configuration.

        What the backward pass needs of the forward one, and its work.
        """

    @abstractmethod
    def sampling_numbers(self, shape: Shape) -> int:
        """Numbers that drawing holds of one configuration: no derivatives."""

    @abstractmethod
    def weights(self, shape: Shape) -> int:
        """Parameters, at the least."""

    @abstractmethod
    def build(self, action: "AbstractAction", key: "PRNGKeyArray") -> "AbstractModel":
        """An untrained model of this theory."""

    @abstractmethod
    def carry(
        self, trained: "AbstractModel", action: "AbstractAction"
    ) -> "AbstractModel":
        """A trained model as the first guess for this theory.

        A flow keeps its prior unless the one of this theory is in the other phase.
        """

    @abstractmethod
    def static(self, model: "AbstractModel") -> Static:
        """What a checkpoint does not hold of `model`, for JSON."""

    @abstractmethod
    def skeleton(
        self, theory: AbstractTheorySection, static: Static
    ) -> "AbstractModel":
        """A model of the theory's lattice with the leaves of one that is on disk."""

    @classmethod
    def source(cls) -> Mapping[str, bytes]:
        """Files that it is made of, which a record of it must hold."""
        return {}

    def as_node(self, model: "AbstractModel") -> "AbstractModel":
        """With the leaves that the model of every node has."""
        return model


def of_layers(widths: tuple[int, ...]) -> int:
    """Weights of layers of these widths."""
    return sum(a * b for a, b in itertools.pairwise(widths))


def volume(shape: Shape) -> int:
    """Number of sites."""
    return math.prod(shape)
