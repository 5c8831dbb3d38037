"""Several kernels, one after the other."""

import jax.random as jr
from jaxtyping import Array, PRNGKeyArray, Shaped

from genlat.mcmc.base import (
    AbstractKernel,
    AbstractTunableKernel,
    ChainInfo,
    ChainState,
)


class Sequence(AbstractKernel):
    """Every kernel of `kernels` once, in order; one unit of each is the unit of time.

    `ChainInfo` is that of the first kernel with a step size, or else of the first.

    **Arguments:** `kernels`, at least one, all of the same action.

    **Raises:** `ValueError` for an empty sequence.
    """

    kernels: tuple[AbstractKernel, ...]

    def __check_init__(self):
        if not self.kernels:
            raise ValueError("a sequence needs at least one kernel")

    @property
    def visits_every_mode(self) -> bool:
        return any(kernel.visits_every_mode for kernel in self.kernels)

    def init(self, phi: Shaped[Array, "*lattice"]) -> ChainState:
        return self.kernels[0].init(phi)

    def step(
        self, key: PRNGKeyArray, state: ChainState
    ) -> tuple[ChainState, ChainInfo]:
        state, infos = self.step_each(key, state)
        tunable = [isinstance(x, AbstractTunableKernel) for x in self.kernels]
        return state, infos[tunable.index(True) if any(tunable) else 0]

    def step_each(
        self, key: PRNGKeyArray, state: ChainState
    ) -> tuple[ChainState, tuple[ChainInfo, ...]]:
        """`step`, with the diagnostics of every kernel."""
        infos = []
        for index, kernel in enumerate(self.kernels):
            state, info = kernel.step(jr.fold_in(key, index), state)
            infos.append(info)
        return state, tuple(infos)
