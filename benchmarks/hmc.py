"""HMC against BlackJAX's on the same action, side by side in one process.

Full trajectories of 10 leapfrog steps with momentum refresh, ΔH and accept/reject,
λ = 0.022, κ = 0.25, one core, float32 fields. Both take the same number of
trajectories in one compiled call; genlat sums its actions in float64, BlackJAX has
neither that nor a choice of layout. CPU seconds, compile time excluded, minimum over
repeats.

    pip install -e .[bench] && python benchmarks/hmc.py
"""

import functools
import math
import os
import time
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array

from genlat.actions.phi4 import Phi4
from genlat.mcmc import runner
from genlat.mcmc.hmc import HMC

N_LEAPFROG, STEP_SIZE, REPEATS = 10, 0.12, 7
CASES = [((64, 8), 64), ((64, 8), 1024), ((64, 64), 64)]


def seconds(function, *arguments) -> float:
    """Fastest of `REPEATS` calls, after one that compiles."""
    jax.block_until_ready(function(*arguments))
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        jax.block_until_ready(function(*arguments))
        times.append(time.process_time() - start)
    return min(times)


def phi2(phi: Array) -> dict[str, Array]:
    return {"phi2": jnp.mean(phi**2)}


def genlat_seconds(action: Phi4, phis: Array, n: int) -> float:
    kernel = HMC(action, step_size=STEP_SIZE, n_leapfrog=N_LEAPFROG)
    states = jax.vmap(kernel.init)(phis)
    chunk = functools.partial(
        runner.run_chunk, kernel, states, jr.key(1), 0, n_samples=1, thin=n
    )
    return seconds(lambda: chunk(measure=phi2))


def blackjax_seconds(action: Phi4, phis: Array, n: int) -> float:
    import blackjax

    def log_density(phi: Array) -> Array:
        neighbours = jnp.roll(phi, -1, 0) + jnp.roll(phi, -1, 1)
        h, a, b = (
            jnp.asarray(x, phi.dtype)
            for x in (action.hopping, action.quadratic, action.quartic)
        )
        return -jnp.sum(-2 * h * phi * neighbours + a * phi**2 + b * phi**4)

    def flat_density(flat: Array) -> Array:
        return log_density(flat.reshape(action.lattice_shape))

    hmc: Any = blackjax.hmc(
        flat_density,
        step_size=jnp.float32(STEP_SIZE),
        inverse_mass_matrix=jnp.ones(phis[0].size, phis.dtype),
        num_integration_steps=N_LEAPFROG,
    )

    @jax.jit
    def run(states, key):
        def trajectory(states, key):
            keys = jr.split(key, len(phis))
            return jax.vmap(hmc.step)(keys, states)[0], None

        states, _ = jax.lax.scan(trajectory, states, jr.split(key, n))
        return states.position

    states = jax.vmap(hmc.init)(phis.reshape(len(phis), -1))
    return seconds(run, states, jr.key(1))


def main() -> None:
    """Print millions of site updates (site times leapfrog step) per second."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    jax.config.update("jax_enable_x64", True)
    print(f"{'lattice':>9}{'chains':>8}{'genlat':>10}{'BlackJAX':>10}{'ratio':>8}")
    for shape, n_chains in CASES:
        action = Phi4(shape, 0.25, 0.022)
        phis = 0.8 * jr.normal(jr.key(0), (n_chains, *shape), jnp.float32)
        n = max(10, 20_000_000 // (n_chains * math.prod(shape) * N_LEAPFROG))
        work = n * n_chains * math.prod(shape) * N_LEAPFROG
        ours = work / genlat_seconds(action, phis, n) / 1e6
        theirs = work / blackjax_seconds(action, phis, n) / 1e6
        name = "x".join(map(str, shape))
        print(f"{name:>9}{n_chains:8}{ours:10.0f}{theirs:10.0f}{ours / theirs:8.2f}")


if __name__ == "__main__":
    main()
