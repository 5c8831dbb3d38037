"""Stage: chains along a line of couplings, refined until ln Z is known well enough.

Round by round: where neighbours overlap badly a coupling is put between them, its
chains warm-started from its left neighbour; once all overlap, the chains that
contribute most to the error go on. Each round is one block, and what it does
follows from the blocks before it, so that one that was lost is made again the same.
"""

import math
import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Num, PRNGKeyArray

from genlat.actions.path import AbstractLine
from genlat.estimators import integration
from genlat.mcmc import runner
from genlat.mcmc.base import AbstractKernel, AbstractTunableKernel
from genlat.mcmc.sequence import Sequence
from genlat.runs.disk import directory, store
from genlat.runs.stages import ledger
from genlat.runs.stages.job import Job
from genlat.runs.stages.keys import Purpose
from genlat.theories.base import Options, SolvedLine, Theory

NAME = "path"
SMALLEST_OVERLAP = 0.25
"""Below it Bennett's ratio hangs on the tails of its neighbours: a coupling between
them costs less than the samples. Two Gaussians of equal width are 2.3 σ apart there."""


class Node(NamedTuple):
    """The chains at one coupling: t, and E on them."""

    fraction: float
    energies: Float[np.ndarray, "chains n"]


class End(NamedTuple):
    """Where the chains at one coupling stand, and their step size."""

    phis: Float[np.ndarray, "chains *lattice"]
    step_size: float


Ends = dict[float, End]  # by t


def run(job: Job) -> None:
    """Fill `path-*.h5` until the target error is met, or the rounds are used up."""
    if line_of(job).end == 0:
        return  # it is the solved theory: there is nothing to integrate
    rounds = job.config.integration.rounds
    blocks: list[store.Block] = []
    ends: Ends = {}
    with job.screen.progress("integration", rounds, len(read(job))) as advance:
        while len(blocks) < rounds:
            place = store.path(job.directory, NAME, len(blocks))
            if not place.exists():
                nodes = assemble(blocks)
                path = path_of(job, nodes) if nodes else None
                wanted = _wanted(job, nodes, path)
                if wanted is None:
                    break
                store.write(place, _round(job, ends, wanted, len(blocks)))
                advance(1, f"ln Z = {path.log_z[-1].estimate('')}" if path else "")
            blocks.append(job.opened.look_into(place))
            ends |= _ends(blocks[-1])


def read(job: Job) -> list[store.Block]:
    """The rounds made so far, verified."""
    return job.blocks(NAME, _fingerprint(job))


def assemble(blocks: list[store.Block]) -> list[Node]:
    """Everything known at every coupling, in increasing order of t."""
    found: dict[float, list[Float[np.ndarray, "chains n"]]] = {}
    for block in blocks:
        fractions, energies = (block.arrays[name] for name in ("fraction", "energy"))
        for fraction, rows in zip(fractions.tolist(), energies, strict=True):
            found.setdefault(fraction, []).append(rows)
    return [Node(x, np.concatenate(found[x], axis=1)) for x in sorted(found)]


def _ends(block: store.Block) -> Ends:
    names = ("fraction", "state/phi", "state/step_size")
    fractions, phis, sizes = (block.arrays[name] for name in names)
    rows = zip(fractions.tolist(), phis, sizes.tolist(), strict=True)
    return {fraction: End(*end) for fraction, *end in rows}


def path_of(job: Job, nodes: list[Node]) -> integration.Path:
    """ln Z along the couplings, from the independent sites at t = 0."""
    fractions = np.array([node.fraction for node in nodes])
    energies = [node.energies for node in nodes]
    return integration.along(fractions, energies, line_of(job).log_z_start())


def line_of(job: Job) -> SolvedLine:
    """The line that leads to the theory of a run."""
    assert job.theory.line is not None  # others are refused with the run file
    return job.theory.line


