"""A run file section by section, for checks that involve several. No JAX here."""

from typing import NamedTuple

from genlat.families.base import AbstractModelSection
from genlat.runs.file.given_sections import DrawsSection, SamplesSection
from genlat.runs.file.sections import (
    EstimateSection,
    IntegrationSection,
    McmcSection,
    TrainSection,
    method_names,
)
from genlat.theories.base import AbstractTheorySection


class Partial(NamedTuple):
    """The sections of a run file that are valid by themselves."""

    seed: int | None
    theory: AbstractTheorySection | None
    mcmc: McmcSection | None
    model: AbstractModelSection | None
    train: TrainSection | None
    estimate: EstimateSection | None
    integration: IntegrationSection | None
    draws: DrawsSection | None
    samples: SamplesSection | None

    @property
    def integrated(self) -> IntegrationSection | None:
        """The integration along the hopping, if it is asked for."""
        is_asked = self.estimate and "hmc_integration" in self.estimate.methods
        return self.integration if is_asked else None


def methods_of(config: Partial, estimate: EstimateSection) -> tuple[str, ...]:
    """The estimators asked for, "default" spelt out."""
    return method_names(estimate, config.mcmc, config.model)
