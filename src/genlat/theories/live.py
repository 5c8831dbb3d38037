"""What serves an action of one's own: kernels, a start, a line from a solved theory."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from genlat import lattice
from genlat.actions.base import AbstractAction, AbstractContinuousAction
from genlat.actions.declared import require
from genlat.actions.field import SLOPE, FieldAction
from genlat.actions.path import CouplingLine
from genlat.exact import solved
from genlat.exact.value import UnknownError
from genlat.mcmc import runner
from genlat.mcmc.base import AbstractKernel
from genlat.mcmc.hmc import HMC
from genlat.mcmc.reflection import Reflection
from genlat.theories.base import Options, Slope, SolvedLine, Theory

JITTER = 0.2
"""Of HMC: an action that is nearly free is forgotten at every length but some."""

PROBES = 8
_LARGEST, _PER_DECADE = 4, 8  # powers of ten up and down, scales in each


def of_field(action: FieldAction) -> Theory:
    """The theory of an action, by what its class declares.

    **Raises:** `ValueError` where S is no number, or a line is declared that does not
    begin in a theory that is solved.
    """
    return dataclasses.replace(of_action(action, action.modes), line=_line(action))


def of_action(action: AbstractAction, modes: tuple[str, ...] | None) -> Theory:
    """Kernels `hmc`, and `reflection` where S declares "sign"; a dispersed start.

    **Arguments:** as those of `Theory`.

    **Raises:** `ValueError` for a field that has no slope, or unknown symmetries.
    """
    if not isinstance(action, AbstractContinuousAction):
        raise ValueError(
            f"{type(action).__name__} has no force: hmc needs an "
            "AbstractContinuousAction, others name their kernels themselves"
        )
    if modes:
        require(action, modes, "modes")
    return Theory(action, _kernels(action), functools.partial(start, action), modes)


def _kernels(
    action: AbstractContinuousAction,
) -> dict[str, Callable[[Options], AbstractKernel]]:
    def hmc(options: Options) -> HMC:
        step_size, n_leapfrog = options.step_size, options.n_leapfrog
        return HMC(action, step_size, n_leapfrog, options.integrator, jitter=JITTER)

    found: dict[str, Callable[[Options], AbstractKernel]] = {"hmc": hmc}
    if "sign" in action.symmetries:
        found["reflection"] = lambda _: Reflection(action)
    return found


def start(
    action: AbstractContinuousAction, key: PRNGKeyArray, n_chains: int, dtype: Any
) -> Float[Array, "chains *lattice"]:
    """Around 0, in both signs, of the size that the action wants."""
    size = scale(action)
    return runner.init_chains(action, key, n_chains, dtype=dtype, scale=size)


def scale(action: AbstractContinuousAction) -> float:
    """σ of the independent normal numbers that come nearest to p.

    It makes ⟨S⟩ - V ln σ, the free energy but for a constant, the least, on a grid from
    10⁻⁴ to 10⁴, over a few fixed configurations.

    **Raises:** `ValueError` if S is not finite at any of them.
    """
    shape = action.field_shape
    probes = np.random.default_rng(0).normal(size=(PROBES, *shape))
    sizes = np.logspace(-_LARGEST, _LARGEST, 2 * _LARGEST * _PER_DECADE + 1)

    @jax.jit
    def mean_action(size: Float[Array, ""]) -> Float[Array, ""]:
        return jnp.mean(jax.vmap(lambda phi: action(phi))(size * probes))

    action_of = np.array([float(mean_action(np.float64(size))) for size in sizes])
    free_energy = action_of - math.prod(shape) * np.log(sizes)
    is_finite = np.isfinite(free_energy)
    if not np.any(is_finite):
        raise ValueError(
            f"{type(action).__name__} is {action_of[len(sizes) // 2]} of normal "
            "numbers, and not finite at any scale"
        )
    return float(
        sizes[np.nanargmin(np.where(np.isfinite(free_energy), free_energy, np.nan))]
    )


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
    kernels = tuple(_kernels(action))
    return SolvedLine(
        CouplingLine(start, action),
        served=lambda here: of_action(here, None),
        log_z_start=lambda: log_z,
        coupling=name,
        end=end,
        kernels=kernels,
        slope=Slope(f"{SLOPE}{name}", end * volume),
        says=f"⟨∂S/∂{name}⟩ d{name}",
    )
