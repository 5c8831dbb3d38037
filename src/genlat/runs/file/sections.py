"""The sections of a run file, as Pydantic models. No JAX here.

Every field carries its description and, but for couplings, shape and seed, a default;
`genlat list` prints both.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, NonNegativeInt

from genlat.estimators import methods, requirements
from genlat.families import named as families
from genlat.families.base import AbstractModelSection
from genlat.families.named import FAMILIES, AnyModel
from genlat.runs.file import catalogue
from genlat.runs.file.given_sections import DrawsSection, SamplesSection
from genlat.schema import (
    LISTED,
    AbstractSection,
    Count,
    CountOrZero,
    Int,
    SampleSource,
    TrainingSource,
)
from genlat.theories import named as theories
from genlat.theories.base import AbstractTheorySection, Moves
from genlat.theories.named import THEORIES, AnyTheory
from genlat.training import admissible


def _known(kind: str, available: Mapping[str, str]) -> AfterValidator:
    """Refuses names that are not in the catalogue."""

    def check(name: str) -> str:
        if name not in available:
            raise ValueError(catalogue.unknown_name(kind, name, available))
        return name

    return AfterValidator(check)


class McmcSection(AbstractSection):
    """The baseline chain; without this section there is none."""

    kernel: Annotated[
        tuple[Annotated[str, _known("kernel", catalogue.KERNELS)], ...],
        LISTED,
        Field(min_length=1),
    ] = Field(
        default=("hmc", "cluster"),
        description="one kernel, or several applied in sequence; for ising "
        "swendsen_wang by default",
    )
    chains: Count = Field(default=64, description="independent chains")
    samples: Int = Field(default=2000, ge=10, description="kept per chain")
    therm: Count = Field(default=500, description="steps discarded, tuning included")
    thin: Count = Field(default=1, description="steps from one kept sample to the next")
    n_leapfrog: Count = Field(default=10, description="hmc: steps per trajectory")
    integrator: Literal["leapfrog", "minimum_norm"] = Field(
        default="leapfrog", description="hmc: integrator of the trajectory"
    )
    keep: NonNegativeInt = Field(
        default=8192,
        description="configurations stored, evenly over the run, rounded up to whole "
        "snapshots of all chains: the samples of p that a model is held against",
    )


class TrainSection(AbstractSection):
    """Training of the model."""

    objective: Annotated[str, _known("objective", catalogue.OBJECTIVES)] = Field(
        default="reverse_kl", description="loss"
    )
    gradient: Annotated[str, _known("gradient", catalogue.GRADIENTS)] = Field(
        default="path", description="its estimator"
    )
    alpha: float = Field(
        default=2.0, description="alpha: order of the divergence, neither 0 nor 1"
    )
    steps: CountOrZero | None = Field(
        default=None,
        description="optimiser steps; 1000 if neither this nor minutes is given, 0 to "
        "take the model of model.init as it is",
    )
    minutes: float | None = Field(
        default=None,
        gt=0,
        description="instead of steps: wall time, timed once at the start",
    )
    batch: Int = Field(default=128, ge=2, description="configurations per step")
    micro_batch: Count | None = Field(
        default=None,
        description="gradients are accumulated over slices of this many, which bounds "
        "memory; by default 16 for a model of many couplings, each slice at its own, "
        "on a CPU 64 for spins and dense coupling flows, for convolutions as many as "
        "stay in cache (32 of 8 x 8, 8 of 16 x 16), the whole batch otherwise",
    )
    learning_rate: float = Field(default=1e-2, gt=0, description="peak of the schedule")
    warmup: CountOrZero = Field(default=10, description="steps of linear warm-up")
    final_fraction: float = Field(
        default=0.02,
        gt=0,
        le=1,
        description="last learning rate over the peak, cosine decay",
    )
    anneal: dict[str, float] = Field(
        default={},
        description="couplings to start from, such as {kappa = 0.2}; they move to the "
        "theory's own in equal steps",
    )
    anneal_fraction: float = Field(
        default=0.5, gt=0, le=1, description="of the steps, until they are there"
    )
    data: TrainingSource = Field(
        default="chain",
        description='forward_kl, symmetric_kl: samples of p to train on: "chain" for '
        'this run\'s own, the directory of a run of the same theory, or "own" for the '
        "model's own draws, reweighted",
    )
    draws: Int = Field(
        default=4096,
        ge=1600,  # a sixteenth of which is enough to train on
        description='data = "own": configurations of a generation, of which there is '
        "one for every chunk of at most 50 steps",
    )
    generations: Count = Field(
        default=4,
        description='data = "own": the last ones, replayed together by their weights',
    )
    held_out: float = Field(
        default=0.25,
        gt=0,
        lt=1,
        description="share of their chains that training never sees: only these are "
        "used where p_samples names the same ensemble",
    )
    augment: Annotated[tuple[Moves, ...], LISTED] = Field(
        default=(),
        description="symmetries by which they are moved at random: "
        '"sign", "translations", "point_group"; of components "permutations", '
        '"rotations"',
    )

    @property
    def needs_data(self) -> bool:
        """Whether the objective is an average over samples of p."""
        return "data" in admissible.NEEDS[self.objective]

    @property
    def on_own_draws(self) -> bool:
        """Whether these are the model's own draws, reweighted."""
        return self.needs_data and self.data == "own"


