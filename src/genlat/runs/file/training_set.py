"""Which stored chains a model may learn from, and which it is held against. No JAX."""

from pathlib import Path

from genlat.runs.file.sections import EstimateSection, TrainSection

FEWEST = 100  # independent configurations to train on
TOO_FEW_CHAINS = "needs at least 2 chains: some to train on, and some held out"


def split(chains: int, held_out: float) -> int | None:
    """How many chains, the first ones, are trained on; None if there are too few.

    The same split as `genlat.training.data.split_chains`.
    """
    if chains < 2:
        return None
    return chains - min(max(round(held_out * chains), 1), chains - 1)


def is_evaluated(train: TrainSection, estimate: EstimateSection) -> bool:
    """Whether the samples of p are those of the ensemble that training draws from."""
    if not train.needs_data or train.on_own_draws:
        return False
    return _place(train.data) == _place(estimate.p_samples)


def _place(name: str) -> str:
    return name if name == "chain" else str(Path(name).resolve())
