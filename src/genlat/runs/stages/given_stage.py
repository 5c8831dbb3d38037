"""Stage: draws and samples made elsewhere, measured, and put where a run has its own.

The draws become the blocks of draws, the samples those of a chain and, with their
log q, those of samples of p: whatever comes after finds what a run would have made.
How long all that took to make is not known, and no block says.
"""

import functools
import json
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from genlat import observables
from genlat.actions.base import AbstractAction
from genlat.errors import DamagedError, RequestError
from genlat.runs.disk import directory, files, store
from genlat.runs.file.given_sections import SamplesSection
from genlat.runs.file.sections import RunConfig
from genlat.runs.given import arrays, request, survey
from genlat.runs.given.survey import Given
from genlat.runs.stages import chain_stage, ledger, sample_stage, target_stage
from genlat.runs.stages.job import Job
from genlat.verdict import given

BATCH = 250  # configurations measured at once: what stays in cache
BLOCK = 100_000  # samples of a block, about
TITLE = "measuring"
SAMPLES = "samples.npz"

Attributes = dict[str, store.Attribute]


_DENSITY = "observables/action_density"


def run(job: Job) -> None:
    """Fill `chain-*.h5`, `target-*.h5` and `flow-*.h5`; whatever is there stays.

    **Raises:** `DamagedError` if the files are not those that were looked through;
    `RequestError` for draws that are there more than once.
    """
    stopwatch = job.clock.start()
    if job.config.samples is not None and job.config.samples.is_given:
        _samples(job, job.config.samples)
    if job.config.draws is not None:
        _draws(job)
        _refuse_repeated(job)
    ledger.book(job, "given", stopwatch.read())


def refuse_empty(config: RunConfig) -> None:
    """What is said of samples is for commands that are given some, or draws.

    **Raises:** `RequestError`.
    """
    said = config.samples
    if said is not None and not said.is_given and config.draws is None:
        raise RequestError(
            "[samples]: is for genlat judge and genlat import: leave it out of a run"
        )


def read_chain(job: Job) -> list[store.Block]:
    """The samples as a chain, verified."""
    section = job.config.samples
    assert section is not None
    count = len(_starts(section))
    return job.blocks("chain", _fingerprint(job), count)


def leave_samples(job: Job) -> None:
    """Put the run's own samples of p where their log q can be found elsewhere."""
    path = job.directory / SAMPLES
    if path.exists():
        return
    blocks = chain_stage.read(job)
    phi = np.concatenate([block.arrays["phi"] for block in blocks], axis=1)
    if phi.shape[1] < given.FEWEST_SAMPLES:
        return
    with files.whole(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            phi=phi,
            kernel=str(blocks[0].attributes["kernel"]),
            theory=str(blocks[0].attributes["theory"]),
            visits_every_mode=bool(blocks[0].attributes["visits_every_mode"]),
        )
    job.screen.say(
        f"{path}: samples of p; add your model's ln q at its phi as log_q, and judge "
        f"again with --samples {path}"
    )


@eqx.filter_jit
def measure_batch(
    action: AbstractAction, phis: Num[Array, "n *field"]
) -> dict[str, Float[Array, "n ..."]]:
    """`action` and `observables/<key>` of configurations, in float64."""
    measured = jax.vmap(functools.partial(observables.primary, action))(phis)
    return {
        "action": jax.vmap(action)(phis),
        **{
            f"observables/{name}": values.astype(jnp.float64)
            for name, values in measured.items()
        },
    }


def measure(
    action: AbstractAction, phis: Num[np.ndarray, "n *field"]
) -> dict[str, Float[np.ndarray, "n ..."]]:
    """The same of any number, in batches of one size, the last filled up."""
    n = len(phis)
    wanted = phis if action.space.is_continuous else phis.astype(np.int8)
    parts = []
    for start in range(0, n, BATCH):
        rows = wanted[start : start + BATCH]
        short = BATCH - len(rows)
        filled = (
            np.concatenate([rows, np.repeat(rows[:1], short, 0)]) if short else rows
        )
        found = measure_batch(action, jnp.asarray(filled))
        parts.append({name: np.asarray(x)[: len(rows)] for name, x in found.items()})
    return {name: np.concatenate([x[name] for x in parts]) for name in parts[0]}


def _draws(job: Job) -> None:
    found, estimate = request.draws_of(job.config), job.config.estimate
    starts = sample_stage.starts(estimate)
    paths = [store.path(job.directory, "flow", index) for index in range(len(starts))]
    lengths = [min(starts.step, estimate.samples - start) for start in starts]
    done = sum(n for n, path in zip(lengths, paths, strict=True) if path.exists())
    if done == estimate.samples:
        return
    assert job.config.draws is not None
    _refuse_other(found, job.config.draws.sha256)
    log_q = survey.log_q(found)
    with (
        arrays.opened(found.phi, 1) as stream,
        job.screen.progress(f"{TITLE} draws", estimate.samples, done) as advance,
    ):
        for start, n, path in zip(starts, lengths, paths, strict=True):
            if path.exists():
                stream.skip(n)
                continue
            phis = stream.read(n)
            measured = measure(job.action, phis)
            kept = phis[: max(0, min(n, estimate.keep - start))]
            content = {"log_q": log_q[start : start + n], "phi": _stored(job, kept)}
            attributes: Attributes = {"fingerprint": sample_stage.fingerprint(job)}
            ledger.note_time(job)
            store.write(path, store.Block(content | measured, attributes))
            advance(n, "")


def _stored(job: Job, phis: Num[np.ndarray, "*n"]) -> Num[np.ndarray, "*n"]:
    """As they were given; spins in a byte each."""
    return phis if job.action.space.is_continuous else phis.astype(np.int8)


