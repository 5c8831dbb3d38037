"""The sections of a run file, as Pydantic models. No JAX here.

Every field carries its description and, but for couplings, shape and seed, a default;
`genlat list` prints both.
"""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    NonNegativeInt,
    PositiveInt,
    Tag,
)

from genlat.runs import catalogue


def _tuple(value: Any) -> Any:
    """TOML has lists only; one bare name stands for a list of one."""
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _observable(name: str) -> str:
    known = [*catalogue.PRIMARY, *catalogue.DERIVED]
    if name != "default" and name not in known:
        raise ValueError(catalogue.unknown_name("observable", name, known))
    return name


def _absolute(path: str) -> str:
    """A path that still means the same when the run is resumed from elsewhere."""
    return path if path in ("scratch", "chain") else str(Path(path).absolute())


class AbstractSection(BaseModel):
    """Immutable; unknown fields and values of a wrong type are errors."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False
    )


Shape = Annotated[
    tuple[PositiveInt, ...],
    BeforeValidator(_tuple),
    Field(min_length=1, description="extents; axis 0 is Euclidean time"),
]


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
    def form(self) -> Literal["A", "B", "C"]:
        """The form whose quartic coupling is given."""
        if self.lam is not None:
            return "A"
        return "B" if self.lam_b is not None else "C"


class DoubleWellSection(AbstractSection):
    """Quantum-mechanical double well."""

    name: Literal["double_well"]
    shape: Annotated[
        tuple[PositiveInt, ...],
        BeforeValidator(_tuple),
        Field(min_length=1, max_length=1, description="[T], the number of times"),
    ]
    m0: float = Field(gt=0, description="mass m₀")
    mu2: float = Field(description="μ²; two wells if negative")
    lam: float = Field(ge=0, description="quartic coupling λ")
    spacing: float = Field(default=1.0, gt=0, description="lattice spacing a")


def _theory_name(value: Any) -> Any:
    """Name of the theory before it is validated, in raw or in finished form."""
    if isinstance(value, dict):
        return value.get("name")
    return getattr(value, "name", None)


TheorySection = Annotated[
    Annotated[Phi4Section, Tag("phi4")]
    | Annotated[DoubleWellSection, Tag("double_well")],
    Discriminator(_theory_name),
]


class McmcSection(AbstractSection):
    """The baseline chain; without this section there is none."""

    kernel: Annotated[
        tuple[Literal["hmc", "metropolis", "cluster", "reflection"], ...],
        BeforeValidator(_tuple),
        Field(min_length=1),
    ] = Field(
        default=("hmc", "cluster"),
        description="one kernel, or several applied in sequence",
    )
    chains: PositiveInt = Field(default=64, description="independent chains")
    samples: int = Field(default=2000, ge=10, description="kept per chain")
    therm: PositiveInt = Field(
        default=500, description="steps discarded, tuning included"
    )
    thin: PositiveInt = Field(
        default=1, description="steps from one kept sample to the next"
    )
    n_leapfrog: PositiveInt = Field(default=10, description="hmc: steps per trajectory")
    integrator: Literal["leapfrog", "minimum_norm"] = Field(
        default="leapfrog", description="hmc: integrator of the trajectory"
    )
    keep: NonNegativeInt = Field(
        default=8192,
        description="configurations stored, evenly over the run, rounded up to whole "
        "snapshots of all chains: the samples of p that a model is held against",
    )


class ModelSection(AbstractSection):
    """The generative model; without this section the chain runs alone."""

    name: Literal["cnf"] = Field(default="cnf", description="family of the model")
    init: Annotated[str, AfterValidator(_absolute)] = Field(
        default="scratch",
        description='"scratch", or the directory of an earlier run to start from',
    )
    wells: Literal["both", "one", "none"] = Field(
        default="both",
        description='prior in the broken phase: "both" is the exact mixture of ±v; '
        '"none" one Gaussian around 0, for domain walls near the transition; "one" '
        "drops a mode on purpose",
    )
    features: int = Field(
        default=8, ge=2, description="sine features of the vector field"
    )
    channels: PositiveInt = Field(
        default=4, description="convolved mixtures of the features"
    )
    kernel_terms: PositiveInt = Field(
        default=6, description="Legendre terms of the kernels"
    )
    mixing_terms: PositiveInt = Field(
        default=4, description="Legendre terms of the mixtures"
    )
    n_steps: PositiveInt = Field(default=6, description="Runge-Kutta steps in training")


class TrainSection(AbstractSection):
    """Training of the model."""

    objective: Literal["reverse_kl"] = Field(default="reverse_kl", description="loss")
    gradient: Literal["path", "total"] = Field(
        default="path", description="its estimator"
    )
    steps: PositiveInt | None = Field(
        default=None,
        description="optimiser steps; 1000 if neither this nor minutes is given",
    )
    minutes: float | None = Field(
        default=None,
        gt=0,
        description="instead of steps: wall time, timed once at the start",
    )
    batch: int = Field(default=128, ge=2, description="configurations per step")
    learning_rate: float = Field(default=1e-2, gt=0, description="peak of the schedule")
    warmup: NonNegativeInt = Field(default=10, description="steps of linear warm-up")
    final_fraction: float = Field(
        default=0.02,
        gt=0,
        le=1,
        description="last learning rate over the peak, cosine decay",
    )


class EstimateSection(AbstractSection):
    """Estimates from the trained model."""

    samples: int = Field(
        default=100_000, ge=100, description="configurations drawn from q"
    )
    batch: PositiveInt = Field(default=500, description="configurations drawn at once")
    methods: Annotated[
        tuple[
            Literal["default", "nis", "nmcmc", "p_estimator", "bar", "hmc_integration"],
            ...,
        ],
        BeforeValidator(_tuple),
    ] = Field(
        default=("default",),
        min_length=1,
        description='"default" is nis and nmcmc and, with samples of p, p_estimator '
        "and bar",
    )
    p_samples: Annotated[str, AfterValidator(_absolute)] = Field(
        default="chain",
        description='samples of p: "chain" for this run\'s own, or the directory of a '
        "run of the same theory",
    )
    correct_bias: bool = Field(
        default=False, description="take the leading-order bias off the estimates"
    )
    chains: PositiveInt = Field(
        default=100, description="nmcmc: chains that share the samples as proposals"
    )
    observables: Annotated[
        tuple[Annotated[str, AfterValidator(_observable)], ...],
        BeforeValidator(_tuple),
    ] = Field(default=("default",), description='"default" for all, or a list of names')
    n_steps: PositiveInt | None = Field(
        default=None,
        description="Runge-Kutta steps; from a pilot if not given",
    )
    keep: NonNegativeInt = Field(default=256, description="draws of q stored on disk")

    @property
    def observable_names(self) -> tuple[str, ...]:
        """The observables asked for, "default" spelt out."""
        if "default" not in self.observables:
            return self.observables
        return (*catalogue.PRIMARY, *catalogue.DERIVED)


class IntegrationSection(AbstractSection):
    """hmc_integration: HMC and cluster chains along the hopping."""

    target_error: float = Field(
        default=0.05, gt=0, description="error of ln Z at which it stops"
    )
    couplings: int = Field(
        default=9, ge=2, description="of the first grid, both ends included"
    )
    chains: PositiveInt = Field(default=32, description="at every coupling")
    samples: int = Field(
        default=250, ge=10, description="per chain, coupling and round"
    )
    therm: PositiveInt = Field(
        default=150, description="steps discarded at a new coupling, tuning included"
    )
    n_leapfrog: PositiveInt = Field(default=10, description="steps per trajectory")
    rounds: PositiveInt = Field(
        default=60, description="after which it stops in any case"
    )


class RunConfig(AbstractSection):
    """A whole run file."""

    seed: Annotated[int, Field(ge=0, lt=2**63, description="all random numbers")]
    theory: TheorySection
    mcmc: McmcSection | None = None
    model: ModelSection | None = None
    train: TrainSection = TrainSection()
    estimate: EstimateSection = EstimateSection()
    integration: IntegrationSection = IntegrationSection()

    @property
    def methods(self) -> tuple[str, ...]:
        """The estimators of this run, "default" spelt out."""
        return method_names(self.estimate, self.mcmc)


def method_names(
    estimate: EstimateSection, mcmc: McmcSection | None
) -> tuple[str, ...]:
    """The estimators asked for: those by default are what the run has samples for."""
    if "default" not in estimate.methods:
        return estimate.methods
    keeps_samples = mcmc is not None and mcmc.keep > 1
    with_target = keeps_samples or estimate.p_samples != "chain"
    by_default = ("nis", "nmcmc", *(("p_estimator", "bar") if with_target else ()))
    others = [m for m in estimate.methods if m not in ("default", *by_default)]
    return (*by_default, *others)


# What a run file may contain, for `genlat list` and for the nearest valid name.
SECTIONS: dict[str, tuple[type[AbstractSection], ...]] = {
    "theory": (Phi4Section, DoubleWellSection),
    "mcmc": (McmcSection,),
    "model": (ModelSection,),
    "train": (TrainSection,),
    "estimate": (EstimateSection,),
    "integration": (IntegrationSection,),
}
