"""Continuous flows."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from genlat.families.base import Shape, Static, volume
from genlat.families.flows import AbstractFlowSection
from genlat.groups import REAL, VECTORS, Space
from genlat.schema import Count, Int, Problem
from genlat.theories.base import OF_NUMBERS, AbstractTheorySection, Moves

if TYPE_CHECKING:
    from jaxtyping import PRNGKeyArray

    from genlat.actions.base import AbstractAction
    from genlat.models.base import AbstractModel
    from genlat.models.cnf import CNF


class CnfSection(AbstractFlowSection):
    """A continuous flow; without a [model] the chain runs alone."""

    SPACES: ClassVar[tuple[Space, ...]] = (REAL, VECTORS)

    ARCHITECTURE: ClassVar[tuple[str, ...]] = (
        "features",
        "channels",
        "kernel_terms",
        "mixing_terms",
    )
    SUMMARIES: ClassVar = {
        "cnf": "continuous flow from the best Gaussian, exact likelihood"
    }
    SIZES: ClassVar[tuple[str, ...]] = ARCHITECTURE

    name: Literal["cnf"] = Field(default="cnf", description="family of the model")
    features: Int = Field(
        default=8, ge=2, description="sine features of the vector field"
    )
    channels: Count = Field(default=4, description="convolved mixtures of the features")
    kernel_terms: Count = Field(default=6, description="Legendre terms of the kernels")
    mixing_terms: Count = Field(default=4, description="Legendre terms of the mixtures")
    n_steps: Count = Field(default=6, description="Runge-Kutta steps in training")

    @property
    def is_integrated(self) -> bool:
        return True

    @property
    def passes(self) -> int:
        return self.n_steps

    def problems(self, theory: AbstractTheorySection) -> Iterator[Problem]:
        yield from super().problems(theory)
        if cause := theory.breaks_sign:
            allowed = f"is odd, and {cause} breaks φ → -φ: use realnvp, nice or spline"
            yield "model.name", self.name, allowed
        elif lacking := _lacking(theory):
            reasons = "; ".join(theory.why_no_symmetry(name) for name in lacking)
            allowed = f"has all symmetries of the lattice, and {reasons}"
            yield "model.name", self.name, f"{allowed}: use realnvp, nice or spline"

    def training_numbers(self, shape: Shape) -> int:
        """A state per Runge-Kutta step, and the four stages of the one run again."""
        return volume(shape) * (self.n_steps + 4 * self._stage)

    def sampling_numbers(self, shape: Shape) -> int:
        """One stage, and the configuration that was drawn and is put out."""
        return volume(shape) * (self._stage + 2)

    @property
    def _stage(self) -> int:
        """Sines, channels, their modes; modes and angles with their sine and cosine."""
        return self.features + 2 * self.channels + 4

    def weights(self, shape: Shape) -> int:
        numbers = self.channels * (self.kernel_terms + self.features)
        return numbers + self.channels * self.mixing_terms * self.features

    def build(self, action: "AbstractAction", key: "PRNGKeyArray") -> "CNF":
        from genlat.families import gaussian_prior
        from genlat.models import cnf

        _require_symmetries(action)
        prior = gaussian_prior.choose(self, action)
        model = cnf.build(
            prior.variance,
            prior.mean,
            key,
            n_features=self.features,
            n_channels=self.channels,
            n_kernel_terms=self.kernel_terms,
            n_mixing_terms=self.mixing_terms,
            n_steps=self.n_steps,
            components=action.components,
        )
        return model.with_prior(prior.model())

    def carry(self, trained: "AbstractModel", action: "AbstractAction") -> "CNF":
        from genlat.families import gaussian_prior
        from genlat.models.cnf import CNF
        from genlat.training import transfer

        assert isinstance(trained, CNF)
        _require_symmetries(action)
        prior = gaussian_prior.choose(self, action)
        model = transfer.enlarge(trained, prior.variance.shape)
        model = model.with_steps(self.n_steps)
        return model.with_prior(gaussian_prior.carried(model.prior, prior))

    def skeleton(self, theory: AbstractTheorySection, static: Static) -> "CNF":
        import jax.random as jr

        from genlat.families import gaussian_prior
        from genlat.models.cnf import CNF
        from genlat.models.vector_field import SineField

        prior = gaussian_prior.skeleton(theory.shape, static)
        return CNF(
            prior,
            SineField(
                theory.shape,
                frequency=1.0,  # an array, read from the checkpoint
                n_features=self.features,
                n_channels=self.channels,
                n_kernel_terms=self.kernel_terms,
                n_mixing_terms=self.mixing_terms,
                key=jr.key(0),
                components=prior.components,
            ),
            n_steps=self.n_steps,
        )


def _lacking(theory: AbstractTheorySection) -> list[Moves]:
    return [name for name in OF_NUMBERS if name not in theory.symmetries]


def _require_symmetries(action: "AbstractAction") -> None:
    """Its vector field has them all, and those of components."""
    from genlat import symmetry
    from genlat.actions.declared import require

    rotations = ("rotations",) if action.components else ()
    require(action, (*symmetry.LATTICE, *rotations), "cnf")
