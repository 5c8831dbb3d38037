"""The Ising model in any dimension, in a field."""

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from genlat.groups import SIGNS
from genlat.theories.base import (
    AbstractTheorySection,
    Observed,
    Slope,
    Theory,
    modes_of_bonds,
)

if TYPE_CHECKING:
    from jaxtyping import Array, Int8, PRNGKeyArray


class IsingSection(AbstractTheorySection):
    """Ising model, S = βH with H = -Σ s_x s_{x+μ} - h Σ s_x."""

    TITLE: ClassVar = "Ising model"
    SUMMARY: ClassVar = "spins ±1 in any dimension, in a field"
    SPACE: ClassVar = SIGNS
    KERNELS: ClassVar = {
        "metropolis": "local Metropolis in checkerboard order",
        "heatbath": "every spin drawn anew given its neighbours",
        "swendsen_wang": "all clusters, each flipped or not",
        "wolff": "one cluster flipped, at the price of finding all",
    }
    DEFAULT_KERNEL: ClassVar = ("swendsen_wang",)
    SWEEPS: ClassVar = frozenset({"metropolis", "heatbath"})
    OBSERVABLES: ClassVar = {
        "energy_density": Observed("H/V, of Ising spins", "⟨H⟩ / V", "1/β per site")
    }
    SYMBOLS: ClassVar = {"beta": "β", "field": "h"}
    ODD: ClassVar = ("field",)

    name: Literal["ising"]
    beta: float = Field(description="inverse temperature β; antiferromagnetic if < 0")
    field: float = Field(default=0.0, description="magnetic field h")

    @property
    def couplings(self) -> tuple[str, ...]:
        return ("beta", "field")

    def slope(self, coupling: str) -> Slope | None:
        volume = float(math.prod(self.shape))
        of = {
            "beta": Slope("energy_density", -volume),
            "field": Slope("mag", volume * self.beta),
        }
        return of.get(coupling)

    def _theory(self) -> Theory:
        from genlat.actions.ising import Ising
        from genlat.mcmc import runner
        from genlat.mcmc.spin_clusters import SwendsenWang, Wolff
        from genlat.mcmc.spins import IsingHeatBath, IsingMetropolis

        action = Ising(self.shape, self.beta, self.field)

        def start(
            key: "PRNGKeyArray", n_chains: int, dtype: Any
        ) -> "Int8[Array, 'chains *lattice']":
            return runner.init_spins(action, key, n_chains)

        return Theory(
            action,
            kernels={
                "metropolis": lambda options: IsingMetropolis(action, options.n_sweeps),
                "heatbath": lambda options: IsingHeatBath(action, options.n_sweeps),
                "swendsen_wang": lambda _: SwendsenWang(action),
                "wolff": lambda _: Wolff(action),
            },
            start=start,
            modes=modes_of_bonds(self.shape, self.beta, self.field),
        )
