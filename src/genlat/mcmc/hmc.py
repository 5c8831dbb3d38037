"""Hybrid (Hamiltonian) Monte Carlo."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, PRNGKeyArray, ScalarLike

from genlat.actions.base import AbstractContinuousAction
from genlat.mcmc.base import AbstractTunableKernel, ChainInfo, ChainState
from genlat.mcmc.loops import repeat
from genlat.mcmc.noise import gaussian, uniform

Integrator = Literal["leapfrog", "minimum_norm"]

_LAMBDA = 0.1931833275037836
# one step as (kick, drift) pairs, in units of the step size; half of the last drift
# comes first
_STEPS = {
    "leapfrog": [(1.0, 1.0)],
    "minimum_norm": [(0.5, 1 - 2 * _LAMBDA), (0.5, 2 * _LAMBDA)],
}


class HMC(AbstractTunableKernel):
    r"""HMC with unit mass, $H = \tfrac12 \sum_x \pi_x^2 + S(\phi)$.

    The unit of Monte Carlo time is one trajectory, of length `step_size * n_leapfrog`
    in molecular-dynamics time. Both integrators are of second order, reversible and
    area-preserving: drift-kick-drift leapfrog, one force per step, and the
    minimum-norm scheme with two forces per step and a ΔH about ten times smaller.
    A trajectory that diverges is rejected.

    Of a quadratic action a trajectory of fixed length turns mode k by an angle ω_k τ
    whatever its momentum: near a multiple of π |φ_k| is remembered for ever. `jitter`
    draws the step of every trajectory anew, from 1 - jitter to 1 + jitter of
    `step_size`.

    **Source:** Duane et al., Phys. Lett. B 195, 216 (1987). Random lengths: Mackenzie,
    Phys. Lett. B 226, 369 (1989). Minimum norm: Omelyan,
    Mryglod and Folk, Comput. Phys. Commun. 151, 272 (2003); for lattices, Takaishi and
    de Forcrand, Phys. Rev. E 73, 036706 (2006), hep-lat/0505020.

    **Arguments:**

    - `action`: S of the target density.
    - `step_size`: > 0. The default is a start for tuning.
    - `n_leapfrog`: steps per trajectory, ≥ 1.
    - `integrator`: `"leapfrog"` or `"minimum_norm"`.
    - `target_acceptance`: what thermalisation tunes `step_size` to, in (0, 1). The
      default is a little above the optimum of second-order integrators (0.65 at fixed
      trajectory length), because here the length grows with the step.

    - `jitter`: in [0, 1); 0 for trajectories of one length.

    **Raises:** `ValueError` for an argument out of its range.
    """

    action: AbstractContinuousAction
    step_size: Float[Array, ""]
    n_leapfrog: int = eqx.field(static=True)
    integrator: Integrator = eqx.field(static=True)
    target_acceptance: float = eqx.field(static=True)
    jitter: float = eqx.field(static=True)

    def __init__(
        self,
        action: AbstractContinuousAction,
        step_size: ScalarLike = 0.1,
        n_leapfrog: int = 10,
        integrator: Integrator = "leapfrog",
        target_acceptance: float = 0.8,
        jitter: float = 0.0,
    ):
        if not isinstance(step_size, Tracer) and not np.asarray(step_size) > 0:
            raise ValueError(f"step_size must be positive, got {step_size}")
        if n_leapfrog < 1:
            raise ValueError(f"n_leapfrog must be at least 1, got {n_leapfrog}")
        if integrator not in _STEPS:
            raise ValueError(f"integrator must be in {list(_STEPS)}, got {integrator}")
        if not 0 < target_acceptance < 1:
            raise ValueError(
                f"target_acceptance must be in (0, 1), got {target_acceptance}"
            )
        if not 0 <= jitter < 1:
            raise ValueError(f"jitter must be in [0, 1), got {jitter}")
        self.action = action
        self.jitter = jitter
        self.step_size = jnp.asarray(step_size, dtype=float)
        self.n_leapfrog = n_leapfrog
        self.integrator = integrator
        self.target_acceptance = target_acceptance

    def init(self, phi: Float[Array, "*lattice"]) -> ChainState:
        return ChainState(phi, self.action(phi))

    def step(
        self, key: PRNGKeyArray, state: ChainState
    ) -> tuple[ChainState, ChainInfo]:
        key_momentum, key_accept = jr.split(key)
        pi = gaussian(key_momentum, state.phi.shape, state.phi.dtype)
        phi_new, pi_new = self._jittered(key_momentum).trajectory(state.phi, pi)
        proposal = self.init(phi_new)

        # in the action's float64: H is a sum of V terms, ΔH of order one
        kinetic = (
            pi_new.astype(state.action.dtype) ** 2 - pi.astype(state.action.dtype) ** 2
        )
        delta_h = proposal.action - state.action + 0.5 * jnp.sum(kinetic)
        acceptance = jnp.where(
            jnp.isfinite(delta_h), jnp.exp(jnp.minimum(-delta_h, 0)), 0
        )
        is_accepted = uniform(key_accept, (), delta_h.dtype) < acceptance
        new_state = jax.tree.map(
            lambda new, old: jnp.where(is_accepted, new, old), proposal, state
        )
        return new_state, ChainInfo(acceptance, delta_h)

    def _jittered(self, key: PRNGKeyArray) -> "HMC":
        """With the step of one trajectory."""
        if not self.jitter:
            return self
        drawn = uniform(jr.fold_in(key, 1), (), self.step_size.dtype)
        step_size = self.step_size * (1 + self.jitter * (2 * drawn - 1))
        return eqx.tree_at(lambda kernel: kernel.step_size, self, step_size)

    def trajectory(
        self, phi: Float[Array, "*lattice"], pi: Float[Array, "*lattice"]
    ) -> tuple[Float[Array, "*lattice"], Float[Array, "*lattice"]]:
        """Integrate Hamilton's equations over `n_leapfrog` steps."""
        schedule = np.tile(_STEPS[self.integrator], (self.n_leapfrog, 1))
        schedule[-1, 1] /= 2
        fractions = schedule.astype(phi.dtype)
        step_size = self.step_size.astype(phi.dtype)
        phi = phi + fractions[-1, 1] * step_size * pi
        return repeat(_kick_and_drift, (phi, pi), (self.action, step_size), fractions)


def _kick_and_drift(
    phase: tuple[Float[Array, "*lattice"], Float[Array, "*lattice"]],
    parameters: tuple[AbstractContinuousAction, Float[Array, ""]],
    fractions: Float[Array, "2"],
) -> tuple[Float[Array, "*lattice"], Float[Array, "*lattice"]]:
    phi, pi = phase
    action, step_size = parameters
    pi = pi + fractions[0] * step_size * action.force(phi)
    return phi + fractions[1] * step_size * pi, pi
