"""What serves an action of one's own: kernels, a start, a line from a solved theory."""

import dataclasses
import functools
import math
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from genlat import lattice
from genlat.actions import sampled_gap
from genlat.actions.field import SLOPE, FieldAction
from genlat.actions.path import CouplingLine
from genlat.exact import solved
from genlat.exact.value import UnknownError
from genlat.mcmc import runner
from genlat.mcmc.hmc import HMC
from genlat.mcmc.reflection import Reflection
from genlat.theories.base import Options, Slope, SolvedLine, Theory

if TYPE_CHECKING:
    from jaxtyping import Array, Float, PRNGKeyArray


def of_field(action: FieldAction) -> Theory:
    """The theory of an action, by what its class declares.

    Kernels are `hmc`, and `reflection` where φ → -φ is declared.

    **Raises:** `ValueError` where S is no number, or a line is declared that does not
    begin in a theory that is solved.
    """
    return dataclasses.replace(_served(action), line=_line(action))


def _served(action: FieldAction) -> Theory:
    def hmc(options: Options) -> HMC:
        return HMC(action, options.step_size, options.n_leapfrog, options.integrator)

    kernels: dict[str, Any] = {"hmc": hmc}
    if "sign" in action.symmetries:
        kernels["reflection"] = lambda _: Reflection(action)
    start = functools.partial(_start, action)
    return Theory(action, kernels, start, action.modes)


def _start(
    action: FieldAction, key: "PRNGKeyArray", n_chains: int, dtype: Any
) -> "Float[Array, 'chains *lattice']":
    """Of the size that the best Gaussian says."""
    best = sampled_gap.best_gaussian(action)
    scale = math.sqrt(best.mean**2 + float(np.mean(best.variance)))
    return runner.init_chains(action, key, n_chains, dtype=dtype, scale=scale)


def without(action: FieldAction, coupling: str) -> FieldAction:
    """The theory without a coupling: at 0."""
    return eqx.tree_at(lambda x: getattr(x, coupling), action, jnp.zeros(()))


def require_linear(action: FieldAction, coupling: str) -> None:
    """Refuse an S that is not linear in a coupling, between 0 and the theory's own.

    **Raises:** `ValueError`.
    """
    line = CouplingLine(without(action, coupling), action)
    rng = np.random.default_rng(3)
    for size in (0.8, 1.9):
        phi = jnp.asarray(size * rng.standard_normal(action.lattice_shape))
        first, last = float(line.start(phi)), float(line.end(phi))
        for t in (0.5, 0.3):
            straight = first + t * (last - first)
            off = abs(float(line.at(t)(phi)) - straight)
            if not off <= solved.TOLERANCE * (abs(first) + abs(last)):
                raise ValueError(f"line = {coupling!r}: S is not linear in it")


def _line(action: FieldAction) -> SolvedLine | None:
    """The coupling times t, from a theory that is solved."""
    name = action.line
    if name is None:
        return None
    start = without(action, name)
    try:
        log_z = solved.log_z(start)
    except UnknownError as reason:
        raise ValueError(f"line = {name!r}: without it {reason}") from reason
    require_linear(action, name)
    end, volume = float(getattr(action, name)), lattice.volume(action.lattice_shape)
    kernels = tuple(_served(action).kernels)
    return SolvedLine(
        CouplingLine(start, action),
        served=_served,
        log_z_start=lambda: log_z,
        coupling=name,
        end=end,
        kernels=kernels,
        slope=Slope(f"{SLOPE}{name}", end * volume),
        says=f"⟨∂S/∂{name}⟩ d{name}",
    )
