"""Stage: train the model, chunk by chunk, each with its metrics and checkpoint."""

import math
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from genlat.errors import DamagedError, DivergedError, RequestError
from genlat.models.base import AbstractModel
from genlat.models.conditional import Trainable
from genlat.runs.disk import checkpoint, directory, metrics
from genlat.runs.file import continuation, slices
from genlat.runs.file.sections import RunConfig
from genlat.runs.stages import flow_model, ledger, own_draws, training_data
from genlat.runs.stages.job import Job
from genlat.runs.stages.keys import Purpose
from genlat.runs.stages.stopwatch import Spent
from genlat.training import admissible, loop, objectives
from genlat.training.across import AcrossCouplings

LONGEST_CHUNK, SHORTEST_CHUNK = 50, 10


def run(job: Job) -> AbstractModel:
    """The trained model: from the newest sound checkpoint, or from the start.

    The samples of p of a chunk of steps, where the objective wants any, depend on the
    seed, the chunk's first step and, if they are its own draws, the model there.

    The noise of a step depends on the seed and the step's number alone, so a killed
    training continues to the same parameters.

    **Raises:** `DivergedError`, after which the last good checkpoint is on disk;
    `RequestError` for samples of p that cannot be trained on, or a model that the
    objective does not fit.
    """
    settings = _settings(job)
    stopwatch = job.clock.start()
    checkpoints = job.directory / "checkpoints"
    state = flow_model.read_state(job.directory, job.config)
    if state is None:
        _refuse_continued(job)
        state = loop.init(flow_model.initial(job), settings, job.key(Purpose.TRAINING))
        checkpoint.save(checkpoints, 0, state)
    done = int(state.step)
    lines = metrics.truncate(job.directory, done)
    before = spent = ledger.trained(lines)
    chunk = chunk_length(settings.steps)
    objective_at = _objectives(job, chunk) if done < settings.steps else None
    annealing = annealing_of(job.config, settings.steps)
    with job.screen.progress("training", settings.steps, done) as advance:
        while done < settings.steps:
            n = min(chunk, settings.steps - done)
            assert objective_at is not None
            objective = objective_at(done, state.model)
            if reason := objective.why_unfit(state.model):
                raise RequestError(f"train.gradient: {reason}")
            state, found = loop.run_chunk(
                state, job.action, objective, settings, n, annealing
            )
            found = {name: np.asarray(column) for name, column in found.items()}
            spent, previous = before.plus(stopwatch.read()), spent
            times = np.linspace(previous, spent, n + 1)[1:]
            lines = _lines(found, done, times)
            bad = _first_non_finite(lines)
            metrics.append(job.directory, lines[: n if bad is None else bad + 1])
            if bad is not None:
                raise DivergedError(_complaint(lines[bad]))
            done += n
            checkpoint.save(checkpoints, done, state)
            ledger.note_time(job)
            advance(n, f"loss {found['loss'][-1]:.4f}  ESS {found['ess'].mean():.3f}")
    return flow_model.trained(state, job.config)


def _refuse_continued(job: Job) -> None:
    """A training that began with that of another run cannot be made again from nothing.

    **Raises:** `DamagedError`.
    """
    begun = directory.notes(job.directory).get(continuation.NOTE)
    if begun is not None:
        raise DamagedError(
            f"{job.directory / 'checkpoints'}: none is left, and the training began "
            f"with {begun['steps']} steps of another run: begin anew with `genlat run "
            f"--continue {begun['run']}`"
        )


def chunk_length(steps: int) -> int:
    """The longest chunk that divides `steps`, so that one compiled function serves all.

    Where none of a decent length does, the last chunk is shorter than the others.
    """
    lengths = range(max(1, min(LONGEST_CHUNK, steps)), 0, -1)
    best = next(length for length in lengths if steps % length == 0)
    return best if best >= min(SHORTEST_CHUNK, steps) else LONGEST_CHUNK


def _settings(job: Job) -> loop.Settings:
    train, settings = job.config.train, settings_of(job.config)
    if train.minutes is None:
        return settings
    notes = directory.notes(job.directory)
    if "steps" not in notes:
        stopwatch = job.clock.start()
        steps = _calibrate(job, settings, train.minutes)
        ledger.book(job, "calibration", stopwatch.read())
        directory.note(job.directory, "steps", steps)
    return loop.Settings(
        **{**vars(settings), "steps": directory.notes(job.directory)["steps"]}
    )


