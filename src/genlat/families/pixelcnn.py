"""Spins one by one, by masked convolutions."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from genlat.families.base import Shape, Static, volume
from genlat.families.spins import AbstractSpinSection, of_spins, why_not_flat
from genlat.schema import Count, Int, Problem
from genlat.theories.base import AbstractTheorySection

if TYPE_CHECKING:
    from jaxtyping import PRNGKeyArray

    from genlat.actions.base import AbstractAction
    from genlat.models.autoregressive.pixel_cnn import PixelCNN
    from genlat.models.base import AbstractModel


class PixelCnnSection(AbstractSpinSection):
    """Spins one by one in raster order, by masked convolutions."""

    ARCHITECTURE: ClassVar[tuple[str, ...]] = ("half_kernel", "depth", "width", "block")
    SUMMARIES: ClassVar = {"pixelcnn": "spins one by one, by masked convolutions"}
    SIZES: ClassVar[tuple[str, ...]] = ("width", "depth", "half_kernel")

    name: Literal["pixelcnn"] = Field(description="family of the model")
    half_kernel: Count = Field(default=3, description="k, for kernels of extent 2k + 1")
    depth: Int = Field(default=3, ge=2, description="masked convolutions")
    width: Count = Field(default=32, description="channels in between")
    block: Literal["plain", "residual", "gated"] = Field(
        default="residual", description="what is around a convolution"
    )

    @property
    def stays_on_its_lattice(self) -> bool:
        return True

    def problems(self, theory: AbstractTheorySection) -> Iterator[Problem]:
        shape, k = list(theory.shape), self.half_kernel
        if reason := why_not_flat(theory.shape):
            yield "model.name", self.name, reason
        elif k >= shape[0] or 2 * k + 1 > shape[1]:
            allowed = f"kernels of {2 * k + 1} do not fit the shape {shape}"
            yield "model.half_kernel", k, allowed
        yield from super().problems(theory)

    def training_numbers(self, shape: Shape) -> int:
        return 3 * self.sampling_numbers(shape)

    def sampling_numbers(self, shape: Shape) -> int:
        window = (2 * self.half_kernel + 1) * (self.half_kernel + 1)
        return volume(shape) * self.width * (window + 2 * self.depth)

    def weights(self, shape: Shape) -> int:
        window = (2 * self.half_kernel + 1) ** 2
        return window * self.width * (1 + (self.depth - 2) * self.width)

    def build(self, action: "AbstractAction", key: "PRNGKeyArray") -> "PixelCNN":
        return self._model(of_spins(action).lattice_shape, key)

    def carry(
        self, trained: "AbstractModel", action: "AbstractAction"
    ) -> "AbstractModel":
        return trained  # the same lattice, perhaps at other couplings

    def skeleton(self, lattice_shape: Shape, static: Static) -> "PixelCNN":
        import jax.random as jr

        return self._model(lattice_shape, jr.key(0))

    def _model(self, shape: Shape, key: "PRNGKeyArray") -> "PixelCNN":
        from genlat.models.autoregressive.pixel_cnn import PixelCNN

        return PixelCNN(
            shape,
            key,
            half_kernel=self.half_kernel,
            depth=self.depth,
            width=self.width,
            block=self.block,
        )
