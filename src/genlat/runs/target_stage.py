"""Stage: what the model makes of samples of p: log q and S on stored chains.

The samples are those of this run's own chain, or of another run of the same theory.
None was used in training: the reverse KL sees draws of q only.
"""

import json
import time
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from genlat.actions.base import AbstractAction
from genlat.models.cnf import CNF
from genlat.runs import directory, source, store
from genlat.runs.errors import RequestError
from genlat.runs.job import Job

NAME = "target"


class Label(NamedTuple):
    """What the chain ensemble says of itself, and the wall time it took."""

    kernel: str
    visits_every_mode: bool
    seconds: float


def is_wanted(job: Job) -> bool:
    """Whether the run asks for an estimate that needs samples of p."""
    has_model = job.config.model is not None
    return has_model and bool({"p_estimator", "bar"} & set(job.config.methods))


def run(job: Job, model: CNF) -> None:
    """Fill `target-*.h5`, one block for every block of the chain.

    **Raises:** `RequestError` for an ensemble of another theory.
    """
    steps = directory.notes(job.directory)["integrator"]["steps"]
    model = model.with_steps(steps)
    made = read(job)
    if made and len(made) == made[0].attributes["source_blocks"]:
        return  # the ensemble they are from may be gone
    paths = store.paths(_source(job), "chain")
    if not paths:
        raise RequestError(f"{_source(job)}: its chain has not been run")
    done = [store.path(job.directory, NAME, i).exists() for i in range(len(paths))]
    with job.screen.progress("log q on samples of p", len(paths), sum(done)) as advance:
        for index, path in enumerate(paths):
            if not done[index]:
                block = _block(job, model, store.read(path), path)
                block.attributes["source_blocks"] = len(paths)
                store.write(store.path(job.directory, NAME, index), block)
                advance(1, "")


def read(job: Job) -> list[store.Block]:
    """The blocks of this stage, verified."""
    return store.read_all(job.directory, NAME, _fingerprint(job))


def label(blocks: list[store.Block]) -> Label:
    """Of the ensemble the samples are from."""
    attributes = blocks[0].attributes
    return Label(
        str(attributes["kernel"]),
        bool(attributes["visits_every_mode"]),
        sum(float(block.attributes["source_seconds"]) for block in blocks),
    )


def _source(job: Job) -> Path:
    chosen = job.config.estimate.p_samples
    return job.directory if chosen == "chain" else Path(chosen)


def _fingerprint(job: Job) -> str:
    config = job.config
    return directory.fingerprint(
        config.seed,
        config.theory,
        config.mcmc,
        config.model,
        config.train,
        config.estimate,
    )


def _block(job: Job, model: CNF, chain: store.Block, path: Path) -> store.Block:
    theirs = json.loads(str(chain.attributes.get("theory", "{}")))
    ours = job.config.theory.model_dump(exclude_none=True)
    if reason := source.why_other(theirs, ours):
        raise RequestError(f"{path}: {reason}")
    begin = time.perf_counter()
    phis = chain.arrays["phi"]
    flat = phis.reshape(-1, *phis.shape[2:])
    log_q, action = evaluate(model, job.action, flat, job.config.estimate.batch)
    shape = phis.shape[:2]
    arrays = {"log_q": log_q.reshape(shape), "action": action.reshape(shape)}
    seconds = time.perf_counter() - begin
    attributes = {
        "fingerprint": _fingerprint(job),
        "seconds": seconds,
        "source_seconds": chain.attributes["seconds"],
        "kernel": chain.attributes["kernel"],
        "visits_every_mode": chain.attributes["visits_every_mode"],
    }
    return store.Block(arrays, attributes)


def evaluate(
    model: CNF,
    action: AbstractAction,
    phis: Float[np.ndarray, "n *lattice"],
    batch: int,
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """log q and S of configurations, in batches of one size, the last filled up."""
    n = len(phis)
    index = np.arange(batch * -(-n // batch)) % max(n, 1)
    parts = [
        jax.tree.map(np.asarray, _evaluate(model, action, jnp.asarray(phis[rows])))
        for rows in index.reshape(-1, batch)
    ]
    if not parts:
        return np.zeros(0), np.zeros(0)
    log_q, total = (np.concatenate(column)[:n] for column in zip(*parts, strict=True))
    return log_q, total


@eqx.filter_jit
def _evaluate(
    model: CNF, action: AbstractAction, phis: Float[Array, "n *lattice"]
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    log_q = model.log_prob_batch(jnp.moveaxis(phis, 0, 1))
    return log_q, jax.vmap(action)(phis)
