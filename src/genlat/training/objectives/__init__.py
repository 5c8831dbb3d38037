"""What training minimises: objectives whose autodiff gradient is the one wanted.

Each is an estimate from one batch, and says through `why_unfit` for which models its
gradient is what its docstring states.
"""

from collections.abc import Callable

from genlat.training import admissible
from genlat.training.objectives.alpha import AlphaDivergence, ReinforceAlphaDivergence
from genlat.training.objectives.base import AbstractObjective
from genlat.training.objectives.forward import ForwardKL, PathForwardKL, SymmetricKL
from genlat.training.objectives.reverse import (
    LogVariance,
    PathReverseKL,
    ReinforceReverseKL,
    ReverseKL,
)

__all__ = [
    "ADMISSIBLE",
    "AbstractObjective",
    "AlphaDivergence",
    "ForwardKL",
    "LogVariance",
    "PathForwardKL",
    "PathReverseKL",
    "ReinforceAlphaDivergence",
    "ReinforceReverseKL",
    "ReverseKL",
    "SymmetricKL",
]

# How every pair of names in `admissible` is built, or why it is refused. Arguments are
# those of `admissible.NEEDS`, by name.
ADMISSIBLE: dict[tuple[str, str], Callable[..., AbstractObjective] | str] = {
    ("reverse_kl", "path"): PathReverseKL,
    ("reverse_kl", "total"): ReverseKL,
    ("reverse_kl", "reinforce"): ReinforceReverseKL,
    ("forward_kl", "path"): PathForwardKL,
    ("forward_kl", "total"): ForwardKL,
    ("symmetric_kl", "path"): SymmetricKL.path,
    ("symmetric_kl", "total"): SymmetricKL.total,
    ("alpha", "total"): AlphaDivergence,
    ("alpha", "reinforce"): ReinforceAlphaDivergence,
    ("log_variance", "reinforce"): LogVariance,
    **admissible.REFUSED,
}
