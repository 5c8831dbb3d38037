r"""Neural MCMC: independence Metropolis over weights that are already computed.

A step of every chain takes the next draw of q and accepts it with probability
min(1, w̃'/w̃). Only log-weights are needed, so all chains run in one scan, and an
observable measured on the draws is gathered afterwards: `values[chain.index]`, then
`estimators.autocorrelation`.

**Source:** Albergo et al., Phys. Rev. D 100, 034515 (2019), arXiv:1904.12072; Nicoli et
al., Phys. Rev. E 101, 023304 (2020), arXiv:1910.13496.
"""

import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from genlat.estimators import autocorrelation, weights
from genlat.estimators.brief import brief
from genlat.estimators.estimate import Estimate


@dataclasses.dataclass(frozen=True)
class NMCMC:
    """Chains of states, by reference to the draws they were made of.

    `index[c, t]` is the state of chain c after step t, as a position among all draws
    (row-major in the `log_w` given to `run`); `accepted[c, t]` whether step t moved.
    """

    index: Int[np.ndarray, "chains steps"]
    accepted: Bool[np.ndarray, "chains steps"]

    __repr__ = brief

    @property
    def acceptance(self) -> Estimate:
        """Accepted fraction of all steps, with autocorrelation in its error."""
        return autocorrelation.mean(self.accepted.astype(np.float64))


def run(key: PRNGKeyArray, log_w: Float[np.ndarray, "chains steps"]) -> NMCMC:
    """Chain c proposes the draws `log_w[c, 0]`, `log_w[c, 1]`, ... in turn.

    No burn-in: every chain starts from one of all draws, picked with probability
    proportional to its weight, so that its first state is one of p up to O(1/n_eff),
    as in importance sampling, and no step is thrown away. (Starting from a draw of q
    leaves a bias that lasts for the longest run of rejections, which in the presence
    of a large weight no affordable burn-in removes.)

    A zero weight, log w = -inf, is never started from and never accepted.

    **Arguments:** `log_w` of independent draws from q, in float64.

    **Raises:** `ValueError` as `weights.check`, and if JAX is not in 64-bit mode.
    """
    if not jax.config.read("jax_enable_x64"):
        raise ValueError("log-weights need float64: enable jax_enable_x64 first")
    weights.check(log_w)
    key_start, key_accept = jr.split(key)
    log_w = np.asarray(log_w, dtype=np.float64)
    start = _resample(key_start, log_w)
    index, accepted = _scan(key_accept, log_w, start, log_w.reshape(-1)[start])
    return NMCMC(np.asarray(index), np.asarray(accepted))


def _resample(
    key: PRNGKeyArray, log_w: Float[np.ndarray, "chains steps"]
) -> Int[np.ndarray, " chains"]:
    """One draw per chain, by weight, from all of them."""
    total = np.cumsum(np.exp(log_w.reshape(-1) - np.max(log_w)))
    u = np.asarray(jr.uniform(key, (log_w.shape[0],)))
    # u < 1, so u * total[-1] < total[-1]; "right" steps over draws of zero weight
    return np.searchsorted(total, u * total[-1], side="right")


@jax.jit
def _scan(
    key: PRNGKeyArray,
    log_w: Float[Array, "chains steps"],
    start: Int[Array, " chains"],
    log_w_start: Float[Array, " chains"],
) -> tuple[Int[Array, "chains steps"], Bool[Array, "chains steps"]]:
    n_chains, n_steps = log_w.shape
    log_u = jnp.log(jr.uniform(key, (n_steps, n_chains)))
    row = n_steps * jnp.arange(n_chains)

    def step(state, proposal):
        index, log_w_now = state
        proposed_index, log_w_new, log_u = proposal
        # strict: with u = 0 a zero weight must still be rejected
        accepted = log_u < log_w_new - log_w_now
        index = jnp.where(accepted, proposed_index, index)
        log_w_now = jnp.where(accepted, log_w_new, log_w_now)
        return (index, log_w_now), (index, accepted)

    indices = row[None, :] + jnp.arange(n_steps)[:, None]
    _, (index, accepted) = lax.scan(
        step, (start, log_w_start), (indices, log_w.T, log_u)
    )
    return index.T, accepted.T
