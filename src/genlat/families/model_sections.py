"""`[model]`, one section per family of models. No JAX here."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from genlat.groups import REAL, SIGNS, Space
from genlat.schema import (
    LISTED,
    AbstractSection,
    Count,
    Int,
    ModelSource,
    family_finder,
)
from genlat.theories.base import Group


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

    SIZES are those of its fields that its weights grow with; SPACES what the fields may
    be that it draws.
    """

    ARCHITECTURE: ClassVar[tuple[str, ...]]
    SIZES: ClassVar[tuple[str, ...]]
    SPACES: ClassVar[tuple[Space, ...]]

    name: str
    init: ModelSource = Field(
        default="scratch",
        description='"scratch", or the directory of an earlier run to start from',
    )
    symmetrize: Annotated[tuple[Group, ...], LISTED] = Field(
        default=(),
        description='groups whose images are mixed exactly: "sign", "translations", '
        '"point_group"; every draw costs one log q per element',
    )
    nodes: Annotated[dict[str, tuple[float, ...]], BeforeValidator(_nodes)] = Field(
        default={},
        description="one model for an interval of couplings: {kappa = [0.2, 0.25, "
        "0.3]} are where it has parameters of its own, in increasing order. One given "
        "twice is a transition: below it the prior stands around 0, above in both "
        'wells, unless they are "mixed"',
    )


class AbstractFlowSection(AbstractModelSection):
    """A flow of continuous fields, which starts from a Gaussian prior."""

    SPACES: ClassVar[tuple[Space, ...]] = (REAL,)

    wells: Literal["auto", "both", "one", "none", "mixed"] = Field(
        default="auto",
        description='phases of the prior: "auto" all that the theory may contain; '
        '"both" the exact mixture of ±v in the broken phase; "none" one Gaussian '
        'around 0; "mixed" ±v and around 0 in shares that are learned, for domain '
        'walls near the transition; "one" drops a mode on purpose',
    )


class CnfSection(AbstractFlowSection):
    """A continuous flow; without a [model] the chain runs alone."""

    ARCHITECTURE: ClassVar[tuple[str, ...]] = (
        "features",
        "channels",
        "kernel_terms",
        "mixing_terms",
    )

    SIZES: ClassVar[tuple[str, ...]] = ARCHITECTURE

    name: Literal["cnf"] = Field(default="cnf", description="family of the model")
    features: Int = Field(
        default=8, ge=2, description="sine features of the vector field"
    )
    channels: Count = Field(default=4, description="convolved mixtures of the features")
    kernel_terms: Count = Field(default=6, description="Legendre terms of the kernels")
    mixing_terms: Count = Field(default=4, description="Legendre terms of the mixtures")
    n_steps: Count = Field(default=6, description="Runge-Kutta steps in training")


class CouplingSection(AbstractFlowSection):
    """A coupling flow: realnvp (affine), nice (additive) or spline."""

    ARCHITECTURE: ClassVar[tuple[str, ...]] = (
        *("prior", "layers", "splitting", "conditioner", "hidden", "kernel_size"),
        *("equivariant", "fourier", "zero_mode"),
    )

    SIZES: ClassVar[tuple[str, ...]] = ("layers", "hidden", "kernel_size")

    name: Literal["realnvp", "nice", "spline"] = Field(
        description="family of the model"
    )
    prior: Literal["gaussian", "normal"] = Field(
        default="gaussian",
        description='"gaussian", the best one for the theory, or "normal", independent '
        "sites of its ⟨φ²⟩",
    )
    layers: Int = Field(default=16, ge=2, description="coupling layers")
    splitting: Literal["checkerboard", "stripe", "even_odd"] = Field(
        default="checkerboard",
        description="which half of the sites every layer moves",
    )
    conditioner: Literal["conv", "dense"] = Field(
        default="conv", description="network of a layer"
    )
    hidden: Annotated[tuple[Count, ...], LISTED] = Field(
        default=(16, 16, 16), description="widths of its hidden layers"
    )
    kernel_size: Count = Field(
        default=3, description="conv: extent of the kernels, odd"
    )
    equivariant: bool = Field(
        default=False, description="odd networks: q(-φ) = q(φ) by construction"
    )
    fourier: bool = Field(
        default=False,
        description="a learned rescaling of the Fourier modes; nice always has it",
    )
    zero_mode: bool = Field(
        default=False, description="a learned bimodal map of the magnetisation"
    )


class AbstractSpinSection(AbstractModelSection):
    """A normalised probability of spins ±1, drawn in an order."""

    SPACES: ClassVar[tuple[Space, ...]] = (SIGNS,)


class CoarseToFineSection(AbstractSpinSection):
    """Spins on ever finer sublattices, each given the coarser ones."""

    ARCHITECTURE: ClassVar[tuple[str, ...]] = ("width", "depth", "reach")

    SIZES: ClassVar[tuple[str, ...]] = ("width", "depth")

    name: Literal["coarse_to_fine"] = Field(description="family of the model")
    width: Count = Field(default=32, description="of the hidden layers")
    depth: Count = Field(default=2, description="hidden layers")
    reach: float = Field(
        default=3.5,
        ge=1,
        description="known spins within this distance are seen, in units of a level",
    )


class PixelCnnSection(AbstractSpinSection):
    """Spins one by one in raster order, by masked convolutions."""

    ARCHITECTURE: ClassVar[tuple[str, ...]] = ("half_kernel", "depth", "width", "block")

    SIZES: ClassVar[tuple[str, ...]] = ("width", "depth", "half_kernel")

    name: Literal["pixelcnn"] = Field(description="family of the model")
    half_kernel: Count = Field(default=3, description="k, for kernels of extent 2k + 1")
    depth: Int = Field(default=3, ge=2, description="masked convolutions")
    width: Count = Field(default=32, description="channels in between")
    block: Literal["plain", "residual", "gated"] = Field(
        default="residual", description="what is around a convolution"
    )


class DenseSpinSection(AbstractSpinSection):
    """Fully connected masked networks: made one by one, hierarchical frame by frame."""

    ARCHITECTURE: ClassVar[tuple[str, ...]] = ("depth", "width")

    SIZES: ClassVar[tuple[str, ...]] = ("width", "depth")

    name: Literal["made", "hierarchical"] = Field(description="family of the model")
    depth: Count = Field(default=2, description="dense layers")
    width: Count = Field(default=32, description="hidden units per spin")


ModelSection = (
    CnfSection
    | CouplingSection
    | CoarseToFineSection
    | PixelCnnSection
    | DenseSpinSection
)

FAMILIES = (
    CnfSection,
    CouplingSection,
    CoarseToFineSection,
    PixelCnnSection,
    DenseSpinSection,
)
AnyModel = Annotated[
    Annotated[CnfSection, Tag(CnfSection.__name__)]
    | Annotated[CouplingSection, Tag(CouplingSection.__name__)]
    | Annotated[CoarseToFineSection, Tag(CoarseToFineSection.__name__)]
    | Annotated[PixelCnnSection, Tag(PixelCnnSection.__name__)]
    | Annotated[DenseSpinSection, Tag(DenseSpinSection.__name__)],
    Discriminator(family_finder(FAMILIES, default="cnf")),
]
