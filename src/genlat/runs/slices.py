"""How a training batch is cut into slices, gradients being accumulated. No JAX here."""

from genlat.runs.model_sections import (
    AbstractSpinSection,
    CouplingSection,
    ModelSection,
)
from genlat.runs.sections import TrainSection
from genlat.training import admissible

# convolutions and their derivatives are fastest here, `benchmarks/coupling_step.py`;
# what networks of spins see stays in cache
OF_NETWORKS = 64
# a slice of a conditional model is at couplings of its own: four of them in a batch of
# 64 train it better than one, in the same time (docs/models.md)
OF_CONDITIONAL_MODELS = 16


def length(model: ModelSection, train: TrainSection) -> int | None:
    """Configurations per slice; None for the whole batch at once.

    Where the run file does not say, conditional models, coupling flows and models of
    spins have the longest slices that divide the batch, up to a length, if they may be
    cut.
    """
    if train.micro_batch is not None:
        return train.micro_batch
    if model.nodes:
        longest = OF_CONDITIONAL_MODELS
    elif isinstance(model, CouplingSection | AbstractSpinSection):
        longest = OF_NETWORKS
    else:
        return None
    if why_whole(train) is not None:
        return None
    best = max(n for n in range(1, longest + 1) if train.batch % n == 0)
    return best if best >= longest // 4 else None


def why_whole(train: TrainSection) -> str | None:
    """Why a batch cannot be cut into slices; None if it can."""
    if (train.objective, train.gradient) in admissible.ADDITIVE:
        return None
    return (
        f"{train.objective} with gradient {train.gradient} couples all configurations "
        "of a batch: leave it out"
    )
