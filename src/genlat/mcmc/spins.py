"""Local updates of Ising spins, one colour of the lattice after the other."""

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jax import lax
from jax.nn import sigmoid
from jaxtyping import Array, Bool, Float, Int, Int32, PRNGKeyArray, Shaped, UInt32

from genlat import lattice
from genlat.actions.declared import require_couplings
from genlat.actions.ising import Ising
from genlat.mcmc.base import AbstractKernel, ChainInfo, ChainState
from genlat.mcmc.noise import folded, words

_BITS = 30  # of a random number that a probability is compared with
_PROPOSED = 15 / 16  # of all flips, by Metropolis: below 1 for ergodicity


class AbstractSpinSweep(AbstractKernel):
    """Every spin once, one colour of `lattice.colour_masks` after the other.

    Spins of a colour do not see each other and are updated together: on a checkerboard,
    or in three classes where an extent is odd. A spin flips with a probability that
    depends on how much S would change. The unit of Monte Carlo time is one step of
    `n_sweeps` sweeps: S is computed once per step, and takes about as long as half a
    sweep.

    Probabilities are compared with random numbers of 30 bits: each is off by at most
    2⁻³¹, but for 0 and 1, which are exact.
    """

    action: eqx.AbstractVar[Ising]
    n_sweeps: eqx.AbstractVar[int]
    has_field: eqx.AbstractVar[bool]

    @abstractmethod
    def flip_probability(self, change: Float[Array, "..."]) -> Float[Array, "..."]:
        """That of a spin whose flip changes S by `change`."""

    @abstractmethod
    def acceptance(self, flipped: Float[Array, ""]) -> Float[Array, ""]:
        """What to report where the last sweep flipped this fraction of the spins."""

    def init(self, phi: Shaped[Array, "*lattice"]) -> ChainState:
        return ChainState(phi, self.action(phi))

    def step(
        self, key: PRNGKeyArray, state: ChainState
    ) -> tuple[ChainState, ChainInfo]:
        spins = state.phi
        chances = self._chances(spins.ndim - spins.shape.count(1))
        spins, old = _sweep(spins, jr.key_data(key), chances, self.n_sweeps)
        state = self.init(spins)
        flipped = jnp.sum(spins != old, dtype=jnp.int32) / spins.size
        acceptance = self.acceptance(flipped.astype(state.action.dtype))
        return state, ChainInfo(acceptance, jnp.zeros_like(acceptance))

    def _chances(self, n_axes: int) -> Int32[Array, "signs sums"]:
        """Flip probabilities, times 2^30, of a spin s with neighbours of sum s·k.

        Columns are k = -2d, ..., 2d in steps of 2. One row without field; else the
        first is that of spins along it, the second of spins against it.
        """
        signs = jnp.array([1.0, -1.0] if self.has_field else [1.0])[:, None]
        sums = jnp.arange(-2 * n_axes, 2 * n_axes + 1, 2)[None, :]
        change = 2 * self.action.beta * (sums + signs * self.action.field)
        return jnp.round(self.flip_probability(change) * 2**_BITS).astype(jnp.int32)


class IsingMetropolis(AbstractSpinSweep):
    """Flips proposed at random and accepted with probability min(1, e^{-ΔS}).

    A flip is proposed with probability 15/16. Were all proposed, those that cost
    nothing would all be made, and diagonal stripes ++-- around a torus, where no flip
    costs anything, turn into each other for ever.

    **Source:** Metropolis et al., J. Chem. Phys. 21, 1087 (1953).

    **Arguments:** `action`; `n_sweeps` ≥ 1 per step.

    **Raises:** `ValueError` for `n_sweeps` < 1, or an S not that of β and h alone.
    """

    action: Ising
    n_sweeps: int = eqx.field(static=True)
    has_field: bool = eqx.field(static=True)

    def __init__(self, action: Ising, n_sweeps: int = 1):
        require_couplings(action, type(self).__name__)
        self.action = action
        self.n_sweeps = _checked(n_sweeps)
        self.has_field = action.may_have_field

    def flip_probability(self, change: Float[Array, "..."]) -> Float[Array, "..."]:
        return _PROPOSED * jnp.exp(-jnp.maximum(change, 0))

    def acceptance(self, flipped: Float[Array, ""]) -> Float[Array, ""]:
        return flipped


