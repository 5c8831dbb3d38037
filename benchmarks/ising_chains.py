"""Ising sweeps and cluster steps: spins per nanosecond of one core, and their floor.

64 chains of 64² at β = 0.44, int8 spins, through the chain runner: kernel, action and
random numbers. The floor of the local kernels is their random numbers alone, one word
of 32 bits per spin and sweep. CPU seconds, compile time excluded, minimum over repeats.

    pip install -e . && python benchmarks/ising_chains.py
"""

import functools
import os
import time

import jax
import jax.numpy as jnp
import jax.random as jr
from jax import lax
from jaxtyping import Array

from genlat.actions.ising import Ising
from genlat.mcmc import noise, runner
from genlat.mcmc.base import AbstractKernel
from genlat.mcmc.spin_clusters import SwendsenWang, Wolff
from genlat.mcmc.spins import IsingHeatBath, IsingMetropolis

jax.config.update("jax_enable_x64", True)
SHAPE, CHAINS, BETA, REPEATS = (64, 64), 64, 0.44, 7
SPINS = SHAPE[0] * SHAPE[1] * CHAINS
ACTION = Ising(SHAPE, BETA)
# kernel, sweeps of a step, steps of a call
CASES: dict[str, tuple[AbstractKernel, int, int]] = {
    "Metropolis, 50 sweeps a step": (IsingMetropolis(ACTION, 50), 50, 4),
    "heat bath, 50 sweeps a step": (IsingHeatBath(ACTION, 50), 50, 4),
    "Metropolis, 1 sweep a step": (IsingMetropolis(ACTION), 1, 50),
    "heat bath, 1 sweep a step": (IsingHeatBath(ACTION), 1, 50),
    "Swendsen-Wang": (SwendsenWang(ACTION), 1, 5),
    "Wolff, by the same labelling": (Wolff(ACTION), 1, 5),
}


def seconds(function, *arguments) -> float:
    """Fastest of `REPEATS` calls, after one that compiles."""
    jax.block_until_ready(function(*arguments))
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        jax.block_until_ready(function(*arguments))
        times.append(time.process_time() - start)
    return min(times)


def mag(spins: Array) -> dict[str, Array]:
    return {"mag": jnp.mean(spins, dtype=float)}


def chain_seconds(kernel: AbstractKernel, n: int) -> float:
    spins = runner.init_spins(ACTION, jr.key(0), CHAINS)
    states = jax.vmap(kernel.init)(spins)
    chunk = functools.partial(
        runner.run_chunk, kernel, states, jr.key(1), 0, n_samples=1, thin=n
    )
    return seconds(lambda: chunk(measure=mag))


@jax.jit
def floor(key_data: Array) -> Array:
    """The random numbers of 50 sweeps of half of the chains, as the runner has them."""

    def sweep(total: Array, t: Array) -> tuple[Array, None]:
        bits = noise.words(noise.folded(key_data, t), SHAPE[0] * SHAPE[1])
        return total ^ lax.reduce(bits, jnp.uint32(0), lax.bitwise_xor, (0,)), None

    start = jnp.zeros(key_data.shape[1:], jnp.uint32)
    return lax.scan(sweep, start, jnp.arange(50))[0]


def main() -> None:
    half = jr.key_data(jr.split(jr.key(2), CHAINS // 2)).T
    print(f"{CHAINS} chains of {SHAPE[0]} x {SHAPE[1]}, beta = {BETA}, one core")
    lowest = 2 * seconds(floor, half) / 50 / SPINS
    print(
        f"{'random numbers alone':<30} {1e9 * lowest:7.2f} ns {1e-9 / lowest:7.3f} G/s"
    )
    for name, (kernel, n_sweeps, n) in CASES.items():
        each = chain_seconds(kernel, n) / (n * n_sweeps * SPINS)
        print(f"{name:<30} {1e9 * each:7.2f} ns {1e-9 / each:7.3f} Gspin/s", flush=True)


if __name__ == "__main__":
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})
    main()