def _wanted(
    job: Job, nodes: list[Node], path: integration.Path | None
) -> list[float] | None:
    """The couplings of the next round; None when there is nothing left to do."""
    section = job.config.integration
    if path is None:
        return np.linspace(0, 1, section.couplings).tolist()
    fractions = [node.fraction for node in nodes]
    between = [
        (fractions[i] + fractions[i + 1]) / 2
        for i, overlap in enumerate(path.overlaps)
        if overlap < SMALLEST_OVERLAP
    ]
    if between:
        return between
    total = path.log_z[-1]
    if float(total.estimate("").error) <= section.target_error:
        return None
    shares = [
        float(np.mean(influence**2) / influence.size)
        for influence in (total.influences[f"coupling {i}"] for i in range(len(nodes)))
    ]
    typical = np.mean(shares) / 2
    return [x for x, share in zip(fractions, shares, strict=True) if share >= typical]


def _fingerprint(job: Job) -> str:
    config = job.config
    return directory.fingerprint(config.seed, config.theory, config.integration)


def _round(job: Job, ends: Ends, fractions: list[float], index: int) -> store.Block:
    """One round at these couplings: the first alone, since it compiles, then all."""
    key = jr.fold_in(job.key(Purpose.INTEGRATION), index)
    tasks = [
        (job, ends, fraction, jr.fold_in(key, k))
        for k, fraction in enumerate(fractions)
    ]
    stopwatch = job.clock.start()
    found = [_extend(*tasks[0])]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found += pool.map(lambda task: _extend(*task), tasks[1:])
    arrays = {
        "fraction": np.array(fractions),
        "energy": np.stack([node.energies for node, _ in found]),
        "state/phi": np.stack([end.phis for _, end in found]),
        "state/step_size": np.array([end.step_size for _, end in found]),
    }
    block = store.Block(arrays, {"fingerprint": _fingerprint(job)})
    return ledger.sign(job, block, stopwatch.read())


def _extend(
    job: Job, ends: Ends, fraction: float, key: PRNGKeyArray
) -> tuple[Node, End]:
    """Chains at one coupling: continued, or started and thermalised."""
    section = job.config.integration
    line = line_of(job)
    theory = line.served(line.path.at(fraction))
    key_therm, key_run = jr.split(key)
    key_start = jr.fold_in(key_therm, section.therm)
    left = max((x for x in ends if x < fraction), default=None)
    if fraction in ends:
        kernel = _kernel(line, theory, ends[fraction].step_size, section.n_leapfrog)
        states = jax.vmap(kernel.init)(jnp.asarray(ends[fraction].phis))
    else:
        start = (
            End(_start(theory, section.chains, key_start), 0.1)
            if left is None
            else ends[left]
        )
        kernel, states = runner.thermalise(
            _kernel(line, theory, start.step_size, section.n_leapfrog),
            jnp.asarray(start.phis),
            key_therm,
            n_therm=section.therm,
        )
    states, history = runner.run_chunk(
        kernel,
        states,
        key_run,
        0,
        n_samples=section.samples,
        thin=1,
        measure=jax.tree_util.Partial(_energy, line.path, jnp.asarray(fraction)),
    )
    node = Node(fraction, np.asarray(history["energy"]))
    return node, End(np.asarray(states.phi), _step_size(kernel))


def _kernel(
    line: SolvedLine, theory: Theory, step_size: float, n_leapfrog: int
) -> Sequence:
    options = Options(n_leapfrog=n_leapfrog, step_size=step_size)
    return Sequence(tuple(theory.kernels[name](options) for name in line.kernels))


def _start(
    theory: Theory, chains: int, key: PRNGKeyArray
) -> Num[np.ndarray, "chains *lattice"]:
    return np.asarray(theory.start(key, chains, np.dtype(np.float32)))


def _energy(
    path: AbstractLine, fraction: Float[Array, ""], phi: Num[Array, "*lattice"]
) -> dict[str, Float[Array, ""]]:
    return {"energy": path.slope(fraction, phi)}


def _step_size(kernel: AbstractKernel) -> float:
    """Of the kernel that has one; NaN without."""
    assert isinstance(kernel, Sequence)
    tuned = [x for x in kernel.kernels if isinstance(x, AbstractTunableKernel)]
    return float(tuned[0].step_size) if tuned else math.nan
