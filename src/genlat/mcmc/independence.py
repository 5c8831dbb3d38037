"""Independence Metropolis: a density that can be drawn from proposes whole states."""

from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Num, PRNGKeyArray

from genlat.actions.base import AbstractAction
from genlat.likelihood import Likelihood
from genlat.mcmc.base import AbstractKernel, ChainInfo, ChainState


@runtime_checkable
class Proposal(Protocol):
    """A density q that knows itself, such as a trained model's."""

    @property
    def likelihood(self) -> Likelihood:
        """What its log q is."""
        ...

    def sample_and_log_prob(
        self, key: PRNGKeyArray
    ) -> tuple[Num[Array, "*lattice"], Float[Array, ""]]:
        """One configuration and its log q."""
        ...

    def log_prob(self, phi: Num[Array, "*lattice"]) -> Float[Array, ""]:
        """log q of a given configuration."""
        ...


class Independence(AbstractKernel):
    r"""φ → φ' ~ q, accepted with min(1, w̃(φ')/w̃(φ)), w̃ = e^{-S}/q.

    Alone it is neural MCMC, which `estimators.nmcmc` runs over draws that are there
    already. In a `Sequence` with a cluster kernel it is a neural cluster algorithm: q
    moves what clusters are slow in, clusters move the chain away from a state that q
    hardly proposes and that would be kept for w̃ steps. One step costs a draw and a
    log q. Every density is admissible that is positive wherever p is, and exact; a
    factor of q falls out. log q of the state is asked for anew at every step, so that
    it must be the state's: that of a path to it is another one each time.

    **Source:** Nicoli et al., Phys. Rev. E 101, 023304, arXiv:1910.13496 (NMCMC).

    **Arguments:** `action`; `proposal`, an exact density of the same lattice, whose
    parameters are not changed.

    **Raises:** `ValueError` for a proposal whose likelihood is not exact.
    """

    action: AbstractAction
    proposal: Proposal

    def __check_init__(self):
        likelihood = self.proposal.likelihood
        if likelihood.kind != "exact":
            raise ValueError(
                f"Independence accepts by log q of a configuration, which "
                f"{type(self.proposal).__name__} does not know exactly: its likelihood "
                f"is {likelihood}"
            )

    def init(self, phi: Num[Array, "*lattice"]) -> ChainState:
        return ChainState(phi, self.action(phi))

    def step(
        self, key: PRNGKeyArray, state: ChainState
    ) -> tuple[ChainState, ChainInfo]:
        key_draw, key_accept = jr.split(key)
        phi, log_q = self.proposal.sample_and_log_prob(key_draw)
        new = self.init(phi.astype(state.phi.dtype))
        log_w = -state.action - self.proposal.log_prob(state.phi)
        log_ratio = -new.action - log_q - log_w
        probability = jnp.exp(jnp.minimum(log_ratio, 0))
        is_accepted = jr.uniform(key_accept, dtype=log_ratio.dtype) < probability
        kept = jax.tree.map(lambda a, b: jnp.where(is_accepted, a, b), new, state)
        return kept, ChainInfo(probability, jnp.zeros_like(probability))
