"""The global sign flip."""

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from genlat.actions.base import AbstractContinuousAction
from genlat.actions.declared import require
from genlat.mcmc.base import AbstractKernel, ChainInfo, ChainState
from genlat.mcmc.noise import uniform


class Reflection(AbstractKernel):
    """φ → -φ with probability one half; the action does not change.

    Makes the chain's law exactly symmetric: a chain that thermalises within one well
    samples both. Not ergodic on its own. The unit of Monte Carlo time is one coin.

    **Arguments:** `action`, of any real field.

    **Raises:** `ValueError` for an action that does not declare the symmetry "sign".
    """

    action: AbstractContinuousAction

    def __check_init__(self):
        require(self.action, ("sign",), "Reflection")

    @property
    def visits_every_mode(self) -> bool:
        return "sign" in self.action.symmetries

    def init(self, phi: Float[Array, "*lattice"]) -> ChainState:
        return ChainState(phi, self.action(phi))

    def step(
        self, key: PRNGKeyArray, state: ChainState
    ) -> tuple[ChainState, ChainInfo]:
        is_flipped = uniform(key, (), state.phi.dtype) < 0.5
        phi = jnp.where(is_flipped, -state.phi, state.phi)
        one = jnp.ones_like(state.action)
        return ChainState(phi, state.action), ChainInfo(one, jnp.zeros_like(one))
