"""Models of spins ±1 of a run."""

import jax.random as jr
from jaxtyping import PRNGKeyArray

from genlat.actions.base import AbstractAction
from genlat.actions.ising import Ising
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
    """Models of a `[model]` for the Ising theory."""

    def __init__(
        self, section: CoarseToFineSection | PixelCnnSection | DenseSpinSection
    ):
        self.section = section

    def build(self, action: AbstractAction, key: PRNGKeyArray) -> AbstractModel:
        assert isinstance(action, Ising)  # others are refused with the run file
        return self._model(action, key)

    def carry(self, trained: AbstractModel, action: AbstractAction) -> AbstractModel:
        assert isinstance(action, Ising)
        blank = self._model(action, jr.key(0))
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
        field = 1.0 if static["biased"] else 0.0
        return self._model(Ising(lattice_shape, 1.0, field), jr.key(0))

    def _model(self, action: Ising, key: PRNGKeyArray) -> AbstractModel:
        section, shape = self.section, action.lattice_shape
        size = {"depth": section.depth, "width": section.width}
        if isinstance(section, CoarseToFineSection):
            return CoarseToFine(
                shape,
                action.beta,
                action.field,
                **size,
                reach=section.reach,
                biased=self._is_biased(action),
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
        return HAN(shape, key, beta=action.beta, **size)

    def _is_biased(self, action: Ising) -> bool:
        """Whether the theory, or one of the nodes, has a field."""
        nodes = self.section.nodes.get("field", ())
        return bool(action.field != 0) or any(node != 0 for node in nodes)
