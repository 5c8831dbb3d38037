"""Stage: what the model makes of samples of p: log q and S on stored chains.

The samples are those of this run's own chain, or of another run of the same theory.
None was used in training: of an ensemble that the model was trained on, only the chains
that were held out.
"""

import functools
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from genlat import observables
from genlat.actions.base import AbstractAction
from genlat.models.base import AbstractModel
from genlat.runs.disk import directory, store
from genlat.runs.file import training_set
from genlat.runs.stages import integrated, ledger, stored_chains
from genlat.runs.stages.job import Job
from genlat.training import data

NAME = "target"
TITLE = "log q on samples of p"
SOURCES = "source_blocks"
STEPS = "integrator_steps"


class Label(NamedTuple):
    """What the chain ensemble says of itself."""

    kernel: str
    visits_every_mode: bool


def is_wanted(job: Job) -> bool:
    """Whether the run asks for an estimate that needs samples of p."""
    return job.config.needs_samples


def run(job: Job, model: AbstractModel) -> None:
    """Fill `target-*.h5`, one block for every block of the chain.

    **Arguments:** `model`, integrated with as many steps as its draws are to be; blocks
    of another number are made again.

    **Raises:** `RequestError` for an ensemble of another theory.
    """
    steps = integrated.n_steps(model)
    made = read(job)
    if made and sum(_is_of(x, steps) for x in made) == made[0].attributes[SOURCES]:
        return  # the ensemble they are from may be gone
    paths = _sources(job)
    done = [_is_done(job, i, steps) for i, _ in paths]
    with job.screen.progress(TITLE, len(paths), sum(done)) as advance:
        for index, path in paths:
            if not done[index]:
                block = _block(job, model, _chain(job, path))
                block.attributes[SOURCES] = len(paths)
                if steps is not None:
                    block.attributes[STEPS] = steps
                store.write(store.path(job.directory, NAME, index), block)
                advance(1, "")


def not_inverted(job: Job) -> Num[np.ndarray, "n *lattice"]:
    """The samples of which a flow did not find where they are from: log q is NaN."""
    found = [np.zeros((0, *job.config.theory.shape))]
    lost = [np.isnan(block.arrays["log_q"]) for block in read(job)]
    if any(map(np.any, lost)):
        for (_, path), is_lost in zip(_sources(job), lost, strict=True):
            found.append(_evaluated(job, _chain(job, path))[is_lost])
    return np.concatenate(found)


def _sources(job: Job) -> list[tuple[int, Path]]:
    """The blocks of the chain, with their numbers."""
    place = stored_chains.directory(job.directory, job.config.estimate.p_samples)
    return list(enumerate(stored_chains.paths(place, job.opened.look_into)))


def _chain(job: Job, path: Path) -> store.Block:
    """A block of the chain; its configurations are too large to be kept."""
    return stored_chains.read(path, job.config.theory, job.opened.look_into)


def _is_done(job: Job, index: int, steps: int | None) -> bool:
    path = store.path(job.directory, NAME, index)
    return path.exists() and _is_of(job.opened.look_into(path), steps)


def _is_of(block: store.Block, steps: int | None) -> bool:
    """Whether a block is of that many steps; those of old do not say, and are."""
    return block.attributes.get(STEPS, steps) == steps


def read(job: Job) -> list[store.Block]:
    """The blocks of this stage, verified."""
    return job.blocks(NAME, fingerprint(job))


def label(blocks: list[store.Block]) -> Label:
    """Of the ensemble the samples are from."""
    attributes = blocks[0].attributes
    return Label(
        str(attributes["kernel"]),
        bool(attributes["visits_every_mode"]),
    )


def fingerprint(job: Job) -> str:
    """What these blocks depend on."""
    config = job.config
    given = () if config.draws is None else (config.draws, config.samples)
    return directory.fingerprint(
        config.seed,
        config.theory,
        config.mcmc,
        config.model,
        config.train,
        config.estimate,
        *given,
    )


def _block(job: Job, model: AbstractModel, chain: store.Block) -> store.Block:
    stopwatch = job.clock.start()
    phis = _evaluated(job, chain)
    flat = phis.reshape(-1, *phis.shape[2:])
    found = evaluate(model, job.action, flat, job.at_once)
    arrays = {
        name: values.reshape(*phis.shape[:2], *values.shape[1:])
        for name, values in found.items()
    }
    spent = stopwatch.read()
    source = {}
    if ledger.is_timed(chain):
        source = {f"source_{x}": t for x, t in ledger.of(chain)._asdict().items()}
    attributes = {
        "fingerprint": fingerprint(job),
        **source,
        "kernel": chain.attributes["kernel"],
        "visits_every_mode": chain.attributes["visits_every_mode"],
    }
    return ledger.sign(job, store.Block(arrays, attributes), spent)


def _evaluated(job: Job, chain: store.Block) -> Num[np.ndarray, "chains n *lattice"]:
    """Its samples, but those that the model was trained on."""
    phis = chain.arrays["phi"]
    if training_set.is_evaluated(job.config.train, job.config.estimate):
        _, phis = data.split_chains(phis, job.config.train.held_out)
    return phis


def evaluate(
    model: AbstractModel,
    action: AbstractAction,
    phis: Num[np.ndarray, "n *lattice"],
    batch: int,
) -> dict[str, Float[np.ndarray, "n ..."]]:
    """`log_q`, `action` and `observables/<key>` of configurations.

    In batches of one size, the last filled up.
    """
    n = len(phis)
    index = np.arange(batch * -(-n // batch)) % max(n, 1)
    parts = [
        jax.tree.map(np.asarray, evaluate_batch(model, action, jnp.asarray(phis[rows])))
        for rows in index.reshape(-1, batch)
    ]
    if not parts:
        some = jax.ShapeDtypeStruct((1, *phis.shape[1:]), phis.dtype)
        shapes = eqx.filter_eval_shape(evaluate_batch, model, action, some)
        return {name: np.zeros((0, *x.shape[1:])) for name, x in shapes.items()}
    return {
        name: np.concatenate([part[name] for part in parts])[:n] for name in parts[0]
    }


@eqx.filter_jit
def evaluate_batch(
    model: AbstractModel, action: AbstractAction, phis: Num[Array, "n *lattice"]
) -> dict[str, Float[Array, "n ..."]]:
    measured = jax.vmap(functools.partial(observables.primary, action))(phis)
    return {
        "log_q": model.log_prob_batch(phis),
        "action": jax.vmap(action)(phis),
        **{
            f"observables/{name}": values.astype(jnp.float64)
            for name, values in measured.items()
        },
    }
