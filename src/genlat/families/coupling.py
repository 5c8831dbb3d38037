"""Coupling flows of a run: RealNVP, NICE, splines."""

import equinox as eqx
import jax.random as jr
from jaxtyping import PRNGKeyArray

from genlat.actions.base import AbstractAction
from genlat.families import gaussian_prior
from genlat.families.base import (
    AbstractFamily,
    Shape,
    Static,
    carried_prior,
    prior_skeleton,
    static_prior,
)
from genlat.families.model_sections import CouplingSection
from genlat.models import coupling_flow
from genlat.models.base import AbstractModel
from genlat.models.flow import Flow
from genlat.models.prior import AbstractPrior
from genlat.training import transfer


class CouplingFamily(AbstractFamily):
    """Models of a `[model]` whose name is that of a coupling layer."""

    def __init__(self, section: CouplingSection):
        self.section = section

    def build(self, action: AbstractAction, key: PRNGKeyArray) -> Flow:
        prior = gaussian_prior.choose(self.section, action)
        return self._on(prior.model(), key)

    def carry(self, trained: AbstractModel, action: AbstractAction) -> Flow:
        assert isinstance(trained, Flow)
        prior = gaussian_prior.choose(self.section, action)
        shape = prior.variance.shape
        if trained.lattice_shape != shape:
            blank = self.skeleton(shape, static_prior(trained.prior))
            trained = transfer.enlarge_couplings(trained, blank)
        carried = carried_prior(trained.prior, prior)
        return eqx.tree_at(lambda flow: flow.prior, trained, carried)

    def static(self, model: AbstractModel) -> Static:
        assert isinstance(model, Flow)
        return static_prior(model.prior)

    def skeleton(self, lattice_shape: Shape, static: Static) -> Flow:
        return self._on(prior_skeleton(lattice_shape, static), jr.key(0))

    def _on(self, prior: AbstractPrior, key: PRNGKeyArray) -> Flow:
        section = self.section
        return coupling_flow.build(
            prior,
            key,
            kind=section.name,
            n_layers=section.layers,
            splitting=section.splitting,
            conditioner=section.conditioner,
            hidden=section.hidden,
            kernel_size=section.kernel_size,
            is_equivariant=section.equivariant,
            fourier=section.fourier,
            zero_mode=section.zero_mode,
        )
