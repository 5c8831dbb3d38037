"""Coupling flows: RealNVP, NICE, splines."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from genlat.families.base import DRAWS, Shape, Static, of_layers, volume
from genlat.families.flows import AbstractFlowSection
from genlat.schema import LISTED, Count, Int, Problem
from genlat.theories.base import AbstractTheorySection

if TYPE_CHECKING:
    from jaxtyping import PRNGKeyArray

    from genlat.actions.base import AbstractAction
    from genlat.models.base import AbstractModel
    from genlat.models.flow import Flow
    from genlat.models.prior import AbstractPrior

# neighbourhoods of convolutions stay in cache, of this many sites
# (benchmarks/coupling_step.py)
SITES, LONGEST = 2048, 64


class CouplingSection(AbstractFlowSection):
    """A coupling flow: realnvp (affine), nice (additive) or spline."""

    ARCHITECTURE: ClassVar[tuple[str, ...]] = (
        *("prior", "layers", "splitting", "conditioner", "hidden", "kernel_size"),
        *("equivariant", "fourier", "zero_mode"),
    )
    SUMMARIES: ClassVar = {
        "realnvp": "coupling flow of affine layers",
        "nice": "coupling flow of additive layers: every layer keeps volume",
        "spline": "coupling flow of rational-quadratic splines",
    }
    SIZES: ClassVar[tuple[str, ...]] = ("layers", "hidden", "kernel_size")
    PULLS_BACK: ClassVar[bool] = True
    # fields that the conditioner of a layer puts out
    OUTPUTS: ClassVar[dict[str, int]] = {"nice": 1, "realnvp": 2, "spline": 25}

    name: Literal["realnvp", "nice", "spline"] = Field(
        description="family of the model"
    )
    prior: Literal["gaussian", "normal"] = Field(
        default="gaussian",
        description='"gaussian", the best one for the theory, or "normal", independent '
        "sites of its ⟨φ²⟩",
    )
    layers: Int = Field(default=16, ge=2, description="coupling layers")
    splitting: Literal["checkerboard", "stripe", "even_odd"] = Field(
        default="checkerboard",
        description="which half of the sites every layer moves",
    )
    conditioner: Literal["conv", "dense"] = Field(
        default="conv", description="network of a layer"
    )
    hidden: Annotated[tuple[Count, ...], LISTED] = Field(
        default=(16, 16, 16), description="widths of its hidden layers"
    )
    kernel_size: Count = Field(
        default=3, description="conv: extent of the kernels, odd"
    )
    equivariant: bool = Field(
        default=False, description="odd networks: q(-φ) = q(φ) by construction"
    )
    fourier: bool = Field(
        default=False,
        description="a learned rescaling of the Fourier modes; nice always has it",
    )
    zero_mode: bool = Field(
        default=False, description="a learned bimodal map of the magnetisation"
    )

    @property
    def has_normal_prior(self) -> bool:
        return self.prior == "normal"

    @property
    def stays_on_its_lattice(self) -> bool:
        return self.conditioner == "dense"

    @property
    def passes(self) -> int:
        return self.layers

    def problems(self, theory: AbstractTheorySection) -> Iterator[Problem]:
        shape = list(theory.shape)
        if self.prior == "normal" and self.wells in ("one", "none", "mixed"):
            allowed = 'prior = "normal" has no wells: leave it out'
            yield "model.wells", self.wells, allowed
        if self.equivariant and (cause := theory.breaks_sign):
            allowed = f"makes q even, and {cause} breaks φ → -φ: leave it out"
            yield "model.equivariant", self.equivariant, allowed
        if volume(theory.shape) < 2:
            yield "model.name", self.name, "a coupling needs at least two sites"
        if self.splitting != "even_odd" and any(n % 2 and n > 1 for n in shape):
            allowed = f"a {self.splitting} needs even extents, shape is {shape}"
            yield "model.splitting", self.splitting, allowed
        if self.conditioner == "conv":
            yield from self._convolution(shape)
        yield from super().problems(theory)

    def _convolution(self, shape: list[int]) -> Iterator[Problem]:
        if len(shape) > 3:
            allowed = f"convolutions have at most 3 axes, shape is {shape}: use dense"
            yield "model.conditioner", self.conditioner, allowed
        size, field = self.kernel_size, "model.kernel_size"
        if min(shape) < 3:  # what they move on must reach a neighbour
            allowed = (
                f"convolutions want extents of 3 or more, shape is {shape}: use dense"
            )
            yield "model.conditioner", self.conditioner, allowed
        elif size == 1:
            yield field, size, "must reach a neighbour: 3, 5, ..."
        elif size % 2 == 0:
            yield field, size, "must be odd"
        elif size > min(shape):
            allowed = f"must be at most the smallest extent, shape is {shape}"
            yield field, size, allowed

    def longest_slice(self, shape: Shape) -> int | None:
        if self.conditioner != "conv":
            return LONGEST
        return min(max(SITES // volume(shape), 4), LONGEST)

    def draws_at_once(self, shape: Shape) -> int:
        if self.conditioner != "conv":
            return DRAWS
        return min(max(SITES // volume(shape), 4), LONGEST)

    def training_numbers(self, shape: Shape) -> int:
        """Of every layer its activations, and what a map and its slope keep of its
        parameters; of one layer, the work of a step back.

        The work is the larger of two: of a convolution what is around the cotangents,
        twice while it is gathered and once for the product; of a map the parameters
        and their cotangents.
        """
        outputs = self.OUTPUTS[self.name] * volume(shape)
        _, *hidden = self._units(shape)
        kept = self._networks * sum(hidden) + 3 * outputs
        of_hidden = 3 * self._networks * self._kernel(shape) * max(self._units(shape))
        of_outputs = 2 * max(self._kernel(shape), 3) * outputs
        # the field, its score, and of both the cotangents
        own = 4 * volume(shape)
        return self.layers * kept + max(of_hidden, of_outputs) + own

    def sampling_numbers(self, shape: Shape) -> int:
        """Of one layer: what a convolution gathers, and its copy for the product, or
        the parameters of a map, and what it makes of them.
        """
        outputs = self.OUTPUTS[self.name] * volume(shape)
        widest = self._networks * max(self._units(shape))
        work = max(2 * self._kernel(shape) * widest, 3 * outputs)
        return work + widest + 2 * volume(shape)

    @property
    def _networks(self) -> int:
        """An odd and an even one where parameters are of both kinds."""
        return 2 if self.equivariant and self.name == "realnvp" else 1

    def _units(self, shape: Shape) -> tuple[int, ...]:
        """Of what a network is given, and of its hidden layers."""
        sites = volume(shape) if self.conditioner == "conv" else 1
        return (volume(shape), *(width * sites for width in self.hidden))

    def _kernel(self, shape: Shape) -> int:
        """Sites that an output sees of a layer, other than all of them."""
        return self.kernel_size ** len(shape) if self.conditioner == "conv" else 1

    def weights(self, shape: Shape) -> int:
        sites = volume(shape) if self.conditioner == "dense" else 1
        widths = (sites, *self.hidden, self.OUTPUTS[self.name] * sites)
        return self.layers * self._kernel(shape) * of_layers(widths)

    def build(self, action: "AbstractAction", key: "PRNGKeyArray") -> "Flow":
        from genlat.families import gaussian_prior

        return self._on(gaussian_prior.choose(self, action).model(), key)

    def carry(self, trained: "AbstractModel", action: "AbstractAction") -> "Flow":
        import equinox as eqx
        import jax.random as jr

        from genlat.families import gaussian_prior
        from genlat.models.flow import Flow
        from genlat.training import transfer

        assert isinstance(trained, Flow)
        prior = gaussian_prior.choose(self, action)
        shape = prior.variance.shape
        if trained.lattice_shape != shape:
            static = gaussian_prior.static_of(trained.prior)
            blank = self._on(gaussian_prior.skeleton(shape, static), jr.key(0))
            trained = transfer.enlarge_couplings(trained, blank)
        carried = gaussian_prior.carried(trained.prior, prior)
        return eqx.tree_at(lambda flow: flow.prior, trained, carried)

    def skeleton(self, theory: AbstractTheorySection, static: Static) -> "Flow":
        import jax.random as jr

        from genlat.families import gaussian_prior

        return self._on(gaussian_prior.skeleton(theory.shape, static), jr.key(0))

    def _on(self, prior: "AbstractPrior", key: "PRNGKeyArray") -> "Flow":
        from genlat.models import coupling_flow

        return coupling_flow.build(
            prior,
            key,
            kind=self.name,
            n_layers=self.layers,
            splitting=self.splitting,
            conditioner=self.conditioner,
            hidden=self.hidden,
            kernel_size=self.kernel_size,
            is_equivariant=self.equivariant,
            fourier=self.fourier,
            zero_mode=self.zero_mode,
        )