class IsingHeatBath(AbstractSpinSweep):
    """Every spin drawn anew, given its neighbours. Never rejects.

    **Source:** Glauber, J. Math. Phys. 4, 294 (1963).

    **Arguments:** `action`; `n_sweeps` ≥ 1 per step.

    **Raises:** `ValueError` for `n_sweeps` < 1, or an S not that of β and h alone.
    """

    action: Ising
    n_sweeps: int = eqx.field(static=True)
    has_field: bool = eqx.field(static=True)

    def __init__(self, action: Ising, n_sweeps: int = 1):
        require_couplings(action, type(self).__name__)
        self.action = action
        self.n_sweeps = _checked(n_sweeps)
        self.has_field = action.may_have_field

    def flip_probability(self, change: Float[Array, "..."]) -> Float[Array, "..."]:
        return sigmoid(-change)

    def acceptance(self, flipped: Float[Array, ""]) -> Float[Array, ""]:
        return jnp.ones_like(flipped)


def _checked(n_sweeps: int) -> int:
    if n_sweeps < 1:
        raise ValueError(f"n_sweeps must be at least 1, got {n_sweeps}")
    return n_sweeps


def _sweep(
    spins: Shaped[Array, "*lattice"],
    key_data: UInt32[Array, " words"],
    chances: Int32[Array, "signs sums"],
    n_sweeps: int,
) -> tuple[Shaped[Array, "*lattice"], Shaped[Array, "*lattice"]]:
    """The spins after all sweeps, and before the last.

    Under `vmap` the chains are on the last axis throughout, random numbers included:
    these would take longer to move than to make.
    """
    masks = lattice.colour_masks(spins.shape)
    shape, size = spins.shape, spins.size

    def sweeps(
        spins: Array, key_data: Array, chances: Array, update: Callable
    ) -> list[Array]:
        def sweep(carry: list[Array], t: Int[Array, ""]) -> tuple[list[Array], None]:
            # a key of its own: where a sweep begins at a later number of one key, XLA
            # takes the generator apart and the loop is no longer vectorised
            bits = words(folded(key_data, t), size) >> (32 - _BITS)
            random = bits.astype(jnp.int32).reshape(*shape, *bits.shape[1:])
            spins, _ = lax.scan(
                lambda spins, mask: (update(spins, random, chances, mask), None),
                carry[0],
                jnp.asarray(masks),
            )
            return [spins, carry[0]], None

        return lax.scan(sweep, [spins, spins], jnp.arange(n_sweeps))[0]

    @jax.custom_batching.custom_vmap
    def run(spins: Array, key_data: Array, chances: Array) -> list[Array]:
        return sweeps(spins, key_data, chances, _update_colour)

    @run.def_vmap
    def _(
        n_chains: int,
        is_batched: list[bool],
        spins: Array,
        key_data: Array,
        chances: Array,
    ) -> tuple[list[Array], list[bool]]:
        def chains_last(leaf: Array, batched: bool) -> Array:
            # one transpose of a matrix: around three axes XLA moves bytes at a tenth of
            # the speed
            if batched:
                return leaf.reshape(n_chains, -1).T.reshape(*leaf.shape[1:], n_chains)
            return jnp.broadcast_to(leaf[..., None], (*leaf.shape, n_chains))

        axis = -1 if is_batched[2] else None
        pair = sweeps(
            chains_last(spins, is_batched[0]),
            chains_last(key_data, is_batched[1]),
            chains_last(chances, True) if is_batched[2] else chances,
            jax.vmap(_update_colour, in_axes=(-1, -1, axis, None), out_axes=-1),
        )
        moved = [leaf.reshape(size, -1).T.reshape(n_chains, *shape) for leaf in pair]
        return moved, [True, True]

    new, old = run(spins, key_data, chances)
    return new, old


def _update_colour(
    spins: Shaped[Array, "*lattice"],
    random: Int32[Array, "*lattice"],
    chances: Int32[Array, "signs sums"],
    mask: Bool[Array, "*lattice"],
) -> Shaped[Array, "*lattice"]:
    n_self = spins.shape.count(1)  # a site is no neighbour of its own
    sums = lattice.neighbour_sum(spins)
    aligned = spins * (sums - 2 * n_self * spins if n_self else sums)
    chance = _chosen(chances[0], aligned)
    if len(chances) == 2:
        chance = jnp.where(spins > 0, chance, _chosen(chances[1], aligned))
    return jnp.where(mask & (random < chance), -spins, spins)


def _chosen(
    chances: Int32[Array, " sums"], sums: Shaped[Array, "*lattice"]
) -> Int32[Array, "*lattice"]:
    """The entry for every site, without looking it up: a chain of comparisons."""
    least = 1 - len(chances)
    chosen = jnp.full(sums.shape, chances[0])
    for index in range(1, len(chances)):
        chosen = jnp.where(sums == least + 2 * index, chances[index], chosen)
    return chosen
