"""Stage: the baseline chain, in blocks each of which can be continued from."""

import json
import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Float

from genlat import observables
from genlat.mcmc import runner
from genlat.mcmc.base import AbstractKernel, AbstractTunableKernel, ChainState
from genlat.mcmc.sequence import Sequence
from genlat.runs.disk import directory, store
from genlat.runs.file.sections import McmcSection
from genlat.runs.stages import ledger
from genlat.runs.stages.job import Job
from genlat.runs.stages.keys import Purpose
from genlat.theories.base import AbstractTheorySection, Options, Theory

BLOCK = 250  # kept samples per chain, about


def name(job: Job) -> str:
    """What the chain's estimates are filed under: `hmc`, `hmc+cluster`, ..."""
    return name_of(_section(job))


def name_of(section: McmcSection) -> str:
    """The same, of a run file."""
    return "+".join(section.kernel)


def read(job: Job) -> list[store.Block]:
    """The blocks of the chain, verified."""
    count = len(plan(_section(job)).lengths)
    return job.blocks("chain", _fingerprint(job), count)


def run(job: Job) -> None:
    """Fill `chain-*.h5`; a block that is there stays, the next continues from it.

    A block holds the chains' states at its end and the step sizes found in
    thermalisation, so the one after it needs nothing else.
    """
    section = _section(job)
    lengths = plan(section).lengths
    missing = [
        index
        for index in range(len(lengths))
        if not store.path(job.directory, "chain", index).exists()
    ]
    done = section.samples - sum(lengths[index] for index in missing)
    with job.screen.progress(name(job), section.samples, done) as advance:
        for index in missing:
            stopwatch = job.clock.start()
            advance(0, "" if index else f"thermalising, {section.therm} steps")
            kernel, state = _before(job, index)
            advance(0, "")
            block = _block(job, kernel, state, index)
            block = ledger.sign(job, block, stopwatch.read())
            store.write(store.path(job.directory, "chain", index), block)
            advance(lengths[index], "")


class Plan(NamedTuple):
    """How the kept samples of a chain are cut up.

    - `lengths`: kept samples of every block.
    - `stride`: kept samples from one look at the configurations to the next.
    - `every`: of these looks, every which is stored; 0 for none.
    """

    lengths: list[int]
    stride: int
    every: int


def plan(section: McmcSection) -> Plan:
    """Blocks of nearly equal length, with snapshots of all chains evenly spaced.

    Blocks are whole strides but for the last, so that few functions compile.
    """
    samples = section.samples
    snapshots = min(samples, math.ceil(section.keep / section.chains))
    spacing = samples // snapshots if snapshots else samples
    n_blocks = max(1, round(samples / BLOCK))
    length = math.ceil(samples / n_blocks)
    if snapshots and spacing <= length:
        length = spacing * max(1, round(length / spacing))
        stride, every = spacing, 1
    else:
        stride, every = length, spacing // length if snapshots else 0
    lengths = [min(length, samples - start) for start in range(0, samples, length)]
    return Plan(lengths, stride, every)


def _section(job: Job) -> McmcSection:
    assert job.config.mcmc is not None
    return job.config.mcmc


def _sweeps(section: McmcSection, theory: AbstractTheorySection) -> int:
    """How many sweeps a step makes, which are `mcmc.thin` steps in one.

    Where sweeps are all there is from one kept sample to the next: nothing is computed
    between them, which makes them up to 2.5 times as fast.
    """
    is_one = len(section.kernel) == 1 and section.kernel[0] in theory.SWEEPS
    return section.thin if is_one else 1


def _fingerprint(job: Job) -> str:
    config = job.config
    return directory.fingerprint(config.seed, config.theory, config.mcmc)


def kernel_of(
    section: McmcSection, asked: AbstractTheorySection, theory: Theory
) -> AbstractKernel:
    """The kernel of a run file, with step sizes yet to be tuned."""
    parts = _parts(section, asked, theory)
    return parts[0] if len(parts) == 1 else Sequence(parts)


def _parts(
    section: McmcSection, asked: AbstractTheorySection, theory: Theory
) -> tuple[AbstractKernel, ...]:
    n_sweeps = _sweeps(section, asked)
    options = Options(section.n_leapfrog, section.integrator, n_sweeps)
    return tuple(theory.kernels[name](options) for name in section.kernel)


def _parts_of(job: Job) -> tuple[AbstractKernel, ...]:
    return _parts(_section(job), job.config.theory, job.theory)


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
    section = _section(job)
    if index > 0:
        before = store.path(job.directory, "chain", index - 1)
        arrays = job.opened.look_into(before).arrays
        phis, actions = (
            jnp.asarray(arrays[name]) for name in ("state/phi", "state/action")
        )
        state = jax.vmap(ChainState)(phis, actions)
        step_sizes = arrays["state/step_sizes"]
        return _with_step_sizes(_parts_of(job), step_sizes), state
    key_start, key_therm, _ = jr.split(job.key(Purpose.CHAIN), 3)
    phis = job.theory.start(key_start, section.chains, jnp.dtype(jnp.float64))
    n_therm = math.ceil(section.therm / _sweeps(section, job.config.theory))
    kernel = kernel_of(section, job.config.theory, job.theory)
    return runner.thermalise(kernel, phis, key_therm, n_therm=n_therm)


def _block(
    job: Job, kernel: AbstractKernel, state: ChainState, index: int
) -> store.Block:
    section = _section(job)
    lengths, stride, every = plan(section)
    _, _, key = jr.split(job.key(Purpose.CHAIN), 3)
    measure = jax.tree_util.Partial(observables.primary, job.action)
    begin, end = sum(lengths[:index]), sum(lengths[: index + 1])
    thin = section.thin // _sweeps(section, job.config.theory)
    histories, snapshots = [], []
    stored = job.action.space.dtype
    for start in range(begin, end, stride):
        n = min(stride, end - start)
        state, history = runner.run_chunk(
            kernel,
            state,
            key,
            thin * start,
            n_samples=n,
            thin=thin,
            measure=measure,
        )
        histories.append(jax.tree.map(np.asarray, history))
        look = (start + n) // stride
        if every and n == stride and look % every == 0:
            snapshots.append(np.asarray(state.phi, stored))
    history = jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), *histories)
    phis = np.asarray(state.phi)
    empty = np.zeros((len(phis), 0, *phis.shape[1:]), stored)
    arrays = {
        name if name in ("acceptance", "delta_h") else f"observables/{name}": values
        for name, values in history.items()
    } | {
        "phi": np.stack(snapshots, axis=1) if snapshots else empty,
        "state/phi": phis,
        "state/action": np.asarray(state.action),
        "state/step_sizes": _step_sizes(kernel),
    }
    return store.Block(arrays, {"fingerprint": _fingerprint(job), **_label(job)})


def _label(job: Job) -> dict[str, Any]:
    """What the ensemble is of, for whoever finds it: theory and kernel."""
    kernel = Sequence(_parts_of(job))
    return {
        "theory": json.dumps(job.config.theory.model_dump(exclude_none=True)),
        "kernel": name(job),
        "visits_every_mode": int(job.theory.is_visited_by(kernel)),
    }
