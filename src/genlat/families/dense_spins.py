"""Spins by fully connected networks: one by one, or frame by frame."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from pydantic import Field

from genlat.families.base import Shape, Static, volume
from genlat.families.spins import (
    OF_SPIN,
    AbstractSpinSection,
    of_spins,
    why_not_flat,
)
from genlat.schema import Count, Problem
from genlat.theories.base import AbstractTheorySection

if TYPE_CHECKING:
    from jaxtyping import Array, Float, PRNGKeyArray

    from genlat.actions.base import AbstractAction
    from genlat.models.autoregressive.hierarchical import HAN
    from genlat.models.autoregressive.made import MADE
    from genlat.models.base import AbstractModel


class _Level(NamedTuple):
    """Squares of a lattice, the spins drawn in each, and those that are given too."""

    squares: int
    spins: int
    members: int


class DenseSpinSection(AbstractSpinSection):
    """Fully connected masked networks: made one by one, hierarchical frame by frame."""

    ARCHITECTURE: ClassVar[tuple[str, ...]] = ("depth", "width")
    SUMMARIES: ClassVar = {
        "made": "spins one by one, by masked dense layers",
        "hierarchical": "frames of spins inside each other, heat baths at the end",
    }
    SIZES: ClassVar[tuple[str, ...]] = ("width", "depth")

    name: Literal["made", "hierarchical"] = Field(description="family of the model")
    depth: Count = Field(default=2, description="dense layers")
    width: Count = Field(default=32, description="hidden units per spin")

    @property
    def stays_on_its_lattice(self) -> bool:
        return True

    def problems(self, theory: AbstractTheorySection) -> Iterator[Problem]:
        if self.name == "hierarchical":
            yield from self._frames(theory)
        yield from super().problems(theory)

    def _frames(self, theory: AbstractTheorySection) -> Iterator[Problem]:
        shape, extent = list(theory.shape), theory.shape[0]
        if reason := why_not_flat(theory.shape):
            yield "model.name", self.name, reason
            return
        if shape != [extent, extent] or extent < 2 or extent & (extent - 1):
            allowed = f"wants a square of extent 2, 4, 8, ..., shape is {shape}"
            yield "model.name", self.name, allowed
        for name in theory.ODD:
            if (value := getattr(theory, name)) or name in self.nodes:
                allowed = f"hierarchical has heat baths without {name}"
                yield f"theory.{name}", value, f"{allowed}: use another model"

    def training_numbers(self, shape: Shape) -> int:
        """Units of all networks, before and after they are rectified, and cotangents
        of both.
        """
        units = sum(level.squares * level.members for level in self._levels(shape))
        return 4 * self._per_member * units + OF_SPIN * volume(shape)

    def sampling_numbers(self, shape: Shape) -> int:
        """Of one network: units, and what the context gives to them."""
        units = max(level.squares * level.members for level in self._levels(shape))
        return 2 * self._per_member * units + OF_SPIN * volume(shape)

    def weights(self, shape: Shape) -> int:
        return sum(self._of_network(level) for level in self._levels(shape))

    @property
    def _per_member(self) -> int:
        """Hidden units of every spin that a network draws or sees."""
        return (self.depth - 1) * self.width

    def _of_network(self, level: _Level) -> int:
        """Weights between every two of its layers."""
        if self.depth == 1:
            return level.members * level.spins
        units = level.members * self.width
        inside = (self.depth - 2) * units**2
        return (level.members + level.spins) * units + inside

    def _levels(self, shape: Shape) -> list[_Level]:
        """One network for all spins, or one for each level of `HAN`."""
        if self.name == "made":
            return [_Level(1, volume(shape), volume(shape))]
        extent = size = max(shape)
        levels = [_Level(1, 2 * extent - 1, 2 * extent - 1)]
        while size >= 4:
            # the first cross sees the same sides to the left and to the right
            sides = 4 * (size - 1) if size < extent else 2 * (size - 1)
            cross = 2 * size - 3
            levels.append(_Level((extent // size) ** 2, cross, cross + sides))
            size //= 2
        return levels

    def build(self, action: "AbstractAction", key: "PRNGKeyArray") -> "MADE | HAN":
        spins = of_spins(action)
        return self._model(spins.lattice_shape, spins.beta, key)

    def carry(
        self, trained: "AbstractModel", action: "AbstractAction"
    ) -> "AbstractModel":
        import jax.random as jr

        from genlat.models.autoregressive.hierarchical import HAN

        if not isinstance(trained, HAN):
            return trained  # the same lattice, perhaps at other couplings
        blank = self.build(action, jr.key(0))
        assert isinstance(blank, HAN)
        return blank.with_networks_of(trained)

    def skeleton(self, theory: AbstractTheorySection, static: Static) -> "MADE | HAN":
        import jax.numpy as jnp
        import jax.random as jr

        return self._model(theory.shape, jnp.asarray(1.0, float), jr.key(0))

    def _model(
        self, shape: Shape, beta: "Float[Array, '']", key: "PRNGKeyArray"
    ) -> "MADE | HAN":
        from genlat.models.autoregressive.hierarchical import HAN
        from genlat.models.autoregressive.made import MADE

        if self.name == "made":
            return MADE(shape, key, depth=self.depth, width=self.width)
        return HAN(shape, key, beta=beta, depth=self.depth, width=self.width)