def _refuse_repeated(job: Job) -> None:
    blocks = sample_stage.read_flow(job)
    action = store.joined(blocks, sample_axis=0, names=(_DENSITY,))[_DENSITY]
    field = request.field_of(job.config.theory)
    drawn = action[np.isfinite(action)]
    if reason := given.repeated(drawn, field):
        raise RequestError(f"{request.draws_of(job.config).phi}: {reason}")
    samples = job.config.samples
    if samples is None or not samples.is_given:
        return
    chain = store.joined(read_chain(job), sample_axis=1, names=(_DENSITY,))
    of_p = chain[_DENSITY].ravel()
    if reason := given.shared(drawn, of_p[np.isfinite(of_p)], field):
        raise RequestError(f"{samples.phi}: {reason}")


def _starts(section: SamplesSection) -> range:
    """The first sample, of every chain, of every block."""
    assert section.chains is not None
    assert section.n is not None
    return range(0, section.n, max(1, BLOCK // section.chains))


def _samples(job: Job, section: SamplesSection) -> None:
    """Measured chain by chain, as they lie in the file; cut across all chains."""
    assert section.n is not None
    starts = _starts(section)
    kinds = ("chain", "target") if section.has_log_q else ("chain",)
    if all(
        store.path(job.directory, kind, index).exists()
        for kind in kinds
        for index in range(len(starts))
    ):
        return
    found = request.samples_of(job.config)
    _refuse_other(found, section.sha256)
    measured, phis = _of_samples(job, section, found)
    if section.has_log_q:
        measured["log_q"] = survey.log_q(found)
    for index, start in enumerate(starts):
        cut = slice(start, start + starts.step)
        arrays_of_block = {name: x[:, cut] for name, x in measured.items()}
        block = _chain_block(job, section, arrays_of_block, _kept(phis, cut, section))
        _write(job, "chain", index, block)
        if section.has_log_q:
            block = _target_block(job, section, arrays_of_block, len(starts))
            _write(job, "target", index, block)


def _write(job: Job, kind: str, index: int, block: store.Block) -> None:
    path = store.path(job.directory, kind, index)
    if not path.exists():
        ledger.note_time(job)
        store.write(path, block)


Kept = dict[int, Num[np.ndarray, "chains *field"]]


def _of_samples(
    job: Job, section: SamplesSection, found: Given
) -> tuple[dict[str, Float[np.ndarray, "chains n ..."]], Kept]:
    """What is measured on all, and the configurations to keep, by their number."""
    chains, n = section.chains, section.n
    assert chains is not None
    assert n is not None
    parts, total = [], chains * n
    wanted = set(_kept_numbers(job, section))
    kept: dict[int, list[np.ndarray]] = {number: [] for number in sorted(wanted)}
    first = 0
    with job.screen.progress(f"{TITLE} samples", total) as advance:
        for rows in survey.pieces(found):
            parts.append(measure(job.action, rows))
            for k in range(len(rows)):
                if (first + k) % n in wanted:
                    kept[(first + k) % n].append(_stored(job, rows[k]).copy())
            first += len(rows)
            advance(len(rows), "")
    measured = {
        name: np.concatenate([part.pop(name) for part in parts])
        for name in list(parts[0])
    }
    shaped = {name: x.reshape(chains, n, *x.shape[1:]) for name, x in measured.items()}
    return shaped, {number: np.stack(rows) for number, rows in kept.items()}


def _kept_numbers(job: Job, section: SamplesSection) -> list[int]:
    """Which samples of every chain are stored: all of an ensemble, some of a judgement.

    Evenly, and as many as draws are.
    """
    assert section.chains is not None
    assert section.n is not None
    if job.config.draws is None:
        return list(range(section.n))
    count = min(section.n, math.ceil(job.config.estimate.keep / section.chains))
    return [] if not count else list(range(0, section.n, section.n // count))[:count]


def _kept(
    phis: Kept, cut: slice, section: SamplesSection
) -> Num[np.ndarray, "chains n *field"] | None:
    inside = [x for number, x in phis.items() if cut.start <= number < cut.stop]
    return np.stack(inside, axis=1) if inside else None


def _chain_block(
    job: Job,
    section: SamplesSection,
    measured: dict[str, Float[np.ndarray, "chains n ..."]],
    phi: Num[np.ndarray, "chains kept *field"] | None,
) -> store.Block:
    content = {name: x for name, x in measured.items() if name.startswith("obs")}
    if phi is None:
        field = request.field_of(job.config.theory)
        phi = np.zeros((section.chains or 0, 0, *field.shape), job.action.space.dtype)
    attributes = {"fingerprint": _fingerprint(job), **_label(job, section)}
    return store.Block({**content, "phi": phi}, attributes)


def _target_block(
    job: Job,
    section: SamplesSection,
    measured: dict[str, Float[np.ndarray, "chains n ..."]],
    n_blocks: int,
) -> store.Block:
    attributes = {
        "fingerprint": target_stage.fingerprint(job),
        target_stage.SOURCES: n_blocks,
        **_label(job, section),
    }
    return store.Block(measured, attributes)


def _label(job: Job, section: SamplesSection) -> Attributes:
    return {
        "theory": json.dumps(job.config.theory.model_dump(exclude_none=True)),
        "kernel": section.label,
        "visits_every_mode": int(bool(section.visits_every_mode)),
    }


def _fingerprint(job: Job) -> str:
    config = job.config
    return directory.fingerprint(config.seed, config.theory, config.samples)


def _refuse_other(found: Given, sha256: str) -> None:
    if survey.sha256(found) != sha256:
        names = " and ".join(str(path) for path in found.files)
        raise DamagedError(f"{names}: no longer what was judged: put that back")
