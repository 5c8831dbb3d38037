"""Cluster updates of the signs of a scalar field."""

import math

import jax
import jax.numpy as jnp
import jax.random as jr
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from genlat.actions.base import AbstractScalarAction, AnyScalar
from genlat.actions.declared import (
    is_in_field,
    require,
    require_couplings,
    without_field,
)
from genlat.mcmc.base import AbstractKernel, ChainInfo, ChainState
from genlat.mcmc.noise import uniform


class SignCluster(AbstractKernel):
    r"""Swendsen-Wang update of the signs of φ at fixed |φ|; carries φ between ±.

    At fixed |φ| the signs are an Ising model with couplings 2h|φ_x||φ_{x+μ}|: a bond
    that is content (hφ_xφ_{x+μ} > 0) is frozen with probability
    $1 - e^{-4h\phi_x\phi_{x+\mu}}$, and every cluster of frozen bonds is reflected with
    probability one half; in a field H with probability $1/(1 + e^{2HM})$, M the sum of
    φ over the cluster, whose weight given the frozen bonds is $e^{HM}$. Both bonds of a
    side of extent 2 have their own chance; the bond of an extent of 1 ties a site to
    itself. Never rejects.

    The unit of Monte Carlo time is one cluster decomposition. Not ergodic on its own:
    combine it with a kernel that changes |φ|.

    **Source:** Brower and Tamayo, Phys. Rev. Lett. 62, 1087 (1989); Swendsen and Wang,
    Phys. Rev. Lett. 58, 86 (1987).

    **Arguments:** `action`, a scalar theory with nearest-neighbour hopping, in a field
    or without.

    **Raises:** `ValueError` for an action that does not declare the symmetry "sign" but
    for a field, or whose S is not that of its couplings alone: a cluster knows of bonds
    and the field only.
    """

    action: AnyScalar

    def __check_init__(self):
        require(without_field(self.action), ("sign",), "SignCluster")
        require_couplings(without_field(self.action), "SignCluster")

    @property
    def visits_every_mode(self) -> bool:
        return "sign" in without_field(self.action).symmetries

    def init(self, phi: Float[Array, "*lattice"]) -> ChainState:
        return ChainState(phi, self.action(phi))

    def step(
        self, key: PRNGKeyArray, state: ChainState
    ) -> tuple[ChainState, ChainInfo]:
        key_bonds, key_flips = jr.split(key)
        bonds = self.draw_bonds(key_bonds, state.phi)
        # a coin per site, of which every cluster uses one
        u = uniform(key_flips, (state.phi.size,), state.phi.dtype)
        labels = cluster_minima(bonds)
        is_flipped = (u < self._chance(state.phi, labels))[labels]
        phi = jnp.where(is_flipped, -state.phi, state.phi)
        new_state = self.init(phi)
        one = jnp.ones_like(new_state.action)
        return new_state, ChainInfo(one, jnp.zeros_like(one))

    def draw_bonds(
        self, key: PRNGKeyArray, phi: Float[Array, "*lattice"]
    ) -> Bool[Array, "d *lattice"]:
        """Whether the bond from x to x+μ is frozen, for every direction μ."""
        even = without_field(self.action)
        assert isinstance(even, AbstractScalarAction)  # asked for at construction
        return frozen_bonds(key, phi, even.hopping)

    def _chance(
        self, phi: Float[Array, "*lattice"], labels: Int[Array, "*lattice"]
    ) -> Float[Array, "..."]:
        """Of the cluster that a label stands for to be reflected."""
        if not is_in_field(self.action):
            return jnp.asarray(0.5, phi.dtype)
        sums = jnp.zeros(phi.size, self.action.field.dtype).at[labels].add(phi)
        return jax.nn.sigmoid(-2 * self.action.field * sums).astype(phi.dtype)


def frozen_bonds(
    key: PRNGKeyArray, phi: Float[Array, "*lattice"], hopping: Float[Array, ""]
) -> Bool[Array, "d *lattice"]:
    """Bonds from x to x+μ, frozen with probability 1 - e^{-4hφ_xφ_{x+μ}} if content."""
    h = hopping.astype(phi.dtype)
    ahead = jnp.stack([jnp.roll(phi, -1, axis) for axis in range(phi.ndim)])
    u = uniform(key, ahead.shape, phi.dtype)
    return u < -jnp.expm1(-jnp.maximum(4 * h * phi[None] * ahead, 0))


def cluster_minima(
    bonds: Bool[Array, "d *lattice"],
) -> Int[Array, "*lattice"]:
    """At every site the least site number of its cluster, the sites joined by `bonds`.

    A label points to a site of the same cluster, itself at the start. Every trip hangs
    the root a site points to below the least label among the site's neighbours, then
    halves all paths twice: 5 to 7 trips where passing labels from neighbour to
    neighbour takes as many as a cluster is long.

    **Source:** after Shiloach and Vishkin, J. Algorithms 3, 57 (1982).
    """
    behind = jnp.stack([jnp.roll(frozen, 1, axis) for axis, frozen in enumerate(bonds)])
    shape = bonds.shape[1:]
    sites = jnp.arange(math.prod(shape), dtype=jnp.int32)

    def least_around(labels: Int[Array, "*lattice"]) -> Int[Array, "*lattice"]:
        least = labels
        for axis in range(labels.ndim):
            for frozen, step in ((bonds[axis], -1), (behind[axis], 1)):
                neighbour = jnp.roll(labels, step, axis)
                least = jnp.where(frozen, jnp.minimum(least, neighbour), least)
        return least

    def trip(
        carry: tuple[Int[Array, " sites"], Bool[Array, ""]],
    ) -> tuple[Int[Array, " sites"], Bool[Array, ""]]:
        labels, _ = carry
        least = least_around(labels.reshape(shape)).ravel()
        new = labels.at[labels].min(least)
        new = new[new]
        new = new[new]
        return new, jnp.any(new != labels)

    # a trip that changes nothing leaves no frozen bond between different labels
    start = (sites, jnp.array(True))
    labels, _ = lax.while_loop(lambda carry: carry[1], trip, start)
    return labels.reshape(shape)
