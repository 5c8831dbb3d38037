"""What may stand beside draws and samples that were made elsewhere. No JAX here."""

from collections.abc import Iterator

from genlat.runs.file import memory
from genlat.runs.file.given_sections import SamplesSection
from genlat.runs.file.sections import (
    FROM_P,
    EstimateSection,
    McmcSection,
    judged_methods,
)
from genlat.schema import ABSENT, Problem
from genlat.theories.base import AbstractTheorySection


def of_samples(samples: SamplesSection, mcmc: McmcSection | None) -> Iterator[Problem]:
    """One chain is enough."""
    if samples.is_given and mcmc is not None:
        yield "mcmc", ABSENT, "is not run: the samples are given"


def of_draws(
    theory: AbstractTheorySection | None,
    estimate: EstimateSection,
    samples: SamplesSection | None,
) -> Iterator[Problem]:
    """What can be asked of draws made elsewhere."""
    for name in ("batch", "n_steps"):
        if (value := getattr(estimate, name)) is not None:
            allowed = "the draws are made, with whatever it was: leave it out"
            yield f"estimate.{name}", value, allowed
    if estimate.p_samples != "chain":
        allowed = "samples of p need the log q of that model: give them with --samples"
        yield "estimate.p_samples", estimate.p_samples, allowed
    methods = judged_methods(estimate, samples)
    needy = [method for method in methods if method in FROM_P]
    if needy and (samples is None or not samples.has_log_q):
        allowed = f"{' and '.join(needy)} need samples of p with log_q: --samples"
        yield "estimate.methods", list(estimate.methods), allowed
    if theory is not None:
        one = memory.measurement_bytes(theory.shape)
        need, free = estimate.samples * one, memory.available_bytes()
        if need > free:
            allowed = (
                f"measuring them needs about {memory.spelt(need)} of memory, "
                f"{memory.spelt(free)} are free: at most {free // one} fit"
            )
            yield "estimate.samples", estimate.samples, allowed
