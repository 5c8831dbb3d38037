"""The `[theory]` of a run file: one section for every theory. No JAX here."""

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Discriminator, Field, Tag

from genlat.schema import LISTED, AbstractSection, Count, family_finder

Shape = Annotated[
    tuple[Count, ...],
    LISTED,
    Field(min_length=1, max_length=16, description="extents; axis 0 is Euclidean time"),
]

Group = Literal["sign", "translations", "point_group"]
ALL: tuple[Group, ...] = get_args(Group)


class Phi4Section(AbstractSection):
    """φ⁴ theory; the couplings given choose its form and with it the field's scale."""

    # couplings that make a form; the quartic one last
    FORMS: ClassVar[dict[str, tuple[str, str]]] = {
        "A": ("kappa", "lam"),
        "B": ("m2", "lam_b"),
        "C": ("m2", "g"),
    }

    name: Literal["phi4"]
    shape: Shape
    kappa: float | None = Field(default=None, description="form A: hopping parameter κ")
    lam: float | None = Field(
        default=None, ge=0, description="form A: quartic coupling λ"
    )
    m2: float | None = Field(default=None, description="forms B and C: mass squared m²")
    lam_b: float | None = Field(
        default=None, ge=0, description="form B: quartic coupling λ_B"
    )
    g: float | None = Field(
        default=None, ge=0, description="form C: quartic coupling g"
    )

    @property
    def symmetries(self) -> tuple[Group, ...]:
        """Those that its action declares."""
        return ALL

    @property
    def couplings(self) -> tuple[str, ...]:
        """Names of the couplings of its form."""
        return self.FORMS[self.form]

    @property
    def arrays(self) -> tuple[str, ...]:
        """Couplings that are arrays of the action, which a model can be a function of.

        Those of the other forms are functions of them.
        """
        return self.couplings if self.form == "A" else ()

    @property
    def form(self) -> Literal["A", "B", "C"]:
        """The form whose quartic coupling is given."""
        if self.lam is not None:
            return "A"
        return "B" if self.lam_b is not None else "C"


class DoubleWellSection(AbstractSection):
    """Quantum-mechanical double well."""

    name: Literal["double_well"]
    shape: Annotated[
        tuple[Count, ...],
        LISTED,
        Field(min_length=1, max_length=1, description="[T], the number of times"),
    ]
    m0: float = Field(gt=0, description="mass m₀")
    mu2: float = Field(description="μ²; two wells if negative")
    lam: float = Field(ge=0, description="quartic coupling λ")
    spacing: float = Field(default=1.0, gt=0, description="lattice spacing a")

    @property
    def symmetries(self) -> tuple[Group, ...]:
        """Those that its action declares."""
        return ALL

    @property
    def couplings(self) -> tuple[str, ...]:
        """Names of the couplings."""
        return ("m0", "mu2", "lam")

    @property
    def arrays(self) -> tuple[str, ...]:
        """Couplings that a model can be a function of: all are arrays of the action."""
        return self.couplings


class IsingSection(AbstractSection):
    """Ising model, S = βH with H = -Σ s_x s_{x+μ} - h Σ s_x."""

    name: Literal["ising"]
    shape: Shape
    beta: float = Field(description="inverse temperature β; antiferromagnetic if < 0")
    field: float = Field(default=0.0, description="magnetic field h")

    @property
    def symmetries(self) -> tuple[Group, ...]:
        """Those that its action declares."""
        return tuple(x for x in ALL if x != "sign") if self.field else ALL

    @property
    def couplings(self) -> tuple[str, ...]:
        """Names of the couplings."""
        return ("beta", "field")

    @property
    def arrays(self) -> tuple[str, ...]:
        """Couplings that a model can be a function of: all are arrays of the action."""
        return self.couplings


TheoryKind = Phi4Section | DoubleWellSection | IsingSection
THEORIES = (Phi4Section, DoubleWellSection, IsingSection)
TheorySection = Annotated[
    Annotated[Phi4Section, Tag(Phi4Section.__name__)]
    | Annotated[DoubleWellSection, Tag(DoubleWellSection.__name__)]
    | Annotated[IsingSection, Tag(IsingSection.__name__)],
    Discriminator(family_finder(THEORIES)),
]
