"""Whether what a run file asks for could ever be carried out. No JAX here."""

import math
from collections.abc import Iterator

from genlat.families.base import AbstractModelSection
from genlat.runs.file.sections import (
    EstimateSection,
    IntegrationSection,
    McmcSection,
    TrainSection,
)
from genlat.schema import MOST, Problem
from genlat.theories.base import AbstractTheorySection

MOST_UPDATES = 10**18
"""Of sites: 10¹¹ in a second, of which no device of today is capable, for 116 days."""

Factors = dict[str, int]


def problems(
    theory: AbstractTheorySection,
    mcmc: McmcSection | None,
    model: AbstractModelSection | None,
    train: TrainSection | None,
    estimate: EstimateSection | None,
    integration: IntegrationSection | None,
) -> Iterator[Problem]:
    """Stages that would never end; `integration` is None where it is not asked for."""
    volume = math.prod(theory.shape)
    if mcmc is not None:
        yield from _chain(volume, mcmc)
    if model is not None and train is not None:
        factors = {"steps": train.steps or 1, "batch": train.batch}
        yield from _endless("train", factors, volume * model.passes)
    if model is not None and estimate is not None:
        factors = {"samples": estimate.samples, "n_steps": estimate.n_steps or 1}
        yield from _endless("estimate", factors, volume * model.passes)
    if integration is not None:
        steps = integration.samples + integration.therm
        name = _larger(integration, "samples", "therm")
        factors = {"couplings": integration.couplings, "chains": integration.chains}
        factors |= {name: steps, "n_leapfrog": integration.n_leapfrog}
        yield from _endless("integration", factors, volume)


def _chain(volume: int, mcmc: McmcSection) -> Iterator[Problem]:
    steps = mcmc.therm + mcmc.thin * mcmc.samples
    if steps > MOST:
        name = _larger(mcmc, "samples", "thin", "therm")
        allowed = f"makes {steps:.3g} steps: there are random numbers for {MOST}"
        yield f"mcmc.{name}", getattr(mcmc, name), allowed
    factors = {"samples": mcmc.samples, "thin": mcmc.thin, "chains": mcmc.chains}
    if mcmc.therm > mcmc.samples * mcmc.thin:
        factors = {"therm": mcmc.therm, "chains": mcmc.chains}
    if "hmc" in mcmc.kernel:
        factors["n_leapfrog"] = mcmc.n_leapfrog
    yield from _endless("mcmc", factors, volume)


def _larger(section: McmcSection | IntegrationSection, *names: str) -> str:
    return max(names, key=lambda name: getattr(section, name))


def _endless(section: str, factors: Factors, each: int) -> Iterator[Problem]:
    """More updates of sites than can be made, filed under the largest factor."""
    updates = math.prod(factors.values()) * each
    if updates > MOST_UPDATES:
        name = max(factors, key=lambda name: factors[name])
        allowed = (
            f"{' x '.join(factors)} are 10^{len(str(updates)) - 1} updates of a site: "
            "no machine of today ends with more than 10^18"
        )
        yield f"{section}.{name}", factors[name], allowed
