"""O(N) φ⁴ theory in any dimension."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from genlat.groups import VECTORS
from genlat.schema import Problem
from genlat.theories.base import (
    OF_BONDS,
    AbstractTheorySection,
    Options,
    Slope,
    SolvedLine,
    Theory,
    modes_of_bonds,
)

if TYPE_CHECKING:
    from jaxtyping import Array, Float, PRNGKeyArray

    from genlat.actions.base import AbstractVectorAction
    from genlat.actions.on import On
    from genlat.mcmc.hmc import HMC


class OnSection(AbstractTheorySection):
    """O(N) φ⁴ theory: the XY universality class at N = 2, Heisenberg's at N = 3."""

    TITLE: ClassVar = "O(N) φ⁴ theory"
    SUMMARY: ClassVar = "N real components with O(N) symmetry, in form A of φ⁴"
    SPACE: ClassVar = VECTORS
    KERNELS: ClassVar = {
        "hmc": "Hybrid Monte Carlo, step size tuned during thermalisation",
        "embedded": "cluster update of the component along a random direction",
    }
    DEFAULT_KERNEL: ClassVar = ("hmc", "embedded")
    OBSERVABLES: ClassVar = OF_BONDS
    SYMBOLS: ClassVar = {"kappa": "κ", "lam": "λ"}
    HAS_LINE: ClassVar = True

    name: Literal["on"]
    components: Annotated[
        int, Field(ge=1, le=64, description="N, numbers of a value of the field")
    ]
    kappa: float = Field(description="hopping parameter κ")
    lam: float = Field(ge=0, description="quartic coupling λ")

    @property
    def n_components(self) -> int:
        return self.components

    @property
    def couplings(self) -> tuple[str, ...]:
        return ("kappa", "lam")

    def problems(self) -> Iterator[Problem]:
        """Without a quartic term the quadratic one has to hold the field."""
        d = len(self.shape)
        if self.lam == 0 and 2 * abs(self.kappa) * d >= 1:
            bound = f"|kappa| must be < {1 / (2 * d):g} when lam = 0: e^(-S) diverges"
            yield "theory.kappa", self.kappa, bound

    def why_no_kernel(self, kernels: list[str]) -> str | None:
        return None if "hmc" in kernels else "only directions change: add hmc"

    def slope(self, coupling: str) -> Slope | None:
        is_hopping = coupling == "kappa"
        return Slope("hopping", 2.0 * math.prod(self.shape)) if is_hopping else None

    def _theory(self) -> Theory:
        from genlat.actions.on import On

        action = On(self.shape, self.components, self.kappa, self.lam)
        return _served(action, _line(action))


def _line(action: "On") -> SolvedLine:
    """From independent sites: κ times t, at fixed λ."""
    from genlat.actions.path import HoppingLine
    from genlat.exact import vector

    kappa = float(action.kappa)
    return SolvedLine(
        HoppingLine(action),
        served=_served,
        log_z_start=lambda: vector.log_z_of_sites(action),
        coupling="kappa",
        end=kappa,
        kernels=("hmc", "embedded"),
        slope=Slope("hopping", -2 * kappa * math.prod(action.lattice_shape)),
        says="2⟨H⟩ dκ",
    )


def _served(action: "AbstractVectorAction", line: SolvedLine | None = None) -> Theory:
    from genlat.mcmc import runner
    from genlat.mcmc.embedded import EmbeddedCluster
    from genlat.mcmc.hmc import HMC

    def start(
        key: "PRNGKeyArray", n_chains: int, dtype: Any
    ) -> "Float[Array, 'chains *lattice n']":
        return runner.init_chains(action, key, n_chains, dtype=dtype)

    def hmc(options: Options) -> "HMC":
        step_size, n_leapfrog = options.step_size, options.n_leapfrog
        return HMC(action, step_size, n_leapfrog, options.integrator)

    return Theory(
        action,
        kernels={"hmc": hmc, "embedded": lambda _: EmbeddedCluster(action)},
        start=start,
        modes=modes_of_bonds(action.lattice_shape, float(action.hopping), 0.0),
        line=line,
    )
