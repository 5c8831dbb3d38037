"""How many configurations are worked on at once, on a CPU. No JAX here."""

import math

from genlat.families.model_sections import (
    AbstractSpinSection,
    CouplingSection,
    ModelSection,
)
from genlat.runs.file.sections import EstimateSection, TrainSection
from genlat.theories.base import AbstractTheorySection
from genlat.training import admissible

# networks of spins: what they see stays in cache
OF_NETWORKS = 64
# so do neighbourhoods of convolutions, of this many sites (benchmarks/coupling_step.py)
SITES = 2048
# a slice of a conditional model is at couplings of its own: four of them in a batch of
# 64 train it better than one, in the same time (docs/models.md)
OF_CONDITIONAL_MODELS = 16
DRAWS = 500


def length(
    model: ModelSection, train: TrainSection, theory: AbstractTheorySection
) -> int | None:
    """Configurations per slice of a batch; None for the whole batch at once.

    Where the run file does not say, conditional models, coupling flows and models of
    spins have the longest slices that divide the batch, up to a length, if they may be
    cut.
    """
    if train.micro_batch is not None:
        return train.micro_batch
    if model.nodes:
        longest = OF_CONDITIONAL_MODELS
    elif isinstance(model, CouplingSection | AbstractSpinSection):
        longest = _in_cache(model, theory)
    else:
        return None
    if why_whole(model, train) is not None:
        return None
    best = max(n for n in range(1, longest + 1) if train.batch % n == 0)
    return best if best >= max(2, longest // 4) else None


def draws_at_once(
    model: ModelSection, estimate: EstimateSection, theory: AbstractTheorySection
) -> int:
    """Configurations drawn, or given their log q, at once: which ones they are is kept.

    Where the run file does not say, as many as convolutions are fast with, or `DRAWS`.
    """
    if estimate.batch is not None:
        return estimate.batch
    return _in_cache(model, theory) if _is_convolution(model) else DRAWS


def _is_convolution(model: ModelSection) -> bool:
    return isinstance(model, CouplingSection) and model.conditioner == "conv"


def _in_cache(model: ModelSection, theory: AbstractTheorySection) -> int:
    if _is_convolution(model):
        return min(max(SITES // math.prod(theory.shape), 4), OF_NETWORKS)
    return OF_NETWORKS


def why_whole(model: ModelSection | None, train: TrainSection) -> str | None:
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
