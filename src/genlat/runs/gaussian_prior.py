"""The Gaussian that a flow starts from, as `[model]` asks for it."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from genlat.actions import gap
from genlat.actions.base import AbstractAction, AbstractScalarAction
from genlat.models.gaussian import GaussianPair, Wells
from genlat.models.phase_mixture import PhaseMixture
from genlat.models.prior import AbstractPrior
from genlat.runs import theory
from genlat.runs.errors import RequestError
from genlat.runs.model_sections import AbstractFlowSection, CouplingSection
from genlat.runs.sections import RunConfig


class Symmetric(NamedTuple):
    """The Gaussian around 0 of a `PhaseMixture`, and its share."""

    variance: Float[np.ndarray, "*lattice"]
    share: float


class Prior(NamedTuple):
    """Arguments of `GaussianPair`, in double precision; those of the second phase."""

    variance: Float[np.ndarray, "*lattice"]
    mean: float
    wells: Wells
    symmetric: Symmetric | None = None

    def model(self) -> AbstractPrior:
        """The density itself."""
        gaussian = GaussianPair(self.variance, self.mean, self.wells)
        if self.symmetric is None:
            return gaussian
        around_0 = GaussianPair(self.symmetric.variance)
        return PhaseMixture(gaussian.as_pair(), around_0, self.symmetric.share)


def choose(section: AbstractFlowSection, action: AbstractAction) -> Prior:
    """The prior of an untrained flow of this theory.

    `prior = "normal"` has independent sites around 0 of the variance ⟨φ²⟩ that the best
    Gaussian has in either phase: one wide mode where that one has two.
    """
    assert isinstance(action, AbstractScalarAction)  # flows are of no other fields
    if is_normal(section):
        best = gap.best_gaussian(action)
        total = float(np.mean(best.variance)) + best.mean**2
        return Prior(np.full(action.lattice_shape, total), 0.0, "both")
    if section.wells == "none":
        best = gap.best_symmetric(action)
        return Prior(best.variance, best.mean, "both")
    if section.wells == "mixed":
        return _both_phases(action)
    best = gap.best_gaussian(action)
    return Prior(best.variance, best.mean, section.wells)


def _both_phases(action: AbstractScalarAction) -> Prior:
    """±v and around 0; twice around 0 where no v solves the gap equation."""
    symmetric = gap.best_symmetric(action)
    broken = gap.best_broken(action) or symmetric
    is_broken = broken.free_energy < symmetric.free_energy
    share = _MINOR_SHARE if is_broken else 1 - _MINOR_SHARE
    around_0 = Symmetric(symmetric.variance, share)
    return Prior(broken.variance, broken.mean, "both", around_0)


# of the phase with the higher free energy, before training: enough to learn from
_MINOR_SHARE = 0.1


def is_normal(section: AbstractFlowSection) -> bool:
    """Whether the sites of the prior are independent."""
    return isinstance(section, CouplingSection) and section.prior == "normal"


def refuse_single_well(config: RunConfig) -> None:
    """A mode can only be dropped where there are two.

    **Raises:** `RequestError` if `wells = "one"` and the best Gaussian is centred at 0.
    """
    model = config.model
    if not isinstance(model, AbstractFlowSection) or model.wells != "one":
        return
    action = theory.build(config.theory)
    assert isinstance(action, AbstractScalarAction)  # others have no such models
    if gap.best_gaussian(action).mean == 0:
        raise RequestError(
            'model.wells = "one": this theory has no second well to drop, its best '
            "Gaussian is centred at 0"
        )
