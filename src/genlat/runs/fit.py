"""Checks of a run file that involve more than one field. No JAX here."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from genlat.runs import memory, source
from genlat.runs.sections import (
    DoubleWellSection,
    EstimateSection,
    McmcSection,
    ModelSection,
    Phi4Section,
    TrainSection,
    method_names,
)

# stands for the value of a field that is not in the file
ABSENT = object()

# (field, value, what is allowed)
Problem = tuple[str, Any, str]


class Partial(NamedTuple):
    """The sections of a run file that are valid by themselves."""

    theory: Phi4Section | DoubleWellSection | None
    mcmc: McmcSection | None
    model: ModelSection | None
    train: TrainSection | None
    estimate: EstimateSection | None


def problems(config: Partial) -> Iterator[Problem]:
    """What is wrong with sections that are each well-formed."""
    if config.theory is not None:
        yield from _unbounded(config.theory)
        yield from _kernels(config.theory, config.mcmc)
        yield from _init(config.theory, config.model)
        yield from _memory(config)
    if config.estimate is not None:
        yield from _estimate(config)


def presence_problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with which fields are there, whatever their values."""
    theory, train = data.get("theory"), data.get("train")
    if isinstance(theory, dict) and theory.get("name") == "phi4":
        yield from _form(theory)
    if isinstance(train, dict) and {"steps", "minutes"} <= train.keys():
        yield "train.minutes", train["minutes"], "give either steps or minutes"


def _form(theory: Mapping[str, Any]) -> Iterator[Problem]:
    """The couplings given must be those of one form of φ⁴."""
    names = {name for form in Phi4Section.FORMS.values() for name in form}
    given = names & theory.keys()
    fitting = [form for form in Phi4Section.FORMS.values() if given <= set(form)]
    forms = "(kappa, lam), (m2, lam_b) or (m2, g)"
    if not fitting:
        together = ", ".join(sorted(given))
        yield "theory", ABSENT, f"{together} do not go together: give {forms}"
    elif len(fitting) > 1:
        yield "theory", ABSENT, f"couplings have no default: give {forms}"
    else:
        for name in fitting[0]:
            if name not in given:
                yield f"theory.{name}", ABSENT, "missing; couplings have no default"


def _unbounded(theory: Phi4Section | DoubleWellSection) -> Iterator[Problem]:
    """Without a quartic term the quadratic one has to hold the field."""
    if isinstance(theory, DoubleWellSection):
        if theory.lam == 0 and theory.mu2 <= 0:
            yield "theory.mu2", theory.mu2, "must be > 0 when lam = 0: e^(-S) diverges"
        return
    d = len(theory.shape)
    if theory.lam == 0 and theory.kappa is not None and 2 * abs(theory.kappa) * d >= 1:
        allowed = f"|kappa| must be < {1 / (2 * d):g} when lam = 0: e^(-S) diverges"
        yield "theory.kappa", theory.kappa, allowed
    is_free = theory.lam_b == 0 or theory.g == 0
    if is_free and theory.m2 is not None and theory.m2 <= 0:
        quartic = "lam_b" if theory.lam_b == 0 else "g"
        allowed = f"must be > 0 when {quartic} = 0: e^(-S) diverges"
        yield "theory.m2", theory.m2, allowed


def _kernels(
    theory: Phi4Section | DoubleWellSection, mcmc: McmcSection | None
) -> Iterator[Problem]:
    if mcmc is None:
        return
    kernels = list(mcmc.kernel)
    if "metropolis" in kernels and any(n % 2 and n > 1 for n in theory.shape):
        allowed = f"metropolis needs even extents, shape is {list(theory.shape)}"
        yield "mcmc.kernel", kernels, allowed
    if not {"hmc", "metropolis"} & set(kernels):
        yield "mcmc.kernel", kernels, "only signs change: add hmc"
    if len(set(kernels)) < len(kernels):
        yield "mcmc.kernel", kernels, "names a kernel twice"


def _init(
    theory: Phi4Section | DoubleWellSection, model: ModelSection | None
) -> Iterator[Problem]:
    if model is None or model.init == "scratch":
        return
    reason = source.why_unfit(Path(model.init), theory, model)
    if reason is not None:
        yield "model.init", model.init, reason


def _memory(config: Partial) -> Iterator[Problem]:
    assert config.theory is not None
    volume, available = math.prod(config.theory.shape), memory.available_bytes()
    if config.model is not None and config.train is not None:
        one = memory.training_bytes(volume, config.model, batch=1)
        yield from _batch("train.batch", config.train.batch, one, available)
    if config.model is not None and config.estimate is not None:
        one = memory.sampling_bytes(volume, config.model, batch=1)
        yield from _batch("estimate.batch", config.estimate.batch, one, available)
        one = memory.measurement_bytes(config.theory.shape)
        yield from _batch("estimate.samples", config.estimate.samples, one, available)
    if config.mcmc is not None:
        one = memory.chain_bytes(config.theory.shape, config.mcmc.samples)
        yield from _batch("mcmc.chains", config.mcmc.chains, one, available)
        one = memory.snapshot_bytes(volume)
        yield from _batch("mcmc.keep", config.mcmc.keep, one, available)


def _batch(field: str, count: int, each: int, available: int) -> Iterator[Problem]:
    if count * each > available:
        need, have = memory.spelt(count * each), memory.spelt(available)
        allowed = (
            f"needs about {need} of memory, {have} are free: at most "
            f"{available // each} fit"
        )
        yield field, count, allowed


def _estimate(config: Partial) -> Iterator[Problem]:
    estimate = config.estimate
    assert estimate is not None
    methods = method_names(estimate, config.mcmc)
    if "nmcmc" in methods and estimate.samples < 10 * estimate.chains:
        allowed = f"leaves fewer than 10 of samples = {estimate.samples} to each chain"
        yield "estimate.chains", estimate.chains, allowed
    named = [x for x in estimate.methods if x not in ("default", "hmc_integration")]
    if named and config.model is None:
        allowed = f"{' and '.join(named)} need a model: add [model]"
        yield "estimate.methods", list(estimate.methods), allowed
    needy = [method for method in methods if method in ("p_estimator", "bar")]
    if not needy:
        return
    if estimate.p_samples != "chain":
        if config.theory is not None:
            directory = Path(estimate.p_samples)
            if reason := source.why_no_samples(directory, config.theory):
                yield "estimate.p_samples", estimate.p_samples, reason
    elif config.mcmc is None:
        allowed = f"{' and '.join(needy)} need samples of p: add [mcmc] or p_samples"
        yield "estimate.methods", list(estimate.methods), allowed
    elif config.mcmc.keep < 2:
        allowed = f"{' and '.join(needy)} need stored samples of p: at least 2"
        yield "mcmc.keep", config.mcmc.keep, allowed
