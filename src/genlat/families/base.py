"""What a run needs of a family of models: how they are made."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from jaxtyping import PRNGKeyArray

from genlat.actions.base import AbstractAction
from genlat.families.gaussian_prior import Prior
from genlat.models.base import AbstractModel
from genlat.models.gaussian import GaussianPair
from genlat.models.phase_mixture import PhaseMixture
from genlat.models.prior import AbstractPrior

# what a checkpoint, which has arrays only, does not hold of a model
Static = dict[str, Any]
Shape = tuple[int, ...]


class AbstractFamily(ABC):
    """Models are made anew, from a trained one, and as skeletons of what is on disk."""

    @abstractmethod
    def build(self, action: AbstractAction, key: PRNGKeyArray) -> AbstractModel:
        """An untrained model of this theory."""

    @abstractmethod
    def carry(self, trained: AbstractModel, action: AbstractAction) -> AbstractModel:
        """A trained model as the first guess for this theory.

        A flow keeps its prior unless the one of this theory is in the other phase.
        """

    @abstractmethod
    def static(self, model: AbstractModel) -> Static:
        """What a checkpoint does not hold of `model`, for JSON."""

    @abstractmethod
    def skeleton(self, lattice_shape: Shape, static: Static) -> AbstractModel:
        """A model with the leaves of one that is on disk."""


def carried_prior(trained: AbstractPrior, prior: Prior) -> AbstractPrior:
    """The prior of a trained model, or `prior` if that is in other phases.

    Both phases at once are good for any, unless the run file names another prior.
    """
    if isinstance(trained, PhaseMixture):
        is_fit = prior.symmetric is not None or prior.is_derived
        return trained if is_fit else prior.model()
    if prior.symmetric is not None:
        return prior.model()
    assert isinstance(trained, GaussianPair)
    if (trained.mean is not None) == (prior.mean > 0):
        return trained.in_wells(prior.wells)
    return prior.model()


def static_prior(prior: AbstractPrior) -> Static:
    """What a checkpoint does not hold of a prior."""
    if isinstance(prior, PhaseMixture):
        return {"is_pair": True, "wells": "mixed"}
    assert isinstance(prior, GaussianPair)
    return {"is_pair": prior.mean is not None, "wells": prior.wells}


def prior_skeleton(lattice_shape: Shape, static: Static) -> AbstractPrior:
    """A prior with the leaves of one that is on disk."""
    ones = np.ones(lattice_shape)
    if static["wells"] == "mixed":
        return PhaseMixture(GaussianPair(ones, 1.0), GaussianPair(ones), 0.5)
    mean = 1.0 if static["is_pair"] else 0.0
    return GaussianPair(ones, mean, static["wells"])
