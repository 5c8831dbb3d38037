"""How many configurations are worked on at once, on a CPU. No JAX here."""

from genlat.families.base import AbstractModelSection
from genlat.runs.file.sections import EstimateSection, TrainSection
from genlat.theories.base import AbstractTheorySection
from genlat.training import admissible

# a slice of a conditional model is at couplings of its own: four of them in a batch of
# 64 train it better than one, in the same time (docs/models.md)
OF_CONDITIONAL_MODELS = 16


def length(
    model: AbstractModelSection, train: TrainSection, theory: AbstractTheorySection
) -> int | None:
    """Configurations per slice of a batch; None for the whole batch at once.

    Where the run file does not say, a model has the longest slices that divide the
    batch, up to the length that it is fast with, if they may be cut.
    """
    if train.micro_batch is not None:
        return train.micro_batch
    if model.nodes:
        longest = OF_CONDITIONAL_MODELS
    else:
        longest = model.longest_slice(theory.shape)
    if longest is None or why_whole(model, train) is not None:
        return None
    best = max(n for n in range(1, longest + 1) if train.batch % n == 0)
    return best if best >= max(2, longest // 4) else None


def draws_at_once(
    model: AbstractModelSection,
    estimate: EstimateSection,
    theory: AbstractTheorySection,
) -> int:
    """Configurations drawn, or given their log q, at once: which ones they are is kept.

    Where the run file does not say, as many as the model is fast with.
    """
    if estimate.batch is not None:
        return estimate.batch
    return model.draws_at_once(theory.shape)


def why_whole(model: AbstractModelSection | None, train: TrainSection) -> str | None:
    """Why a batch cannot be cut into slices; None if it can.

    That of a conditional model always can: slices are batches at different couplings.
    """
    is_conditional = model is not None and bool(model.nodes)
    if is_conditional or (train.objective, train.gradient) in admissible.ADDITIVE:
        return None
    return (
        f"{train.objective} with gradient {train.gradient} couples all configurations "
        "of a batch: leave it out"
    )
