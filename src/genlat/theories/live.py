"""A theory from an action alone: what serves any real field whose S has a slope."""

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from genlat.theories.base import Options, Theory

if TYPE_CHECKING:
    from jaxtyping import Array, Float, PRNGKeyArray

    from genlat.actions.base import AbstractAction, AbstractContinuousAction
    from genlat.mcmc.base import AbstractKernel

PROBES = 8
_LARGEST, _PER_DECADE = 4, 8  # powers of ten up and down, scales in each


def of_action(action: "AbstractAction", modes: tuple[str, ...] | None) -> Theory:
    """Kernels `hmc`, and `reflection` where S declares "sign"; a dispersed start.

    **Arguments:** as those of `Theory`.

    **Raises:** `ValueError` for a field that has no slope, or unknown symmetries.
    """
    from genlat.actions.base import AbstractContinuousAction
    from genlat.actions.declared import require

    if not isinstance(action, AbstractContinuousAction):
        raise ValueError(
            f"{type(action).__name__} has no force: hmc needs an "
            "AbstractContinuousAction, others name their kernels themselves"
        )
    if modes:
        require(action, modes, "modes")
    return Theory(action, _kernels(action), functools.partial(start, action), modes)


def _kernels(
    action: "AbstractContinuousAction",
) -> "dict[str, Callable[[Options], AbstractKernel]]":
    from genlat.mcmc.hmc import HMC
    from genlat.mcmc.reflection import Reflection

    def hmc(options: Options) -> "AbstractKernel":
        step_size, n_leapfrog = options.step_size, options.n_leapfrog
        return HMC(action, step_size, n_leapfrog, options.integrator)

    found: dict[str, Callable[[Options], AbstractKernel]] = {"hmc": hmc}
    if "sign" in action.symmetries:
        found["reflection"] = lambda _: Reflection(action)
    return found


def start(
    action: "AbstractContinuousAction",
    key: "PRNGKeyArray",
    n_chains: int,
    dtype: Any,
) -> "Float[Array, 'chains *lattice']":
    """Around 0, in both signs, of the size that the action wants."""
    from genlat.mcmc import runner

    size = scale(action)
    return runner.init_chains(action, key, n_chains, dtype=dtype, scale=size)


def scale(action: "AbstractContinuousAction") -> float:
    """σ of the independent normal numbers that come nearest to p.

    It makes ⟨S⟩ - V ln σ, the free energy but for a constant, the least, on a grid from
    10⁻⁴ to 10⁴, over a few fixed configurations.

    **Raises:** `ValueError` if S is not finite at any of them.
    """
    import jax
    import numpy as np

    shape = action.field_shape
    probes = np.random.default_rng(0).normal(size=(PROBES, *shape))
    sizes = np.logspace(-_LARGEST, _LARGEST, 2 * _LARGEST * _PER_DECADE + 1)

    @jax.jit
    def mean_action(size: "Float[Array, '']") -> "Float[Array, '']":
        return jax.numpy.mean(jax.vmap(action)(size * probes))

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
