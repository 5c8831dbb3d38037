"""Stages: draw from the model, run the neural Markov chain."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from genlat.estimators import nmcmc, weights
from genlat.families.base import DRAWS
from genlat.models.base import AbstractModel
from genlat.runs.disk import directory, store
from genlat.runs.file.sections import EstimateSection
from genlat.runs.stages import integrated, ledger, sampling
from genlat.runs.stages.job import Job
from genlat.runs.stages.keys import Purpose

BLOCK = 10_000  # draws of a block, about


def run(job: Job, model: AbstractModel) -> None:
    """Fill `flow-*.h5` and, where asked for, `nmcmc-*.h5`; whatever is there stays."""
    _flow(job, model)
    propose(job)


def propose(job: Job) -> None:
    """Fill `nmcmc-*.h5`, where that is asked for, from the draws on disk."""
    if "nmcmc" in job.config.methods:
        _nmcmc(job)


def fingerprint(job: Job) -> str:
    """What the model's ensembles depend on."""
    config = job.config
    sections = (config.theory, config.model, config.train, config.estimate)
    of_others = () if config.draws is None else (config.draws,)
    return directory.fingerprint(config.seed, *sections, *of_others)


def read_flow(job: Job) -> list[store.Block]:
    """The blocks of draws, verified."""
    return job.blocks("flow", fingerprint(job), len(starts(job.config.estimate)))


def log_weights(flow: Sequence[store.Block]) -> Float[np.ndarray, " n"]:
    """ln w̃ = -S - ln q of all draws."""
    arrays = store.joined(flow, sample_axis=0, names=("action", "log_q"))
    return -arrays["action"] - arrays["log_q"]


def usable(log_w: Float[np.ndarray, " n"]) -> bool:
    """Whether anything can be estimated: no weight is NaN or +inf, one is positive."""
    return not weights.non_finite(log_w) and bool(np.any(np.isfinite(log_w)))


def _flow(job: Job, model: AbstractModel) -> None:
    estimate = job.config.estimate
    firsts = starts(estimate)
    size = firsts.step
    missing = [
        (index, start)
        for index, start in enumerate(firsts)
        if not store.path(job.directory, "flow", index).exists()
    ]
    n_done = estimate.samples - sum(
        min(size, estimate.samples - start) for _, start in missing
    )
    with job.screen.progress("sampling", estimate.samples, n_done) as advance:
        for index, start in missing:
            n, stopwatch = min(size, estimate.samples - start), job.clock.start()
            key = job.key(Purpose.FLOW)
            draws = sampling.draw(model, job.action, key, start, n, job.at_once)
            spent = stopwatch.read()
            block = _block(job, draws, keep=max(0, min(n, estimate.keep - start)))
            if (steps := integrated.n_steps(model)) is not None:
                block.attributes["integrator_steps"] = steps
            block = ledger.sign(job, block, spent)
            store.write(store.path(job.directory, "flow", index), block)
            advance(n, "")


def starts(estimate: EstimateSection) -> range:
    """The first draw of every block."""
    # whole batches, so that a block never draws what the next one throws away; not of
    # `job.at_once`, since blocks must be the same on every device
    batch = DRAWS if estimate.batch is None else estimate.batch
    return range(0, estimate.samples, batch * max(1, BLOCK // batch))


def _block(job: Job, draws: sampling.Draws, keep: int) -> store.Block:
    measured = {f"observables/{key}": x for key, x in draws.observables.items()}
    arrays: dict[str, Any] = {
        "log_q": draws.log_q,
        "action": draws.action,
        "phi": draws.phis[:keep],
        **measured,
    }
    return store.Block(arrays, {"fingerprint": fingerprint(job)})


def _nmcmc(job: Job) -> None:
    path = store.path(job.directory, "nmcmc", 0)
    if path.exists():
        return
    stopwatch = job.clock.start()
    log_w = log_weights(read_flow(job))
    if not usable(log_w):
        return  # the verdict says so; a chain over such weights would mean nothing
    chains = job.config.estimate.chains
    steps = log_w.size // chains
    chain = nmcmc.run(
        job.key(Purpose.NMCMC), log_w[: chains * steps].reshape(chains, steps)
    )
    arrays = {"index": chain.index, "accepted": chain.accepted}
    block = store.Block(arrays, {"fingerprint": fingerprint(job)})
    store.write(path, ledger.sign(job, block, stopwatch.read()))
