"""The Gaussian that a flow starts from, as `[model]` asks for it."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from genlat.actions import gap
from genlat.actions.base import AbstractScalarAction
from genlat.models.gaussian import GaussianPair, Wells
from genlat.runs import theory
from genlat.runs.errors import RequestError
from genlat.runs.model_sections import CouplingSection, ModelSection
from genlat.runs.sections import RunConfig


class Prior(NamedTuple):
    """Arguments of `GaussianPair`, in double precision."""

    variance: Float[np.ndarray, "*lattice"]
    mean: float
    wells: Wells

    def model(self) -> GaussianPair:
        """The density itself."""
        return GaussianPair(self.variance, self.mean, self.wells)


def choose(section: ModelSection, action: AbstractScalarAction) -> Prior:
    """The prior of an untrained model of this theory.

    `prior = "normal"` has independent sites around 0 of the variance ⟨φ²⟩ that the best
    Gaussian has in either phase: one wide mode where that one has two.
    """
    if is_normal(section):
        best = gap.best_gaussian(action)
        total = float(np.mean(best.variance)) + best.mean**2
        return Prior(np.full(action.lattice_shape, total), 0.0, "both")
    if section.wells == "none":
        best = gap.best_symmetric(action)
        return Prior(best.variance, best.mean, "both")
    best = gap.best_gaussian(action)
    return Prior(best.variance, best.mean, section.wells)


def is_normal(section: ModelSection) -> bool:
    """Whether the sites of the prior are independent."""
    return isinstance(section, CouplingSection) and section.prior == "normal"


def refuse_single_well(config: RunConfig) -> None:
    """A mode can only be dropped where there are two.

    **Raises:** `RequestError` if `wells = "one"` and the best Gaussian is centred at 0.
    """
    if config.model is None or config.model.wells != "one":
        return
    if gap.best_gaussian(theory.build(config.theory)).mean == 0:
        raise RequestError(
            'model.wells = "one": this theory has no second well to drop, its best '
            "Gaussian is centred at 0"
        )
