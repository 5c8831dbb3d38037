"""Whether what a run file asks for fits into memory. No JAX here."""

import math
from collections.abc import Iterator

from genlat.families.base import AbstractModelSection
from genlat.runs.file import memory, slices
from genlat.runs.file.sections import (
    EstimateSection,
    IntegrationSection,
    McmcSection,
    TrainSection,
)
from genlat.schema import Problem
from genlat.theories.base import AbstractTheorySection


def problems(
    theory: AbstractTheorySection,
    mcmc: McmcSection | None,
    model: AbstractModelSection | None,
    train: TrainSection | None,
    estimate: EstimateSection | None,
    integration: IntegrationSection | None,
) -> Iterator[Problem]:
    """Numbers of configurations that do not fit, and how many would.

    `integration` is None where it is not asked for.
    """
    n_components, available = theory.n_components, memory.available_bytes()
    numbers = n_components * math.prod(theory.shape)  # of a configuration
    if model is not None:
        yield from _of_model(theory, model, train, estimate, available)
    if model is not None and train is not None and train.on_own_draws:
        one = memory.replay_bytes(numbers, train.generations)
        yield from _batch("train.draws", train.draws, one, available)
    if model is not None and estimate is not None:
        one = memory.measurement_bytes(theory.shape)
        yield from _batch("estimate.samples", estimate.samples, one, available)
    if mcmc is not None:
        one = memory.chain_bytes(theory.shape, mcmc.samples, n_components)
        yield from _batch("mcmc.chains", mcmc.chains, one, available)
        one = memory.snapshot_bytes(numbers, theory.SPACE.dtype.itemsize)
        yield from _batch("mcmc.keep", mcmc.keep, one, available)
    if integration is not None:
        each = memory.chain_bytes((1,), integration.samples) + 24 * numbers
        one = integration.chains * each
        yield from _batch(
            "integration.couplings", integration.couplings, one, available
        )


def _of_model(
    theory: AbstractTheorySection,
    model: AbstractModelSection,
    train: TrainSection | None,
    estimate: EstimateSection | None,
    available: int,
) -> Iterator[Problem]:
    """Its weights, filed under what is largest of the architecture, or batches that do
    not fit beside them.
    """
    of_weights = memory.weight_bytes if train is None else memory.trained_weight_bytes
    need = of_weights(theory.shape, model)
    if need > available:
        sizes = {name: getattr(model, name) for name in model.SIZES}
        name = max(sizes, key=lambda name: _largest(sizes[name]))
        have = memory.spelt(available)
        allowed = f"its weights need {memory.spelt(need)} of memory, {have} are free"
        yield f"model.{name}", sizes[name], allowed
        return
    beside = available - need
    if train is not None:
        one = memory.training_bytes(theory.shape, model, 1, theory.n_components)
        size = slices.length(model, train, theory)
        field = "train.batch" if size is None else "train.micro_batch"
        count = train.batch if size is None else size
        yield from _batch(field, count, one, beside)
        if size is not None:  # the keys of the whole batch are there at once
            yield from _batch("train.batch", train.batch, memory.KEY, beside)
    if estimate is not None:
        one = memory.sampling_bytes(theory.shape, model, 1, theory.n_components)
        count = slices.draws_at_once(model, estimate, theory)
        yield from _batch("estimate.batch", count, one, beside)


def _batch(field: str, count: int, each: int, available: int) -> Iterator[Problem]:
    if count * each > available:
        need, have = memory.spelt(count * each), memory.spelt(available)
        allowed = (
            f"needs about {need} of memory, {have} are free: at most "
            f"{available // each} fit"
        )
        yield field, count, allowed


def _largest(size: int | float | tuple[int, ...]) -> int | float:
    return max(size, default=0) if isinstance(size, tuple) else size
