"""How a training batch is cut into slices, gradients being accumulated. No JAX here."""

from genlat.runs.model_sections import CouplingSection, ModelSection
from genlat.runs.sections import TrainSection
from genlat.training import admissible

# convolutions and their derivatives are fastest here, `benchmarks/coupling_step.py`
LONGEST = 64


def length(model: ModelSection, train: TrainSection) -> int | None:
    """Configurations per slice; None for the whole batch at once.

    Where the run file does not say, coupling flows have the longest slices that divide
    the batch, up to `LONGEST`, if they may be cut.
    """
    if train.micro_batch is not None:
        return train.micro_batch
    if not isinstance(model, CouplingSection) or why_whole(model, train) is not None:
        return None
    divisors = [n for n in range(1, LONGEST + 1) if train.batch % n == 0]
    return max(divisors) if max(divisors) >= LONGEST // 4 else None


def why_whole(model: ModelSection, train: TrainSection) -> str | None:
    """Why a batch cannot be cut into slices; None if it can."""
    if (train.objective, train.gradient) not in admissible.ADDITIVE:
        return (
            f"{train.objective} with gradient {train.gradient} couples all "
            "configurations of a batch: leave it out"
        )
    if model.nodes:
        return "a step of a conditional model is at one coupling: leave it out"
    return None
