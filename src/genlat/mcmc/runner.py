"""Many chains at once, compiled whole: start, thermalise and tune, run in chunks.

Chain i draws from `fold_in(key, i)` and its step t from `fold_in(·, t)`: a history
depends neither on the number of chains, nor on where chunks begin, nor on a restart.
"""

from collections.abc import Callable
from typing import Literal, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, Int8, Key, PRNGKeyArray, ScalarLike, Shaped

from genlat.actions.base import AbstractAction
from genlat.mcmc.base import (
    AbstractKernel,
    AbstractTunableKernel,
    ChainState,
)
from genlat.mcmc.sequence import Sequence

X = TypeVar("X")
Y = TypeVar("Y")
_LogSizes = list[Float[Array, " chains"]]
Measure = Callable[[Shaped[Array, "*lattice"]], dict[str, Float[Array, "..."]]]
Start = Literal["cold", "hot", "dispersed"]

# bytes of configurations that stay in a core's cache through a whole trajectory
_BLOCK_BYTES = 1 << 17
_MIN_BLOCK = 16  # fewer chains leave a vector unit idle


def init_chains(
    action: AbstractAction,
    key: PRNGKeyArray,
    n_chains: int,
    *,
    dtype: DTypeLike,
    scale: ScalarLike = 1.0,
    start: Start = "dispersed",
) -> Float[Array, "chains *lattice"]:
    """Configurations to start from, in both wells.

    `"cold"`: φ = `scale` in even chains, -`scale` in odd ones. `"hot"`: independent
    normal numbers of standard deviation `scale`. `"dispersed"`: cold in two chains of
    four, one of either sign, and hot in the others: more ordered and less than the
    theory is, so that chains that have not forgotten their start disagree.

    **Raises:** `ValueError` for `n_chains` < 1 or an unknown start.
    """
    if n_chains < 1:
        raise ValueError(f"n_chains must be at least 1, got {n_chains}")
    shape = action.field_shape
    size = jnp.asarray(scale, dtype)
    if start not in ("cold", "hot", "dispersed"):
        raise ValueError(f"start must be 'cold', 'hot' or 'dispersed', got {start!r}")
    index = jnp.arange(n_chains).reshape(-1, *(1 for _ in shape))
    signs = (1 - 2 * (index % 2)).astype(dtype)
    cold = jnp.broadcast_to(size * signs, (n_chains, *shape))
    if start == "cold":
        return cold
    keys = _chain_keys(key, n_chains)
    hot = size * jax.vmap(lambda key: jr.normal(key, shape, dtype))(keys)
    return hot if start == "hot" else jnp.where(index % 4 < 2, cold, hot)


def init_spins(
    action: AbstractAction,
    key: PRNGKeyArray,
    n_chains: int,
    *,
    start: Start = "dispersed",
) -> Int8[Array, "chains *lattice"]:
    """Spins to start from, the signs of `init_chains`.

    **Raises:** `ValueError` for `n_chains` < 1 or an unknown start.
    """
    signs = init_chains(action, key, n_chains, dtype=jnp.float32, start=start)
    return jnp.where(signs < 0, -1, 1).astype(jnp.int8)


def thermalise(
    kernel: AbstractKernel,
    phis: Shaped[Array, "chains *lattice"],
    key: PRNGKeyArray,
    *,
    n_therm: int,
) -> tuple[AbstractKernel, ChainState]:
    r"""Run `n_therm` steps from `phis`; tune step sizes on the way, then freeze them.

    For the first three quarters every tunable kernel follows Robbins and Monro on the
    logarithm of its step size ε, with
    $\ln\epsilon \mathrel{+}= (1 + t/20)^{-3/4}\,(\mathrm{acc} - \mathrm{target})$:
    first every chain on its own, so that none stays stuck far from equilibrium while
    the others settle on a step too long for it, then all with their common acceptance.
    The last quarter runs with ε frozen at the average of ln ε since the middle.

    **Source:** Robbins and Monro, Ann. Math. Stat. 22, 400 (1951); the average is
    Polyak and Juditsky's, SIAM J. Control Optim. 30, 838 (1992).

    **Arguments:** `phis` as from `init_chains`; `key` of thermalisation alone;
    `n_therm` ≥ 1, some hundred if there is something to tune.

    **Returns:** the tuned kernel and the states, chains first.

    **Raises:** `ValueError` for `n_therm` < 1.
    """
    if n_therm < 1:
        raise ValueError(f"n_therm must be at least 1, got {n_therm}")
    return _thermalise(kernel, phis, _chain_keys(key, len(phis)), n_therm)


