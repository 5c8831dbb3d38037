"""Spins from coarse to fine."""

import math
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
    from genlat.models.autoregressive.coarse_to_fine import CoarseToFine
    from genlat.models.base import AbstractModel


class _Level(NamedTuple):
    """Classes of sites that are learned, their sites, and what one sees, at most."""

    classes: int
    sites: int
    seen: int


class CoarseToFineSection(AbstractSpinSection):
    """Spins on ever finer sublattices, each given the coarser ones."""

    ARCHITECTURE: ClassVar[tuple[str, ...]] = ("width", "depth", "reach")
    SUMMARIES: ClassVar = {
        "coarse_to_fine": "spins on ever finer sublattices, heat baths at the end"
    }
    SIZES: ClassVar[tuple[str, ...]] = ("width", "depth", "reach")

    name: Literal["coarse_to_fine"] = Field(description="family of the model")
    width: Count = Field(default=32, description="of the hidden layers")
    depth: Count = Field(default=2, description="hidden layers")
    reach: float = Field(
        default=3.5,
        ge=1,
        description="known spins within this distance are seen, in units of a level",
    )

    def problems(self, theory: AbstractTheorySection) -> Iterator[Problem]:
        from genlat.models.autoregressive import classes

        if reason := why_not_flat(theory.shape):
            yield "model.name", self.name, reason
        else:
            try:
                classes.coarsest(theory.shape)
            except ValueError as error:
                yield "theory.shape", list(theory.shape), str(error)
        yield from super().problems(theory)

    def training_numbers(self, shape: Shape) -> int:
        """What learned spins see, and their activations, of all levels at once."""
        units = self.depth * self.width
        learned = sum(
            level.sites * (level.seen + units) for level in self._levels(shape)
        )
        return learned + OF_SPIN * volume(shape)

    def sampling_numbers(self, shape: Shape) -> int:
        """What one class of sites sees, and two layers."""
        of_class = max(
            math.ceil(level.sites / level.classes) * (level.seen + 2 * self.width)
            for level in self._levels(shape)
        )
        return of_class + OF_SPIN * volume(shape)

    def weights(self, shape: Shape) -> int:
        inside = (self.depth - 1) * self.width**2
        return sum(
            level.classes * (level.seen * self.width + inside)
            for level in self._levels(shape)
        )

    def _levels(self, shape: Shape) -> list[_Level]:
        """From the finest: centres, half of them if heat baths draw the others, which
        see what is known before middles of bonds are; then all that is new; at last
        the coarsest sites.
        """
        sites = volume(shape)
        reach = min(self.reach, sites)
        within = math.ceil(math.pi * reach**2)
        n_halvings = min((extent & -extent).bit_length() - 1 for extent in shape)
        levels = []
        for number in range(n_halvings):
            new, n_classes, seen = max(3 * sites // 4, 1), 12, within
            if number == 0:
                n_classes = 4 if any(extent % 4 for extent in shape) else 2
                new, seen = max(n_classes * sites // 16, 1), math.ceil(within / 2)
            levels.append(_Level(min(n_classes, new), new, min(seen, sites)))
            sites = max(sites // 4, 1)
        return [*levels, _Level(sites, sites, sites)]

    def build(self, action: "AbstractAction", key: "PRNGKeyArray") -> "CoarseToFine":
        spins = of_spins(action)
        # whether the theory, or one of the nodes, has a field
        nodes = self.nodes.get("field", ())
        biased = bool(spins.field != 0) or any(node != 0 for node in nodes)
        return self._model(spins.lattice_shape, spins.beta, spins.field, biased, key)

    def carry(
        self, trained: "AbstractModel", action: "AbstractAction"
    ) -> "CoarseToFine":
        import jax.random as jr

        from genlat.models.autoregressive.coarse_to_fine import CoarseToFine
        from genlat.training import transfer

        assert isinstance(trained, CoarseToFine)
        return transfer.refine(trained, self.build(action, jr.key(0)))

    def static(self, model: "AbstractModel") -> Static:
        from genlat.models.autoregressive.coarse_to_fine import CoarseToFine

        assert isinstance(model, CoarseToFine)
        return {"biased": model.is_biased}

    def skeleton(self, theory: AbstractTheorySection, static: Static) -> "CoarseToFine":
        import jax.numpy as jnp
        import jax.random as jr

        one, biased = jnp.asarray(1.0, float), static["biased"]
        return self._model(theory.shape, one, one * biased, biased, jr.key(0))

    def _model(
        self,
        shape: Shape,
        beta: "Float[Array, '']",
        field: "Float[Array, '']",
        biased: bool,
        key: "PRNGKeyArray",
    ) -> "CoarseToFine":
        from genlat.models.autoregressive.coarse_to_fine import CoarseToFine

        return CoarseToFine(
            shape,
            beta,
            field,
            depth=self.depth,
            width=self.width,
            reach=self.reach,
            biased=biased,
            key=key,
        )
