"""The global sign flip, and which kernels provably visit every mode."""

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from genlat.actions.base import AbstractContinuousAction
from genlat.actions.declared import is_ising, require
from genlat.mcmc.base import AbstractKernel, ChainInfo, ChainState
from genlat.mcmc.cluster import SignCluster
from genlat.mcmc.noise import uniform
from genlat.mcmc.sequence import Sequence
from genlat.mcmc.spin_clusters import SwendsenWang, Wolff


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

    def init(self, phi: Float[Array, "*lattice"]) -> ChainState:
        return ChainState(phi, self.action(phi))

    def step(
        self, key: PRNGKeyArray, state: ChainState
    ) -> tuple[ChainState, ChainInfo]:
        is_flipped = uniform(key, (), state.phi.dtype) < 0.5
        phi = jnp.where(is_flipped, -state.phi, state.phi)
        one = jnp.ones_like(state.action)
        return ChainState(phi, state.action), ChainInfo(one, jnp.zeros_like(one))


def visits_every_mode(kernel: AbstractKernel) -> bool:
    """Whether the kernel carries φ to -φ by construction, whatever barrier is between.

    Of a theory that declares the symmetry, or has a heat bath for every cluster.

    Only its chains are evidence that a model misses no mode: HMC and Metropolis alone
    may sit in one well for ever, and look thermalised.
    """
    if isinstance(kernel, Sequence):
        return any(visits_every_mode(part) for part in kernel.kernels)
    if isinstance(kernel, SignCluster | Reflection):
        return "sign" in kernel.action.symmetries
    return isinstance(kernel, SwendsenWang | Wolff) and is_ising(kernel.action)