@eqx.filter_jit
def _thermalise(
    kernel: AbstractKernel,
    phis: Shaped[Array, "chains *lattice"],
    keys: Key[Array, " chains"],
    n_therm: int,
) -> tuple[AbstractKernel, ChainState]:
    n_alone, n_tune = n_therm // 4, max(1, 3 * n_therm // 4)
    n_half = min(n_therm // 2, n_tune - 1)
    targets = [part.target_acceptance for part in _tunable(kernel)]

    def adapt(
        t: Int[Array, ""],
        log_size: Float[Array, " chains"],
        average: Float[Array, " chains"],
        acceptance: Float[Array, " chains"],
        target: float,
    ) -> tuple[Float[Array, " chains"], Float[Array, " chains"]]:
        log_size = log_size + (1 + t / 20) ** -0.75 * (acceptance - target)
        log_size = jnp.where(t < n_alone, log_size, jnp.mean(log_size))
        is_averaged = (n_half <= t) & (t < n_tune)
        average = average + jnp.where(is_averaged, log_size, 0) / (n_tune - n_half)
        return jnp.where(t < n_tune - 1, log_size, average), average

    def step(
        carry: tuple[ChainState, _LogSizes, _LogSizes], t: Int[Array, ""]
    ) -> tuple[tuple[ChainState, _LogSizes, _LogSizes], None]:
        states, log_sizes, averages = carry
        states, acceptances = _over_chains(
            lambda chain: _step_each(kernel, t, *chain), (keys, states, log_sizes)
        )
        adapted = [
            adapt(t, *each)
            for each in zip(log_sizes, averages, acceptances, targets, strict=True)
        ]
        log_sizes = [log_size for log_size, _ in adapted]
        return (states, log_sizes, [average for _, average in adapted]), None

    log_sizes = [
        jnp.full(len(phis), jnp.log(part.step_size)) for part in _tunable(kernel)
    ]
    start = _over_chains(kernel.init, phis), log_sizes, [0 * x for x in log_sizes]
    (states, _, averages), _ = lax.scan(step, start, jnp.arange(n_therm))
    return _with_log_sizes(kernel, [average[0] for average in averages]), states


def _step_each(
    kernel: AbstractKernel,
    t: Int[Array, ""],
    key: PRNGKeyArray,
    state: ChainState,
    log_sizes: list[Float[Array, ""]],
) -> tuple[ChainState, list[Float[Array, ""]]]:
    """One step with these step sizes; the acceptance of every tunable kernel."""
    acceptances = []
    for index, part in enumerate(_parts(_with_log_sizes(kernel, log_sizes))):
        state, info = part.step(jr.fold_in(jr.fold_in(key, t), index), state)
        if isinstance(part, AbstractTunableKernel):
            acceptances.append(info.acceptance)
    return state, acceptances


def run_chunk(
    kernel: AbstractKernel,
    states: ChainState,
    key: PRNGKeyArray,
    start: int,
    *,
    n_samples: int,
    thin: int,
    measure: Measure,
) -> tuple[ChainState, dict[str, Float[Array, "chains samples ..."]]]:
    """Continue every chain by `n_samples` · `thin` steps, measuring every `thin`-th.

    Two chunks are the same, bit for bit, as one of twice the length, if the second
    continues the states of the first with the same `key` and `start` advanced. Memory
    does not grow with the number of steps but for the history. Configurations are not
    kept: the states returned are one per chain, and a `measure` that returns φ itself
    keeps them all.

    **Arguments:**

    - `kernel`, `states`: as from `thermalise`; chains first.
    - `key`: of this run. `start`: number of steps it has made before this chunk.
    - `measure`: observables of one configuration. The same function object in every
      chunk, or each compiles anew.

    **Returns:** the new states, and histories in float64: what `measure` names, the
    `acceptance` averaged over the `thin` steps, `delta_h` of the last of them.

    **Raises:** `ValueError` for `n_samples` or `thin` < 1.
    """
    if n_samples < 1 or thin < 1:
        raise ValueError(f"need n_samples, thin >= 1, got {n_samples=}, {thin=}")
    keys = _chain_keys(key, len(states.action))
    return _run_chunk(
        kernel, states, keys, jnp.asarray(start), (n_samples, thin), measure
    )


@eqx.filter_jit
def _run_chunk(
    kernel: AbstractKernel,
    states: ChainState,
    keys: Key[Array, " chains"],
    start: Int[Array, ""],
    counts: tuple[int, int],
    measure: Measure,
) -> tuple[ChainState, dict[str, Float[Array, "chains samples ..."]]]:
    n_samples, thin = counts

    def run_one(
        pair: tuple[PRNGKeyArray, ChainState],
    ) -> tuple[ChainState, dict[str, Float[Array, "samples ..."]]]:
        key, state = pair

        def sample(
            state: ChainState, first: Int[Array, ""]
        ) -> tuple[ChainState, dict[str, Float[Array, "..."]]]:
            state, info = lax.scan(
                lambda state, t: kernel.step(jr.fold_in(key, t), state),
                state,
                first + jnp.arange(thin),
            )
            observed = measure(state.phi) | {
                "acceptance": jnp.mean(info.acceptance),
                "delta_h": info.delta_h[-1],
            }
            in_float64 = jax.tree.map(lambda x: x.astype(state.action.dtype), observed)
            return state, in_float64

        return lax.scan(sample, state, start + thin * jnp.arange(n_samples))

    return _over_chains(run_one, (keys, states))


def _parts(kernel: AbstractKernel) -> tuple[AbstractKernel, ...]:
    return kernel.kernels if isinstance(kernel, Sequence) else (kernel,)


def _tunable(kernel: AbstractKernel) -> list[AbstractTunableKernel]:
    return [part for part in _parts(kernel) if isinstance(part, AbstractTunableKernel)]


def _with_log_sizes(
    kernel: AbstractKernel, log_sizes: list[Float[Array, ""]]
) -> AbstractKernel:
    return eqx.tree_at(
        lambda kernel: [part.step_size for part in _tunable(kernel)],
        kernel,
        [jnp.exp(log_size) for log_size in log_sizes],
    )


def _chain_keys(key: PRNGKeyArray, n_chains: int) -> Key[Array, " chains"]:
    return jax.vmap(jr.fold_in, in_axes=(None, 0))(key, jnp.arange(n_chains))


def _over_chains(function: Callable[[X], Y], chains: X) -> Y:
    """`function` of every chain; on CPU in blocks that stay in cache."""
    leaves = jax.tree.leaves(chains)
    n_chains = len(leaves[0])
    block = n_chains
    if jax.default_backend() == "cpu":
        largest = max(leaf[0].nbytes for leaf in leaves)
        block = min(n_chains, max(_MIN_BLOCK, _BLOCK_BYTES // largest))
    return lax.map(function, chains, batch_size=block)
