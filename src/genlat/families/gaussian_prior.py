"""The Gaussian that a flow starts from, as `[model]` asks for it."""

import itertools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from genlat import symmetry
from genlat.actions import gap, phases, sampled_gap
from genlat.actions.base import (
    AbstractAction,
    AbstractContinuousAction,
    AbstractScalarAction,
    AnyScalar,
)
from genlat.actions.declared import (
    is_in_field,
    is_scalar,
    is_vector,
    require,
    without_field,
)
from genlat.families.base import AbstractModelSection, Shape, Static
from genlat.families.flows import AbstractFlowSection
from genlat.models.gaussian import GaussianPair, Wells
from genlat.models.gaussian_vectors import GaussianVectors
from genlat.models.phase_mixture import PhaseMixture
from genlat.models.prior import AbstractPrior
from genlat.training.across import with_coupling


class Symmetric(NamedTuple):
    """The Gaussian around 0 of a `PhaseMixture`, and its share."""

    variance: Float[np.ndarray, "*lattice"]
    share: float


class Prior(NamedTuple):
    """Arguments of `GaussianPair`, in double precision; those of the second phase.

    Of components it is that of `GaussianVectors`.
    """

    variance: Float[np.ndarray, "*lattice"]
    mean: float
    wells: Wells
    symmetric: Symmetric | None = None
    is_derived: bool = False  # from the theory, with no word of the run file
    components: tuple[int, ...] = ()

    def model(self) -> AbstractPrior:
        """The density itself."""
        if self.components:
            return GaussianVectors(self.variance, *self.components)
        gaussian = GaussianPair(self.variance, self.mean, self.wells)
        if self.symmetric is None:
            return gaussian
        around_0 = GaussianPair(self.symmetric.variance)
        return PhaseMixture(gaussian.as_pair(), around_0, self.symmetric.share)


def choose(section: AbstractFlowSection, action: AbstractAction) -> Prior:
    """The prior of an untrained flow of this theory.

    `prior = "normal"` has independent sites around 0 of the variance ⟨φ²⟩ that the best
    Gaussian has in either phase: one wide mode where that one has two. In a field the
    best Gaussian stands around a mean of its own.

    An S that is not that of couplings known here has one Gaussian, found by averages:
    of the pair ±v where it declares the sign.

    **Raises:** `ValueError` for S of known couplings that does not declare the
    symmetries that these densities have, but for the sign in a field; for another one
    of several components.
    """
    if not _is_hopping(action):
        return _of_field(section, action)
    require(without_field(action), symmetry.LATTICE, "the Gaussian prior")
    if is_vector(action):
        best = gap.best_of_vectors(action)
        return Prior(best.variance, best.mean, "both", components=action.components)
    assert isinstance(action, AnyScalar)  # flows are of no other fields
    if section.has_normal_prior:
        best = gap.best_gaussian(action)
        total = float(np.mean(best.variance)) + best.mean**2
        return Prior(np.full(action.lattice_shape, total), 0.0, "both")
    if is_in_field(action):
        best = gap.best_gaussian(action)
        return Prior(best.variance, best.mean, "one")
    assert isinstance(action, AbstractScalarAction)
    if section.wells == "auto":
        derived = section.model_copy(update={"wells": _derived([action])})
        return choose(derived, action)._replace(is_derived=True)
    if section.wells == "none":
        best = gap.best_symmetric(action)
        return Prior(best.variance, best.mean, "both")
    if section.wells == "mixed":
        return _both_phases(action)
    best = gap.best_gaussian(action)
    return Prior(best.variance, best.mean, section.wells)


def _is_hopping(action: AbstractAction) -> bool:
    """Whether S is that of a hopping, a quartic potential and a field alone."""
    return is_scalar(action) or is_in_field(action) or is_vector(action)


def _of_field(section: AbstractFlowSection, action: AbstractAction) -> Prior:
    """As `choose`, but for what the run file says of phases: none are known."""
    if not isinstance(action, AbstractContinuousAction) or action.components:
        who = type(action).__name__
        raise ValueError(f"{who}: no Gaussian prior is known of such a field")
    best = sampled_gap.best_gaussian(action)
    if section.has_normal_prior:
        total = float(np.mean(best.variance)) + best.mean**2
        return Prior(np.full(action.lattice_shape, total), 0.0, "both")
    wells = "both" if "sign" in action.symmetries else "one"
    return Prior(best.variance, best.mean, wells)


def settled(
    section: AbstractModelSection, action: AbstractAction
) -> AbstractModelSection:
    """The section with the wells that it leaves open, of all nodes if there are any.

    The prior holds what any of its theories may contain: both phases where nodes are in
    different ones. A node given twice says itself which phase is where.
    """
    if not isinstance(section, AbstractFlowSection) or section.wells != "auto":
        return section
    if not is_scalar(action):  # one Gaussian at every coupling
        return section
    actions = []
    for couplings in itertools.product(*section.nodes.values()):
        node = action
        for name, value in zip(section.nodes, couplings, strict=True):
            node = with_coupling(node, name, value)
        assert isinstance(node, AbstractScalarAction)
        actions.append(node)
    return section.model_copy(update={"wells": _derived(actions)})


def _derived(actions: list[AbstractScalarAction]) -> str:
    """`wells` of the phases that the theories may contain."""
    found = {phases.of(action) for action in actions}
    if found == {"symmetric"}:
        return "none"
    return "both" if found == {"broken"} else "mixed"


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


def carried(trained: AbstractPrior, prior: Prior) -> AbstractPrior:
    """The prior of a trained model, or `prior` if that is in another phase or well.

    Both phases at once are good for any, unless the run file names another prior.
    """
    if isinstance(trained, GaussianVectors):
        return trained
    if isinstance(trained, PhaseMixture):
        is_fit = prior.symmetric is not None or prior.is_derived
        return trained if is_fit else prior.model()
    if prior.symmetric is not None:
        return prior.model()
    assert isinstance(trained, GaussianPair)
    mean = 0.0 if trained.mean is None else float(trained.mean)
    if np.sign(mean) == np.sign(prior.mean):
        return trained.in_wells(prior.wells)
    return prior.model()


def static_of(prior: AbstractPrior) -> Static:
    """What a checkpoint does not hold of a prior."""
    if isinstance(prior, GaussianVectors):
        return {"components": prior.n_components}
    if isinstance(prior, PhaseMixture):
        return {"is_pair": True, "wells": "mixed"}
    assert isinstance(prior, GaussianPair)
    return {"is_pair": prior.mean is not None, "wells": prior.wells}


def skeleton(lattice_shape: Shape, static: Static) -> AbstractPrior:
    """A prior with the leaves of one that is on disk."""
    ones = np.ones(lattice_shape)
    if "components" in static:
        return GaussianVectors(ones, static["components"])
    if static["wells"] == "mixed":
        return PhaseMixture(GaussianPair(ones, 1.0), GaussianPair(ones), 0.5)
    mean = 1.0 if static["is_pair"] else 0.0
    return GaussianPair(ones, mean, static["wells"])
