"""Whether what a run file asks for fits into memory. No JAX here."""

import math
from collections.abc import Iterator

from genlat.runs import memory, slices
from genlat.runs.fit_model import Problem
from genlat.runs.model_sections import DenseSpinSection, ModelSection
from genlat.runs.sections import EstimateSection, McmcSection, TrainSection
from genlat.runs.theory_sections import IsingSection, TheoryKind


def problems(
    theory: TheoryKind,
    mcmc: McmcSection | None,
    model: ModelSection | None,
    train: TrainSection | None,
    estimate: EstimateSection | None,
) -> Iterator[Problem]:
    """Numbers of configurations that do not fit, and how many would."""
    volume, available = math.prod(theory.shape), memory.available_bytes()
    if model is not None and train is not None:
        one = memory.training_bytes(theory.shape, model, batch=1)
        size = slices.length(model, train, theory)
        field = "train.batch" if size is None else "train.micro_batch"
        count = train.batch if size is None else size
        yield from _batch(field, count, one, available)
    if isinstance(model, DenseSpinSection):
        need = memory.weight_bytes(theory.shape, model)
        if need > available:
            have = memory.spelt(available)
            allowed = (
                f"its weights need {memory.spelt(need)} of memory, {have} are free"
            )
            yield "model.width", model.width, allowed
    if train is not None and train.on_own_draws:
        one = memory.replay_bytes(volume, train.generations)
        yield from _batch("train.draws", train.draws, one, available)
    if model is not None and estimate is not None:
        one = memory.sampling_bytes(theory.shape, model, batch=1)
        count = slices.draws_at_once(model, estimate, theory)
        yield from _batch("estimate.batch", count, one, available)
        one = memory.measurement_bytes(theory.shape)
        yield from _batch("estimate.samples", estimate.samples, one, available)
    if mcmc is not None:
        one = memory.chain_bytes(theory.shape, mcmc.samples)
        yield from _batch("mcmc.chains", mcmc.chains, one, available)
        is_spins = isinstance(theory, IsingSection)
        one = memory.snapshot_bytes(volume, is_spins=is_spins)
        yield from _batch("mcmc.keep", mcmc.keep, one, available)


def _batch(field: str, count: int, each: int, available: int) -> Iterator[Problem]:
    if count * each > available:
        need, have = memory.spelt(count * each), memory.spelt(available)
        allowed = (
            f"needs about {need} of memory, {have} are free: at most "
            f"{available // each} fit"
        )
        yield field, count, allowed
