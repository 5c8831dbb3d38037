"""Whether a training can be carried out, and on what. No JAX here."""

from collections.abc import Iterator
from pathlib import Path

import pydantic

from genlat.families.base import AbstractModelSection
from genlat.runs.file import (
    slices,
    source,
    training_set,
)
from genlat.runs.file.fit_model import Problem
from genlat.runs.file.partial import Partial
from genlat.runs.file.sections import (
    McmcSection,
    TrainSection,
    is_held_against_p,
)
from genlat.theories.base import AbstractTheorySection
from genlat.training import admissible


def annealing(theory: AbstractTheorySection, train: TrainSection) -> Iterator[Problem]:
    """Annealing starts in the same theory, at couplings that it allows."""
    couplings = theory.couplings
    odd = [name for name in theory.ODD if name in train.anneal]
    if odd and "sign" in theory.symmetries:
        allowed = f"ends without {odd[0]}, where models are even: leave it out"
        yield f"train.anneal.{odd[0]}", train.anneal[odd[0]], allowed
    for name, value in train.anneal.items():
        if name not in couplings:
            allowed = f"not a coupling of this theory: it has {', '.join(couplings)}"
            yield f"train.anneal.{name}", value, allowed
            return
    fields = {**theory.model_dump(exclude_none=True), **train.anneal}
    try:
        start = type(theory).model_validate(fields)
    except pydantic.ValidationError as error:
        for detail in error.errors(include_url=False):
            name, message = detail["loc"][0], detail["msg"].replace("Input", "it")
            yield f"train.anneal.{name}", detail["input"], message
        return
    for name in set(theory.arrays) - set(start.arrays):
        allowed = f"starts without {name}, which the theory has: start near 0"
        yield f"train.anneal.{name}", train.anneal[name], allowed
    if train.anneal:
        for field, value, allowed in start.problems():
            yield field.replace("theory", "train.anneal"), value, allowed


def problems(config: Partial, train: TrainSection) -> Iterator[Problem]:
    yield from _slices(config.model, train)
    reason = admissible.refusal(train.objective, train.gradient)
    reason = reason or _no_derivative(config.model, train)
    reason = reason or _no_pull_back(config.model, train)
    if reason := reason or misses_choices(config.model, train):
        yield "train.gradient", train.gradient, reason
    if reason is None and train.on_own_draws and train.gradient == "path":
        allowed = (
            'data = "own": draws of flattened weights are not of p, and what the path '
            "gradient drops has a mean; use total"
        )
        yield "train.gradient", train.gradient, allowed
    yield from _idle(train)
    if train.objective == "alpha" and train.alpha in (0, 1):
        limit = "reverse_kl" if train.alpha == 0 else "forward_kl"
        yield "train.alpha", train.alpha, f"must not be 0 or 1: its limit is {limit}"
    if config.model is not None and config.model.nodes:
        yield from _conditional(config.model, train)
    if not train.needs_data:
        return
    if train.anneal:
        allowed = f"{train.objective} trains on samples of p, which do not move with it"
        yield "train.anneal", train.anneal, allowed
    if config.model is None or config.theory is None or train.on_own_draws:
        return
    if train.data != "chain":
        yield from _data_of_another_run(config, config.theory, train)
    elif config.mcmc is None:
        allowed = f"{train.objective} needs samples of p: add [mcmc] or name a run"
        yield "train.data", train.data, allowed
    else:
        yield from _own_data(config.mcmc, train)


def _slices(
    model: AbstractModelSection | None, train: TrainSection
) -> Iterator[Problem]:
    """The batch must be one that can be cut, into whole slices that are not too short.

    Baselines and variances are of two draws at least.
    """
    size = train.micro_batch
    if size is None:
        return
    if reason := slices.why_whole(model, train):
        yield "train.micro_batch", size, reason
    elif size == 1 and (train.objective, train.gradient) not in admissible.ADDITIVE:
        allowed = f"{train.objective} with gradient {train.gradient} wants at least 2"
        yield "train.micro_batch", size, allowed
    elif train.batch % size:
        allowed = f"must divide train.batch = {train.batch}"
        yield "train.micro_batch", size, allowed


def _idle(train: TrainSection) -> Iterator[Problem]:
    """Fields that were set and would do nothing."""
    if not train.needs_data:
        names, why = ("data", "held_out", "augment"), "has no samples of p to train on"
    elif train.on_own_draws:
        names, why = ("held_out",), 'has no chains with data = "own"'
    else:
        names, why = ("draws", "generations"), 'has draws with data = "own" alone'
    for name in names:
        value = getattr(train, name)
        if value != TrainSection.model_fields[name].default:
            allowed = f"{train.objective} {why}: leave it out"
            yield f"train.{name}", value, allowed


