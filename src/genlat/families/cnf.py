"""Continuous flows of a run."""

import jax.random as jr
from jaxtyping import PRNGKeyArray

from genlat import lattice
from genlat.actions.base import AbstractAction
from genlat.actions.declared import require
from genlat.families import gaussian_prior
from genlat.families.base import (
    AbstractFamily,
    Shape,
    Static,
    carried_prior,
    prior_skeleton,
    static_prior,
)
from genlat.families.model_sections import CnfSection
from genlat.models import cnf
from genlat.models.base import AbstractModel
from genlat.models.cnf import CNF
from genlat.models.vector_field import SineField
from genlat.training import transfer


class CnfFamily(AbstractFamily):
    """Models of a `[model]` with name = "cnf"."""

    def __init__(self, section: CnfSection):
        self.section = section

    def build(self, action: AbstractAction, key: PRNGKeyArray) -> CNF:
        require(action, lattice.SYMMETRIES, "cnf")  # its vector field has them all
        prior = gaussian_prior.choose(self.section, action)
        section = self.section
        model = cnf.build(
            prior.variance,
            prior.mean,
            key,
            n_features=section.features,
            n_channels=section.channels,
            n_kernel_terms=section.kernel_terms,
            n_mixing_terms=section.mixing_terms,
            n_steps=section.n_steps,
        )
        return model.with_prior(prior.model())

    def carry(self, trained: AbstractModel, action: AbstractAction) -> CNF:
        assert isinstance(trained, CNF)
        require(action, lattice.SYMMETRIES, "cnf")
        prior = gaussian_prior.choose(self.section, action)
        model = transfer.enlarge(trained, prior.variance.shape)
        model = model.with_steps(self.section.n_steps)
        return model.with_prior(carried_prior(model.prior, prior))

    def static(self, model: AbstractModel) -> Static:
        assert isinstance(model, CNF)
        return static_prior(model.prior)

    def skeleton(self, lattice_shape: Shape, static: Static) -> CNF:
        section = self.section
        return CNF(
            prior_skeleton(lattice_shape, static),
            SineField(
                lattice_shape,
                frequency=1.0,  # an array, read from the checkpoint
                n_features=section.features,
                n_channels=section.channels,
                n_kernel_terms=section.kernel_terms,
                n_mixing_terms=section.mixing_terms,
                key=jr.key(0),
            ),
            n_steps=section.n_steps,
        )