class EstimateSection(AbstractSection):
    """Estimates from the trained model."""

    samples: Int = Field(
        default=100_000, ge=100, description="configurations drawn from q"
    )
    batch: Count | None = Field(
        default=None,
        description="configurations drawn at once, which does not change them; by "
        "default 500, but for convolutions on a CPU as many as stay in cache",
    )
    methods: Annotated[
        tuple[
            Literal[
                "default",
                "nis",
                "nmcmc",
                "p_estimator",
                "bar",
                "hmc_integration",
                "variational",
            ],
            ...,
        ],
        LISTED,
    ] = Field(
        default=("default",),
        min_length=1,
        description='"default" is nis and nmcmc and, with samples of p, p_estimator '
        "and bar",
    )
    p_samples: SampleSource = Field(
        default="chain",
        description='samples of p: "chain" for this run\'s own, or the directory of a '
        "run of the same theory",
    )
    correct_bias: bool = Field(
        default=False, description="take the leading-order bias off the estimates"
    )
    chains: Count = Field(
        default=100, description="nmcmc: chains that share the samples as proposals"
    )
    observables: Annotated[
        tuple[str, ...],
        LISTED,
    ] = Field(default=("default",), description='"default" for all, or a list of names')
    n_steps: Count | None = Field(
        default=None,
        description="Runge-Kutta steps; from a pilot if not given",
    )
    keep: NonNegativeInt = Field(default=256, description="draws of q stored on disk")


class IntegrationSection(AbstractSection):
    """hmc_integration: HMC and cluster chains along the hopping."""

    target_error: float = Field(
        default=0.05, gt=0, description="error of ln Z at which it stops"
    )
    couplings: Int = Field(
        default=9, ge=2, description="of the first grid, both ends included"
    )
    chains: Count = Field(default=32, description="at every coupling")
    samples: Int = Field(
        default=250, ge=10, description="per chain, coupling and round"
    )
    therm: Count = Field(
        default=150, description="steps discarded at a new coupling, tuning included"
    )
    n_leapfrog: Count = Field(default=10, description="steps per trajectory")
    rounds: Count = Field(default=60, description="after which it stops in any case")


