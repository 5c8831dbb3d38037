"""Models of spins ±1 of a run."""

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from genlat.actions.base import AbstractAction, AbstractSpinAction
from genlat.families.base import AbstractFamily, Shape, Static
from genlat.families.model_sections import (
    CoarseToFineSection,
    DenseSpinSection,
    PixelCnnSection,
)
from genlat.models.autoregressive.coarse_to_fine import CoarseToFine
from genlat.models.autoregressive.hierarchical import HAN
from genlat.models.autoregressive.made import MADE
from genlat.models.autoregressive.pixel_cnn import PixelCNN
from genlat.models.base import AbstractModel
from genlat.training import transfer


class SpinFamily(AbstractFamily):
    """Models of a `[model]` for spins ±1."""

    def __init__(
        self, section: CoarseToFineSection | PixelCnnSection | DenseSpinSection
    ):
        self.section = section

    def build(self, action: AbstractAction, key: PRNGKeyArray) -> AbstractModel:
        assert isinstance(action, AbstractSpinAction)  # refused with the run file
        return self._model(action.lattice_shape, action.beta, action.field, key)

    def carry(self, trained: AbstractModel, action: AbstractAction) -> AbstractModel:
        blank = self.build(action, jr.key(0))
        if isinstance(trained, CoarseToFine):
            assert isinstance(blank, CoarseToFine)
            return transfer.refine(trained, blank)
        # the same lattice, perhaps at other couplings
        if isinstance(trained, HAN):
            assert isinstance(blank, HAN)
            return blank.with_networks_of(trained)
        return trained

    def static(self, model: AbstractModel) -> Static:
        return {"biased": isinstance(model, CoarseToFine) and model.is_biased}

    def skeleton(self, lattice_shape: Shape, static: Static) -> AbstractModel:
        field = jnp.asarray(1.0 if static["biased"] else 0.0)
        return self._model(lattice_shape, jnp.asarray(1.0), field, jr.key(0))

    def _model(
        self,
        shape: Shape,
        beta: Float[Array, ""],
        field: Float[Array, ""],
        key: PRNGKeyArray,
    ) -> AbstractModel:
        section = self.section
        size = {"depth": section.depth, "width": section.width}
        if isinstance(section, CoarseToFineSection):
            return CoarseToFine(
                shape,
                beta,
                field,
                **size,
                reach=section.reach,
                biased=self._is_biased(field),
                key=key,
            )
        if isinstance(section, PixelCnnSection):
            return PixelCNN(
                shape,
                key,
                half_kernel=section.half_kernel,
                **size,
                block=section.block,
            )
        if section.name == "made":
            return MADE(shape, key, **size)
        return HAN(shape, key, beta=beta, **size)

    def _is_biased(self, field: Float[Array, ""]) -> bool:
        """Whether the theory, or one of the nodes, has a field."""
        nodes = self.section.nodes.get("field", ())
        return bool(field != 0) or any(node != 0 for node in nodes)
