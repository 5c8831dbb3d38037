"""Where the time of a run went: seconds by stage, of which compiling, and the rest.

Ensembles carry their own seconds and the training log its, so that these are those of
what is on disk, however often a run was killed. Noted here are those of stages that
leave neither, and the time of all processes that were at work on the run.
"""

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from genlat.runs.disk import directory, metrics, store
from genlat.runs.file.continuation import NOTE as CONTINUES
from genlat.runs.stages.job import Job
from genlat.runs.stages.stopwatch import NOTHING, Spent

NOTE = "ledger"
ENSEMBLES = {  # of a stage, by its name here
    "mcmc": "chain",
    "sample": "flow",
    "nmcmc": "nmcmc",
    "p": "target",
    "integration": "path",
}

Json = dict[str, Any]


def sign(job: Job, block: store.Block, spent: Spent) -> store.Block:
    """Put onto a block what it took, and note that the run is still under way."""
    note_time(job)
    return block._replace(attributes={**block.attributes, **spent._asdict()})


def book(job: Job, stage: str, spent: Spent) -> None:
    """Add to what a stage without ensemble and log took."""
    noted = _noted(job.directory)
    stages = noted["stages"]
    stages[stage] = Spent(*stages.get(stage, NOTHING)).plus(spent)
    content = {"total_seconds": job.clock.total(), "stages": stages}
    directory.note(job.directory, NOTE, content)


def note_time(job: Job) -> None:
    """Note the time of the run so far, for a process that goes on after a kill."""
    noted = {**_noted(job.directory), "total_seconds": job.clock.total()}
    directory.note(job.directory, NOTE, noted)


def earlier(run_directory: Path) -> float:
    """Seconds that processes were at work on a run, until the last stage of each."""
    return _noted(run_directory)["total_seconds"]


def spent_on(blocks: Iterable[store.Block]) -> Spent:
    """What the blocks of an ensemble took."""
    return _sum(of(block) for block in blocks)


def of_steps(run_directory: Path) -> Spent:
    """What the choice of the integrator's steps took, where there was one."""
    return Spent(*_noted(run_directory)["stages"].get("steps", NOTHING))


def cost(job: Job) -> Json:
    """`<stage>_seconds`, `compile_seconds` by stage, and what these add up to.

    `other_seconds` is `total_seconds` less all stages: what is not measured, or was
    lost by a kill. `p_source_seconds` are of the chain that samples of p are from, this
    run's or another's, and no part of the sum.
    """
    spent = _stages(job)
    parts = sum(x.seconds for x in spent.values())
    total = max(job.clock.total() + _trained_before(job), parts)
    is_known = "p" not in _made_elsewhere(job)
    unknown = {}
    if is_known and (samples := _blocks(job, "p")):
        if all(is_timed(block, "source_") for block in samples):
            spent["p_source"] = _sum(of(block, "source_") for block in samples)
        else:  # of an ensemble made elsewhere
            unknown = {"p_source_seconds": None}
    return {
        **unknown,
        **{f"{stage}_seconds": x.seconds for stage, x in spent.items()},
        "compile_seconds": {stage: x.compile_seconds for stage, x in spent.items()},
        "other_seconds": total - parts,
        "total_seconds": total,
    }


def trained(lines: list[metrics.Line]) -> Spent:
    """What a training took up to the last of these lines: they count up."""
    if not lines:
        return NOTHING
    return Spent(lines[-1]["seconds"], lines[-1].get("compile_seconds", 0.0))


def is_timed(block: store.Block, prefix: str = "") -> bool:
    """Whether a block says how long it took, or the one it is from."""
    return f"{prefix}seconds" in block.attributes


def of(block: store.Block, prefix: str = "") -> Spent:
    """What one block took, or the one it is from; blocks of old say less."""
    seconds, compiling = (block.attributes.get(prefix + x, 0.0) for x in Spent._fields)
    return Spent(float(seconds), float(compiling))


def _sum(parts: Iterable[Spent]) -> Spent:
    return functools.reduce(Spent.plus, parts, NOTHING)


def _stages(job: Job) -> dict[str, Spent]:
    found = {
        stage: Spent(*spent) for stage, spent in _noted(job.directory)["stages"].items()
    }
    if job.config.model is not None:
        found["train"] = trained(metrics.read(job.directory))
    for stage in ENSEMBLES:
        if stage not in _made_elsewhere(job) and (blocks := _blocks(job, stage)):
            found[stage] = spent_on(blocks)
    return found


def _made_elsewhere(job: Job) -> set[str]:
    """Stages that others have carried out, in a time that is not known."""
    found = set() if job.config.draws is None else {"sample", "p"}
    has_chain = job.config.mcmc is not None or job.config.samples is None
    return found if has_chain else {*found, "mcmc"}


def _blocks(job: Job, stage: str) -> list[store.Block]:
    paths = store.paths(job.directory, ENSEMBLES[stage])
    return [job.opened.look_into(path) for path in paths]


def _trained_before(job: Job) -> float:
    """What the training took that this run has gone on with."""
    noted = directory.notes(job.directory).get(CONTINUES)
    lines = metrics.read(job.directory)
    return 0.0 if noted is None else trained(lines[: noted["steps"]]).seconds


def _noted(run_directory: Path) -> Json:
    empty: Json = {"total_seconds": 0.0, "stages": {}}
    return directory.notes(run_directory).get(NOTE, empty)