def settings_of(config: RunConfig) -> loop.Settings:
    """Of a run file; the steps are the default's where it gives minutes."""
    train = config.train
    return loop.Settings(
        steps=1000 if train.steps is None else train.steps,
        batch=train.batch,
        learning_rate=train.learning_rate,
        warmup=train.warmup,
        final_fraction=train.final_fraction,
        micro_batch=_slice(config),
    )


def _slice(config: RunConfig) -> int | None:
    """Configurations per slice; lengths chosen for a cache are those of a CPU."""
    train, model = config.train, config.model
    assert model is not None
    is_chosen = train.micro_batch is not None or bool(model.nodes)
    if jax.default_backend() != "cpu" and not is_chosen:
        return None
    return slices.length(model, train, config.theory)


def _calibrate(job: Job, settings: loop.Settings, minutes: float) -> int:
    """How many steps fit into `minutes`, compilation included; at least one chunk."""
    begin = time.perf_counter()
    state = loop.init(flow_model.initial(job), settings, job.key(Purpose.CALIBRATION))
    objective = _objectives(job, LONGEST_CHUNK)(0, state.model)
    annealing = annealing_of(job.config, settings.steps)

    def seconds() -> float:
        start = time.perf_counter()
        jax.block_until_ready(
            loop.run_chunk(
                state, job.action, objective, settings, LONGEST_CHUNK, annealing
            )
        )
        return time.perf_counter() - start

    seconds()  # compiles
    per_chunk = seconds()
    if job.config.train.on_own_draws:
        per_chunk += own_draws.OwnDraws(job).seconds(state.model)
    per_step = per_chunk / LONGEST_CHUNK
    left = 60 * minutes - 2 * (time.perf_counter() - begin)
    chunks = max(1, int(left / per_step) // LONGEST_CHUNK)
    steps = chunks * LONGEST_CHUNK
    job.screen.say(f"{minutes:g} minutes are {steps} steps of {per_step:.3g} s")
    return steps


def _objectives(
    job: Job, chunk: int
) -> Callable[[int, Trainable], objectives.AbstractObjective]:
    """The objective of the chunk that begins with a step, of the model it begins with.

    **Raises:** `RequestError` for samples of p that cannot be trained on.
    """
    train = job.config.train
    if not train.needs_data:
        objective = objective_of(job.config, None)
        return lambda step, model: objective

    def on(samples: training_data.Rows) -> objectives.AbstractObjective:
        return objective_of(job.config, samples)

    if train.on_own_draws:
        own = own_draws.OwnDraws(job)
        return lambda step, model: on(own.at(step // chunk, model))
    stored = training_data.TrainingData(job)
    return lambda step, model: on(stored.at(step))


def objective_of(
    config: RunConfig, samples: training_data.Rows | None
) -> objectives.AbstractObjective:
    """The objective of a run file, on `samples` of p where it wants any."""
    train = config.train
    build = objectives.ADMISSIBLE[train.objective, train.gradient]
    assert not isinstance(build, str)  # refused with the run file
    if samples is not None:
        return build(data=jnp.asarray(samples), augment=train.augment)
    needed = {"alpha": train.alpha}
    names = admissible.NEEDS[train.objective]
    objective = build(**{name: needed[name] for name in names})
    nodes = {} if config.model is None else config.model.nodes
    return AcrossCouplings(objective, tuple(nodes)) if nodes else objective


def annealing_of(config: RunConfig, steps: int) -> loop.Annealing | None:
    """From the couplings of `train.anneal` to the theory's own."""
    train, section = config.train, config.theory
    if not train.anneal:
        return None
    start = section.model_copy(update=train.anneal).theory().action
    return loop.Annealing(start, max(1, round(train.anneal_fraction * steps)))


def _lines(
    found: dict[str, Float[np.ndarray, " n"]],
    first: int,
    times: Float[np.ndarray, "n 2"],
) -> list[metrics.Line]:
    """One line per step; the time of a chunk is shared out evenly among its steps."""
    columns = {**dict(zip(Spent._fields, times.T, strict=True)), **found}
    return [
        {"step": first + index}
        | {name: float(column[index]) for name, column in columns.items()}
        for index in range(len(times))
    ]


def _first_non_finite(lines: list[metrics.Line]) -> int | None:
    for index, line in enumerate(lines):
        if not (math.isfinite(line["loss"]) and math.isfinite(line["grad_norm"])):
            return index
    return None


def _complaint(line: metrics.Line) -> str:
    is_loss = not math.isfinite(line["loss"])
    name, value = ("loss", line["loss"]) if is_loss else ("gradient", line["grad_norm"])
    return (
        f"training stopped at step {line['step']:.0f}: the {name} is {value}; the last "
        "good checkpoint is kept. Try a smaller train.learning_rate"
    )