def _conditional(model: AbstractModelSection, train: TrainSection) -> Iterator[Problem]:
    """A conditional model is trained on draws of its own, at all its couplings."""
    if train.needs_data:
        allowed = (
            "trains on samples of p, which are of one coupling; without model.nodes"
        )
        yield "train.objective", train.objective, allowed
    if names := [name for name in train.anneal if name in model.nodes]:
        allowed = f"model.nodes trains at all values of {names[0]}: leave it out"
        yield "train.anneal", train.anneal, allowed


def _no_derivative(
    model: AbstractModelSection | None, train: TrainSection
) -> str | None:
    """Why gradients through draws are beyond a model of spins."""
    if model is None or model.has_slope:
        return None
    if train.objective == "forward_kl" and train.gradient == "total":
        return None
    if train.objective in ("forward_kl", "symmetric_kl"):
        use = "forward_kl with total, or reverse_kl with reinforce"
    elif train.gradient == "reinforce":
        return None
    else:
        use = "reinforce"
    return (
        f"{train.objective}: the {_values(model)} that a {model.name} draws have no "
        f"derivative; "
        f"use {use}"
    )


def _values(model: AbstractModelSection) -> str:
    return " or ".join(space.title for space in model.SPACES)


def _no_pull_back(
    model: AbstractModelSection | None, train: TrainSection
) -> str | None:
    """Why the path gradient of an average over samples of p is beyond a model."""
    if model is None or not train.needs_data or train.gradient != "path":
        return None
    if model.PULLS_BACK and not model.symmetrize:
        return None
    kind = "a symmetrised model" if model.symmetrize else f"a {model.name}"
    return (
        f"{train.objective}: its path gradient pulls configurations back with their "
        f"score, which {kind} cannot; use total"
    )


def misses_choices(
    model: AbstractModelSection | None, train: TrainSection
) -> str | None:
    """Why gradients through draws cannot train the shares of a prior's phases."""
    if model is None or not model.mixes_phases:
        return None
    if train.objective == "symmetric_kl":
        use = 'forward_kl with total, or other wells than "mixed"'
    elif train.objective == "forward_kl":
        use = "total" if train.gradient == "path" else None
    else:
        use = "path or reinforce" if train.gradient == "total" else None
    if use is None:
        return None
    return (
        f"{train.objective}: the {train.gradient} gradient misses how often each phase "
        f'of wells = "mixed" is drawn; use {use}'
    )


def _own_data(mcmc: McmcSection, train: TrainSection) -> Iterator[Problem]:
    """The chains of this run must leave enough to train on."""
    training = training_set.split(mcmc.chains, train.held_out)
    if training is None:
        yield "mcmc.chains", mcmc.chains, training_set.TOO_FEW_CHAINS
        return
    n = training * min(mcmc.samples, -(-mcmc.keep // mcmc.chains))
    if n < training_set.FEWEST:
        allowed = (
            f"leaves {n} configurations to train on, held_out = {train.held_out:g} of "
            f"the chains apart: {training_set.FEWEST} independent ones are needed"
        )
        yield "mcmc.keep", mcmc.keep, allowed


def _data_of_another_run(
    config: Partial, theory: AbstractTheorySection, train: TrainSection
) -> Iterator[Problem]:
    directory = Path(train.data)
    if reason := source.why_no_samples(directory, theory):
        yield "train.data", train.data, reason
        return
    other = source.read_config(directory)
    assert other.stored_chains is not None
    if training_set.split(other.stored_chains, train.held_out) is None:
        yield "train.data", train.data, training_set.TOO_FEW_CHAINS
    estimate = config.estimate
    if estimate is None or not is_held_against_p(estimate, config.mcmc, config.model):
        return
    if training_set.is_evaluated(train, estimate):
        return  # on chains that are held out
    seed = config.seed
    if estimate.p_samples != "chain":
        if source.why_no_samples(Path(estimate.p_samples), theory):
            return  # reported where it belongs
        seed = source.read_config(Path(estimate.p_samples)).seed
    if seed == other.seed and other.mcmc is not None:  # a chain of genlat's own
        allowed = (
            f"has the seed {seed} of the samples that the model is held against, which "
            "may be the very same: name it in estimate.p_samples too, or change a seed"
        )
        yield "train.data", train.data, allowed
