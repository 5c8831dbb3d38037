"""Cluster updates of one component of a field, along a direction drawn anew."""

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from genlat.actions.base import AbstractVectorAction
from genlat.actions.declared import require, require_couplings
from genlat.mcmc.base import AbstractKernel, ChainInfo, ChainState
from genlat.mcmc.cluster import cluster_minima, frozen_bonds
from genlat.mcmc.noise import gaussian, uniform


class EmbeddedCluster(AbstractKernel):
    r"""Swendsen-Wang update of the signs of r·φ, r a direction drawn uniformly.

    A reflection φ → φ - 2(r·φ) r leaves every |φ_x| and changes the action as that of a
    scalar field r·φ would change: a bond is frozen with probability
    $1 - e^{-4h (r\cdot\phi_x)(r\cdot\phi_{x+\mu})}$ if content, and every cluster of
    frozen bonds is reflected with probability one half. Never rejects; reflections
    generate O(N). Not ergodic on its own: combine it with a kernel that changes |φ|.

    The unit of Monte Carlo time is one direction and one cluster decomposition.

    **Source:** Wolff, Phys. Rev. Lett. 62, 361 (1989), for the embedding.

    **Arguments:** `action`, with nearest-neighbour hopping.

    **Raises:** `ValueError` for an action that does not declare the symmetry
    "rotations", or whose S is not that of its couplings alone.
    """

    action: AbstractVectorAction

    def __check_init__(self):
        require(self.action, ("rotations",), "EmbeddedCluster")
        require_couplings(self.action, "EmbeddedCluster")

    @property
    def visits_every_mode(self) -> bool:
        return "rotations" in self.action.symmetries

    def init(self, phi: Float[Array, "*lattice n"]) -> ChainState:
        return ChainState(phi, self.action(phi))

    def step(
        self, key: PRNGKeyArray, state: ChainState
    ) -> tuple[ChainState, ChainInfo]:
        key_direction, key_bonds, key_flips = jr.split(key, 3)
        phi = state.phi
        r = gaussian(key_direction, phi.shape[-1:], phi.dtype)
        r = r / jnp.sqrt(jnp.sum(r * r))
        along = phi @ r
        bonds = frozen_bonds(key_bonds, along, self.action.hopping)
        # a coin per site, of which every cluster uses one
        coins = uniform(key_flips, (along.size,), phi.dtype) < 0.5
        is_reflected = coins[cluster_minima(bonds)]
        reflected = phi - 2 * jnp.tensordot(along, r, 0)
        state = self.init(jnp.where(is_reflected[..., None], reflected, phi))
        one = jnp.ones_like(state.action)
        return state, ChainInfo(one, jnp.zeros_like(one))