class RunConfig(AbstractSection):
    """A whole run file."""

    seed: Annotated[int, Field(ge=0, lt=2**63, description="all random numbers")]
    theory: AnyTheory
    mcmc: McmcSection | None = None
    model: AnyModel | None = None
    train: TrainSection = TrainSection()
    estimate: EstimateSection = EstimateSection()
    integration: IntegrationSection = IntegrationSection()
    draws: DrawsSection | None = None
    samples: SamplesSection | None = None

    def source(self) -> dict[str, bytes]:
        """Files that its theory and model are made of, by name."""
        of_model = {} if self.model is None else self.model.source()
        return {**self.theory.source(), **of_model}

    @property
    def methods(self) -> tuple[str, ...]:
        """The estimators of this run, "default" spelt out."""
        if self.draws is not None:
            return judged_methods(self.estimate, self.samples)
        return method_names(self.estimate, self.mcmc, self.model)

    @property
    def needs_samples(self) -> bool:
        """Whether the model is held against samples of p."""
        if self.draws is not None:
            return needs_samples(self.methods)
        return self.model is not None and is_held_against_p(
            self.estimate, self.mcmc, self.model
        )

    @property
    def stored_chains(self) -> int | None:
        """How many chains leave configurations to others; None where none does."""
        if self.mcmc is not None:
            return self.mcmc.chains if self.mcmc.keep > 1 else None
        is_ensemble = self.samples is not None and self.draws is None
        return self.samples.chains if is_ensemble and self.samples else None

    @property
    def chain_name(self) -> str | None:
        """What the chain's estimates are filed under; None without a chain."""
        if self.mcmc is not None:
            return "+".join(self.mcmc.kernel)
        return GIVEN if self.samples is not None and self.samples.is_given else None

    @property
    def observable_names(self) -> tuple[str, ...]:
        """The observables asked for, "default" spelt out."""
        if "default" not in self.estimate.observables:
            return self.estimate.observables
        return (*self.theory.observables, *catalogue.DERIVED)


FROM_P = methods.ON_SAMPLES
"""Estimators that hold a model against samples of p."""
GIVEN = "samples"
"""What samples made elsewhere are called, where a chain goes by its kernels."""


def method_names(
    estimate: EstimateSection,
    mcmc: McmcSection | None,
    model: AbstractModelSection | None,
) -> tuple[str, ...]:
    """The estimators asked for: those by default are what the run has samples for.

    And what its model has the likelihood for.
    """
    if "default" not in estimate.methods:
        return estimate.methods
    by_default = ("nis", "nmcmc", *(FROM_P if _has_p(estimate, mcmc) else ()))
    if model is not None:
        by_default = tuple(
            x for x in by_default if not requirements.refusal(x, model.LIKELIHOOD)
        )
    others = [m for m in estimate.methods if m not in ("default", *by_default)]
    return (*by_default, *others)


def _has_p(estimate: EstimateSection, mcmc: McmcSection | None) -> bool:
    """Whether there are samples of p."""
    return (mcmc is not None and mcmc.keep > 1) or estimate.p_samples != "chain"


def is_held_against_p(
    estimate: EstimateSection,
    mcmc: McmcSection | None,
    model: AbstractModelSection | None,
) -> bool:
    """Whether samples of p are there for an estimator, or for the mode weight alone.

    That is a ratio of the same weights from both sides: by default it is asked of a q
    that is not normalised too, of which ln Z is not.
    """
    if needs_samples(method_names(estimate, mcmc, model)):
        return True
    is_weighed = model is not None and model.LIKELIHOOD.kind != "none"
    return is_weighed and "default" in estimate.methods and _has_p(estimate, mcmc)


def judged_methods(
    estimate: EstimateSection, samples: SamplesSection | None
) -> tuple[str, ...]:
    """The estimators of draws made elsewhere."""
    if "default" not in estimate.methods:
        return estimate.methods
    has_log_q = samples is not None and samples.has_log_q
    by_default = ("nis", "nmcmc", *(FROM_P if has_log_q else ()))
    others = [m for m in estimate.methods if m not in ("default", *by_default)]
    return (*by_default, *others)


def needs_samples(methods: tuple[str, ...]) -> bool:
    """Whether one of these holds the model against samples of p."""
    return bool(set(FROM_P) & set(methods))


# Sections of which there are several: by their `name`.
OneOfSeveral = type[AbstractTheorySection] | type[AbstractModelSection]
NAMED: dict[str, Callable[[Mapping[str, Any]], OneOfSeveral | None]] = {
    "theory": theories.section_of,
    "model": families.section_of,
}

# What a run file may contain, for `genlat list` and for the nearest valid name.
SECTIONS: dict[str, tuple[type[AbstractSection], ...]] = {
    "theory": THEORIES,
    "mcmc": (McmcSection,),
    "model": FAMILIES,
    "train": (TrainSection,),
    "estimate": (EstimateSection,),
    "integration": (IntegrationSection,),
    "draws": (DrawsSection,),
    "samples": (SamplesSection,),
}
