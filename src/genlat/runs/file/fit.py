"""Checks of a run file that involve more than one field. No JAX here."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genlat import written
from genlat.families.base import AbstractModelSection
from genlat.runs.file import (
    catalogue,
    fit_given,
    fit_memory,
    fit_model,
    fit_size,
    fit_train,
    source,
)
from genlat.runs.file.fit_model import Problem
from genlat.runs.file.partial import Partial, methods_of
from genlat.runs.file.sections import (
    FROM_P,
    EstimateSection,
    McmcSection,
    judged_methods,
)
from genlat.theories.base import AbstractTheorySection


def problems(config: Partial) -> Iterator[Problem]:
    """What is wrong with sections that are each well-formed."""
    if config.theory is not None:
        yield from config.theory.problems()
        yield from _kernels(config.theory, config.mcmc)
        sizes = (config.mcmc, config.model, config.train, config.estimate)
        yield from fit_memory.problems(config.theory, *sizes, config.integrated)
        yield from fit_size.problems(config.theory, *sizes, config.integrated)
        if config.model is not None:
            yield from fit_model.problems(config.theory, config.model)
            yield from _files(config.theory, config.model)
        if config.train is not None:
            augment = config.train.augment
            yield from fit_model.asymmetric(config.theory, "train.augment", augment)
            yield from fit_train.annealing(config.theory, config.train)
    if config.train is not None:
        yield from fit_train.problems(config, config.train)
    if config.samples is not None:
        yield from fit_given.of_samples(config.samples, config.mcmc)
    if config.estimate is not None:
        yield from _estimate(config)


def _files(
    theory: AbstractTheorySection, model: AbstractModelSection
) -> Iterator[Problem]:
    """A record holds the files of both beside each other."""
    ours, theirs = theory.source(), model.source()
    for name in ours.keys() & theirs.keys():
        if ours[name] != theirs[name]:
            allowed = f"another file than that of the theory is called {name}: rename"
            yield "model.name", model.name, allowed


def presence_problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with which fields are there, whatever their values."""
    theory, train = data.get("theory"), data.get("train")
    if isinstance(theory, dict):
        known = catalogue.theory_of(data)
        yield from known.missing(theory) if known else ()
    if isinstance(train, dict) and {"steps", "minutes"} <= train.keys():
        yield "train.minutes", train["minutes"], "give either steps or minutes"
    yield from _unheard_of(data)


def _unheard_of(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Observables that no theory has; a user's own may have any, and is asked."""
    theory, estimate = data.get("theory"), data.get("estimate")
    if isinstance(theory, dict) and written.is_named(theory.get("name")):
        return
    asked = estimate.get("observables") if isinstance(estimate, dict) else None
    known = [*catalogue.PRIMARY, *catalogue.DERIVED]
    for name in asked if isinstance(asked, list) else [asked]:
        if isinstance(name, str) and name not in ("default", *known):
            allowed = catalogue.unknown_name("observable", name, known)
            yield "estimate.observables", name, allowed


def _kernels(
    theory: AbstractTheorySection, mcmc: McmcSection | None
) -> Iterator[Problem]:
    if mcmc is None:
        return
    kernels, known = list(mcmc.kernel), theory.KERNELS
    if foreign := [name for name in kernels if name not in known]:
        allowed = f"{foreign[0]} is not for {theory.name}, which has {', '.join(known)}"
        yield "mcmc.kernel", kernels, allowed
        return
    if reason := theory.why_no_kernel(kernels):
        yield "mcmc.kernel", kernels, reason
    if len(set(kernels)) < len(kernels):
        yield "mcmc.kernel", kernels, "names a kernel twice"
    for name in ("n_leapfrog", "integrator") if "hmc" not in kernels else ():
        value = getattr(mcmc, name)
        if value != McmcSection.model_fields[name].default:
            yield f"mcmc.{name}", value, "is of hmc, which is not among the kernels"


def _of_theory(
    theory: AbstractTheorySection, estimate: EstimateSection
) -> Iterator[Problem]:
    """Observables and methods that this theory has."""
    known = ("default", *theory.observables, *catalogue.DERIVED)
    if foreign := [name for name in estimate.observables if name not in known]:
        name, value = foreign[0], list(estimate.observables)
        if written.is_named(theory.name):
            allowed = catalogue.unknown_name("observable", name, known[1:])
            yield "estimate.observables", name, allowed
        elif name in catalogue.PRIMARY:
            allowed = f"{name} is not an observable of {theory.name}"
            yield "estimate.observables", value, allowed
    if "hmc_integration" in estimate.methods and not theory.HAS_LINE:
        allowed = f"no line of couplings leads from a solved theory to {theory.name}"
        yield "estimate.methods", list(estimate.methods), allowed


def _estimate(config: Partial) -> Iterator[Problem]:
    estimate = config.estimate
    assert estimate is not None
    is_judged = config.draws is not None
    methods = (
        judged_methods(estimate, config.samples)
        if is_judged
        else methods_of(config, estimate)
    )
    if config.theory is not None:
        yield from _of_theory(config.theory, estimate)
    has_chains = config.model is not None and "nmcmc" in methods
    if has_chains and estimate.samples < 10 * estimate.chains:
        allowed = f"leaves fewer than 10 of samples = {estimate.samples} to each chain"
        yield "estimate.chains", estimate.chains, allowed
    if is_judged:
        yield from fit_given.of_draws(config.theory, estimate, config.samples)
        return
    named = [x for x in estimate.methods if x not in ("default", "hmc_integration")]
    is_integrated = config.model is None or config.model.is_integrated
    if estimate.n_steps is not None and not is_integrated:
        assert config.model is not None
        allowed = f"a {config.model.name} is not integrated: leave it out"
        yield "estimate.n_steps", estimate.n_steps, allowed
    if named and config.model is None:
        allowed = f"{' and '.join(named)} need a model: add [model]"
        yield "estimate.methods", list(estimate.methods), allowed
    if config.model is not None:
        yield from fit_model.likelihood(config.model, estimate.methods, named)
    needy = [method for method in methods if method in FROM_P]
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
