"""What theories of one real field with hopping and a quartic potential share."""

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from genlat.groups import REAL
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

    from genlat.actions.base import AbstractScalarAction, AnyScalar
    from genlat.mcmc.base import AbstractKernel


class AbstractScalarSection(AbstractTheorySection):
    """A theory whose action is `AbstractScalarAction`."""

    SPACE: ClassVar = REAL
    KERNELS: ClassVar = {
        "hmc": "Hybrid Monte Carlo, step size tuned during thermalisation",
        "metropolis": "local Metropolis in checkerboard order",
        "cluster": "cluster update of the signs, so that the chain crosses between ±φ",
        "reflection": "φ → -φ with probability one half: the chain visits both signs",
    }
    DEFAULT_KERNEL: ClassVar = ("hmc", "cluster")
    OBSERVABLES: ClassVar = OF_BONDS
    KNOWS_PHASES: ClassVar = True
    HAS_LINE: ClassVar = True

    def why_no_kernel(self, kernels: list[str]) -> str | None:
        if "metropolis" in kernels and any(n % 2 and n > 1 for n in self.shape):
            return f"metropolis needs even extents, shape is {list(self.shape)}"
        if "reflection" in kernels and (cause := self.breaks_sign):
            broken = f"{cause} of {self.name} breaks"
            return f"reflection carries φ to -φ, which {broken}: use cluster"
        if not {"hmc", "metropolis"} & set(kernels):
            return "only signs change: add hmc"
        return None


def theory_of(
    action: "AnyScalar", coupling: str = "hopping", end: float | None = None
) -> Theory:
    """The theory of an action, in a field or not.

    **Arguments:** `coupling`, `end`: what a report calls the hopping, and its value.

    **Raises:** `ValueError` for one whose typical configurations have an action beyond
    floating point.
    """
    from genlat.actions import gap

    gap.best_gaussian(action)
    even, _ = _parts(action)
    last = float(even.hopping) if end is None else end
    return _served(action, _line(action, coupling, last))


def _parts(action: "AnyScalar") -> "tuple[AbstractScalarAction, float]":
    """The theory without field, and the field."""
    from genlat.actions.base import AbstractScalarAction

    if isinstance(action, AbstractScalarAction):
        return action, 0.0
    return action.even, float(action.field)


def _served(action: "AnyScalar", line: SolvedLine | None = None) -> Theory:
    even, field = _parts(action)
    return Theory(
        action,
        kernels=_kernels(action),
        start=functools.partial(_start, action),
        modes=modes_of_bonds(action.lattice_shape, float(even.hopping), field),
        line=line,
    )


def _line(action: "AnyScalar", coupling: str, end: float) -> SolvedLine:
    """From independent sites, in the same field: the hopping times t."""
    from genlat.actions.path import HoppingLine

    even, _ = _parts(action)
    volume = math.prod(action.lattice_shape)
    return SolvedLine(
        HoppingLine(action),
        served=_served,
        log_z_start=functools.partial(_log_z_of_sites, action),
        coupling=coupling,
        end=end,
        kernels=("hmc", "cluster"),
        slope=Slope("hopping", -2 * float(even.hopping) * volume),
        says="2⟨H⟩ dκ" if coupling == "kappa" else "the slope",
    )


def _log_z_of_sites(action: "AnyScalar") -> float:
    """ln Z without hopping."""
    from genlat.exact import in_field, single_site

    even, field = _parts(action)
    volume = math.prod(even.lattice_shape)
    quadratic, quartic = float(even.quadratic), float(even.quartic)
    if field == 0:
        return volume * single_site.log_z(quadratic, quartic)
    return volume * in_field.log_z_of_site(quadratic, quartic, field)


def _kernels(
    action: "AnyScalar",
) -> "dict[str, Callable[[Options], AbstractKernel]]":
    from genlat.mcmc.cluster import SignCluster
    from genlat.mcmc.hmc import HMC
    from genlat.mcmc.metropolis import Metropolis
    from genlat.mcmc.reflection import Reflection

    def hmc(options: Options) -> HMC:
        step_size, n_leapfrog = options.step_size, options.n_leapfrog
        return HMC(action, step_size, n_leapfrog, options.integrator)

    return {
        "hmc": hmc,
        "metropolis": lambda _: Metropolis(action),
        "cluster": lambda _: SignCluster(action),
        "reflection": lambda _: Reflection(action),
    }


def _start(
    action: "AnyScalar", key: "PRNGKeyArray", n_chains: int, dtype: Any
) -> "Float[Array, 'chains *lattice']":
    """Of the size that the best Gaussian says, in both wells."""
    import numpy as np

    from genlat.actions import gap
    from genlat.mcmc import runner

    best = gap.best_gaussian(action)
    scale = math.sqrt(best.mean**2 + float(np.mean(best.variance)))
    return runner.init_chains(action, key, n_chains, dtype=dtype, scale=scale)
