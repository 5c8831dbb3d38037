"""Spins one by one, by masked convolutions."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from genlat.families.base import Shape, Static, volume
from genlat.families.spins import (
    OF_SPIN,
    AbstractSpinSection,
    of_spins,
    why_not_flat,
)
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
        """Of every block what goes in, through, and out, with cotangents; of one, the
        work of a step back.

        The work is some 3k columns around the cotangents, and their copy for the
        product, the products for k rows and k rows of what went in. Cotangents of the
        logit are one channel.
        """
        k, hidden = self.half_kernel, self.depth - 2
        work = 6 * k * (self._outputs if hidden else 1) + 2 * k * self.width
        kept = 5 * hidden * self._outputs
        return volume(shape) * (work + kept + (2 * k + 1) ** 2 + OF_SPIN)

    def sampling_numbers(self, shape: Shape) -> int:
        """Of a row: of every block what it adds to the next k, as it was, as it is and
        what is new, and its columns; of one block, their windows, twice.
        """
        k, hidden = self.half_kernel, self.depth - 2
        blocks = hidden * (3 * k * self._outputs + 2 * self.width)
        windows = 2 * (2 * k + 1) * self.width
        return shape[-1] * (blocks + windows) + OF_SPIN * volume(shape)

    @property
    def _outputs(self) -> int:
        """Channels that a convolution in between puts out."""
        return 2 * self.width if self.block == "gated" else self.width

    def weights(self, shape: Shape) -> int:
        window = (2 * self.half_kernel + 1) ** 2
        return window * self.width * (1 + (self.depth - 2) * self.width)

    def build(self, action: "AbstractAction", key: "PRNGKeyArray") -> "PixelCNN":
        return self._model(of_spins(action).lattice_shape, key)

    def carry(
        self, trained: "AbstractModel", action: "AbstractAction"
    ) -> "AbstractModel":
        return trained  # the same lattice, perhaps at other couplings

    def skeleton(self, theory: AbstractTheorySection, static: Static) -> "PixelCNN":
        import jax.random as jr

        return self._model(theory.shape, jr.key(0))

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
