"""Stage: the baseline chain, in blocks each of which can be continued from."""

import math
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Float

from genlat import observables
from genlat.actions import gap
from genlat.mcmc import runner
from genlat.mcmc.base import AbstractKernel, AbstractTunableKernel, ChainState
from genlat.mcmc.cluster import SignCluster
from genlat.mcmc.hmc import HMC
from genlat.mcmc.metropolis import Metropolis
from genlat.mcmc.sequence import Sequence
from genlat.runs import directory, store
from genlat.runs.job import Job
from genlat.runs.keys import Purpose
from genlat.runs.sections import McmcSection

BLOCK = 250  # kept samples per chain, about


def name(job: Job) -> str:
    """What the chain's estimates are filed under: `hmc`, `hmc+cluster`, ..."""
    return "+".join(_section(job).kernel)


def read(job: Job) -> list[store.Block]:
    """The blocks of the chain, verified."""
    return store.read_all(job.directory, "chain", _fingerprint(job))


def run(job: Job) -> None:
    """Fill `chain-*.h5`; a block that is there stays, the next continues from it.

    A block holds the chains' states at its end and the step sizes found in
    thermalisation, so the one after it needs nothing else.
    """
    section = _section(job)
    lengths = block_lengths(section.samples)
    missing = [
        index
        for index in range(len(lengths))
        if not store.path(job.directory, "chain", index).exists()
    ]
    done = section.samples - sum(lengths[index] for index in missing)
    with job.screen.progress(name(job), section.samples, done) as advance:
        for index in missing:
            begin = time.perf_counter()
            kernel, state = _before(job, index)
            block = _block(job, kernel, state, index)
            block.attributes["seconds"] = time.perf_counter() - begin
            store.write(store.path(job.directory, "chain", index), block)
            advance(lengths[index], "")


def block_lengths(samples: int) -> list[int]:
    """Kept samples of every block: nearly equal, so that few functions compile."""
    n_blocks = max(1, round(samples / BLOCK))
    length = math.ceil(samples / n_blocks)
    return [min(length, samples - start) for start in range(0, samples, length)]


def _section(job: Job) -> McmcSection:
    assert job.config.mcmc is not None
    return job.config.mcmc


def _fingerprint(job: Job) -> str:
    config = job.config
    return directory.fingerprint(config.seed, config.theory, config.mcmc)


def _parts(job: Job) -> tuple[AbstractKernel, ...]:
    """The kernels of the run file, with step sizes yet to be tuned."""
    section = _section(job)
    available = {
        "hmc": HMC(
            job.action, n_leapfrog=section.n_leapfrog, integrator=section.integrator
        ),
        "cluster": SignCluster(job.action),
    }
    if "metropolis" in section.kernel:  # refuses odd extents
        available["metropolis"] = Metropolis(job.action)
    return tuple(available[name] for name in section.kernel)


def _with_step_sizes(
    parts: tuple[AbstractKernel, ...], step_sizes: Float[np.ndarray, " parts"]
) -> AbstractKernel:
    """The kernel made of `parts`; the entry of a part without step size is unused."""
    parts = tuple(
        eqx.tree_at(lambda part: part.step_size, part, jnp.asarray(size))
        if isinstance(part, AbstractTunableKernel)
        else part
        for part, size in zip(parts, step_sizes, strict=True)
    )
    return parts[0] if len(parts) == 1 else Sequence(parts)


def _step_sizes(kernel: AbstractKernel) -> Float[np.ndarray, " parts"]:
    parts = kernel.kernels if isinstance(kernel, Sequence) else (kernel,)
    return np.array(
        [
            float(part.step_size) if isinstance(part, AbstractTunableKernel) else np.nan
            for part in parts
        ]
    )


def _before(job: Job, index: int) -> tuple[AbstractKernel, ChainState]:
    """Kernel and states from which block `index` continues."""
    parts = _parts(job)
    if index > 0:
        arrays = store.read(store.path(job.directory, "chain", index - 1)).arrays
        phis, actions = (
            jnp.asarray(arrays[name]) for name in ("state/phi", "state/action")
        )
        state = jax.vmap(ChainState)(phis, actions)
        return _with_step_sizes(parts, arrays["state/step_sizes"]), state
    key_start, key_therm, _ = jr.split(job.key(Purpose.CHAIN), 3)
    gaussian = gap.best_gaussian(job.action)
    phis = runner.init_chains(
        job.action,
        key_start,
        _section(job).chains,
        dtype=jnp.dtype(jnp.float64),
        scale=math.sqrt(gaussian.mean**2 + np.mean(gaussian.variance)),
    )
    kernel = parts[0] if len(parts) == 1 else Sequence(parts)
    return runner.thermalise(kernel, phis, key_therm, n_therm=_section(job).therm)


def _block(
    job: Job, kernel: AbstractKernel, state: ChainState, index: int
) -> store.Block:
    section = _section(job)
    lengths = block_lengths(section.samples)
    _, _, key = jr.split(job.key(Purpose.CHAIN), 3)
    state, history = runner.run_chunk(
        kernel,
        state,
        key,
        section.thin * sum(lengths[:index]),
        n_samples=lengths[index],
        thin=section.thin,
        measure=jax.tree_util.Partial(observables.primary, job.action),
    )
    histories = {name: np.asarray(values) for name, values in history.items()}
    phis = np.asarray(state.phi)
    arrays = {
        name if name in ("acceptance", "delta_h") else f"observables/{name}": values
        for name, values in histories.items()
    } | {
        "phi": phis[: math.ceil(section.keep / len(lengths))],
        "state/phi": phis,
        "state/action": np.asarray(state.action),
        "state/step_sizes": _step_sizes(kernel),
    }
    return store.Block(arrays, {"fingerprint": _fingerprint(job)})
