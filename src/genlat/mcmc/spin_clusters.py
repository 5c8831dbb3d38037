"""Cluster updates of Ising spins."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Int, PRNGKeyArray, Shaped

from genlat.actions.declared import is_ising, require_couplings
from genlat.actions.ising import Ising, spin_sum
from genlat.mcmc.base import AbstractKernel, ChainInfo, ChainState
from genlat.mcmc.cluster import cluster_minima
from genlat.mcmc.noise import uniform


class SwendsenWang(AbstractKernel):
    r"""Flips every cluster of frozen bonds with its own probability; never rejects.

    A content bond (β s_x s_{x+μ} > 0) is frozen with probability 1 - e^{-2|β|}. Given
    the frozen bonds the weight of a cluster is e^{βhM}, M its spins' sum: it flips with
    probability 1/(1 + e^{2βhM}), one half without field. β of either sign and any
    extents, both bonds of an extent of 2 having their own chance; in a strong field or
    a frustrated lattice it is correct but no faster than a local kernel.

    The unit of Monte Carlo time is one decomposition of the whole lattice.

    **Source:** Swendsen and Wang, Phys. Rev. Lett. 58, 86 (1987).

    **Arguments:** `action`.

    **Raises:** `ValueError` for an S that is not that of β and h alone.
    """

    action: Ising
    has_field: bool = eqx.field(static=True)

    def __init__(self, action: Ising):
        require_couplings(action, type(self).__name__)
        self.action = action
        self.has_field = action.may_have_field

    @property
    def visits_every_mode(self) -> bool:
        return is_ising(self.action)

    def init(self, phi: Shaped[Array, "*lattice"]) -> ChainState:
        return ChainState(phi, self.action(phi))

    def step(
        self, key: PRNGKeyArray, state: ChainState
    ) -> tuple[ChainState, ChainInfo]:
        key_bonds, key_flips = jr.split(key)
        labels = spin_clusters(self.action, key_bonds, state.phi)
        # a number per site, of which every cluster uses one
        u = uniform(key_flips, (state.phi.size,), jnp.float32)
        chance = jnp.float32(0.5)
        if self.has_field:
            sums = jnp.zeros(state.phi.size, jnp.int32).at[labels].add(state.phi)
            tilt = 2 * self.action.beta * self.action.field * sums
            chance = (1 / (1 + jnp.exp(tilt))).astype(u.dtype)
        spins = jnp.where((u < chance)[labels], -state.phi, state.phi)
        state = self.init(spins)
        one = jnp.ones_like(state.action)
        return state, ChainInfo(one, jnp.zeros_like(one))


class Wolff(AbstractKernel):
    r"""Flips the cluster of one random site.

    Bonds are frozen as in `SwendsenWang`. Without field the flip is certain; with a
    field it is accepted with probability min(1, e^{-2βhM}), M the sum of the cluster's
    spins, which is all that flipping it adds to S beside what freezing accounts for.

    The unit of Monte Carlo time is one cluster, on average ⟨|C|⟩/V of a sweep. To
    compare with sweeps multiply τ by ⟨|C|⟩/V, which at h = 0, β > 0 is ⟨m²⟩.

    Shapes must be known when compiling, so that the whole lattice is decomposed to find
    one cluster: a step costs as much as one of `SwendsenWang`, of which the latter gets
    all clusters moved. Here Wolff is for comparison, and for steps that move one
    cluster; where speed counts take `SwendsenWang`.

    **Source:** Wolff, Phys. Rev. Lett. 62, 361 (1989).

    **Arguments:** `action`.

    **Raises:** `ValueError` for an S that is not that of β and h alone.
    """

    action: Ising
    has_field: bool = eqx.field(static=True)

    def __init__(self, action: Ising):
        require_couplings(action, type(self).__name__)
        self.action = action
        self.has_field = action.may_have_field

    @property
    def visits_every_mode(self) -> bool:
        return is_ising(self.action)

    def init(self, phi: Shaped[Array, "*lattice"]) -> ChainState:
        return ChainState(phi, self.action(phi))

    def step(
        self, key: PRNGKeyArray, state: ChainState
    ) -> tuple[ChainState, ChainInfo]:
        key_bonds, key_site, key_accept = jr.split(key, 3)
        labels = spin_clusters(self.action, key_bonds, state.phi)
        site = jr.randint(key_site, (), 0, state.phi.size)
        is_inside = labels == labels.ravel()[site]
        acceptance = jnp.ones_like(state.action)
        if self.has_field:
            total = spin_sum(jnp.where(is_inside, state.phi, 0))
            tilt = 2 * self.action.beta * self.action.field * total
            acceptance = jnp.exp(-jnp.maximum(tilt, 0))
            u = uniform(key_accept, (), acceptance.dtype)
            is_inside = is_inside & (u < acceptance)
        state = self.init(jnp.where(is_inside, -state.phi, state.phi))
        return state, ChainInfo(acceptance, jnp.zeros_like(acceptance))


def spin_clusters(
    action: Ising, key: PRNGKeyArray, spins: Shaped[Array, "*lattice"]
) -> Int[Array, "*lattice"]:
    """Freezes bonds at random; every site's cluster, by its least site number."""
    ahead = jnp.stack([jnp.roll(spins, -1, axis) for axis in range(spins.ndim)])
    beta = action.beta
    sign = jnp.where(beta < 0, -1, 1).astype(spins.dtype)
    is_content = sign * spins[None] * ahead > 0
    freeze = -jnp.expm1(-2 * jnp.abs(beta)).astype(jnp.float32)
    u = uniform(key, ahead.shape, jnp.float32)
    return cluster_minima(is_content & (u < freeze))
