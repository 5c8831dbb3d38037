"""Samples of p to train on that are the model's own draws, reweighted and replayed.

A generation is drawn before every chunk of steps and kept on disk as long as it may be
replayed, so that a killed training continues with the draws it had.
"""

import time
from pathlib import Path

import jax.random as jr
import numpy as np

from genlat.errors import DamagedError, DivergedError
from genlat.models.base import AbstractModel
from genlat.models.conditional import Trainable
from genlat.runs.disk import checkpoint, directory, store
from genlat.runs.stages import sampling, training_data
from genlat.runs.stages.job import Job
from genlat.runs.stages.keys import Purpose
from genlat.training import replay

NAME = "replay"
LEAST_ESS = 1 / 16  # of weights that are learned from as they are


class OwnDraws:
    """What the chunks of a training draw from, generation by generation."""

    def __init__(self, job: Job):
        self._job = job
        self._fingerprint = directory.fingerprint(
            job.config.seed, job.config.theory, job.config.model, job.config.train
        )

    def at(self, generation: int, model: Trainable) -> training_data.Rows:
        """As many configurations as `train.draws`, drawn again by their weights.

        From the draws of `model`, made now if they are not on disk, and those of the
        `train.generations` - 1 before them.

        **Raises:** `DivergedError` for weights that are no numbers, or hardly any;
        `DamagedError`.
        """
        train = self._job.config.train
        path = self._path(generation)
        if not path.exists():
            store.write(path, self._drawn(generation, model))
        self._prune(generation)
        pool = range(max(0, generation - train.generations + 1), generation + 1)
        log_w = [self._read(number, generation, "log_w") for number in pool]
        try:
            found = replay.flatten(np.concatenate(log_w), LEAST_ESS)
        except ValueError as error:
            raise DivergedError(
                f"training stopped, by the weights of the model's own draws: {error}; "
                "the last good checkpoint is kept"
            ) from error
        content = {
            "n": found.shares.size,
            "independent": min(found.n_eff, train.draws),
            "generations": len(pool),
            "exponent": found.exponent,
        }
        directory.note(self._job.directory, training_data.NOTE, content)
        u = jr.uniform(jr.fold_in(self._job.key(Purpose.REPLAY_CHOICE), generation))
        chosen = replay.resample(found.shares, train.draws, float(u))
        rows = [
            self._read(number, generation, "phi")[
                chosen[chosen // train.draws == place] % train.draws
            ]
            for place, number in enumerate(pool)
        ]
        return np.concatenate(rows)

    def seconds(self, model: Trainable) -> float:
        """What drawing a generation takes, compiled."""
        begin = time.perf_counter()
        self._drawn(0, model)
        return time.perf_counter() - begin

    def _drawn(self, generation: int, model: Trainable) -> store.Block:
        assert isinstance(model, AbstractModel)  # not of many couplings: refused
        job = self._job
        key = jr.fold_in(job.key(Purpose.REPLAY), generation)
        n = job.config.train.draws
        draws = sampling.draw(model, job.action, key, 0, n, job.at_once)
        arrays = {"phi": draws.phis, "log_w": draws.log_w}
        return store.Block(arrays, {"fingerprint": self._fingerprint})

    def _path(self, generation: int) -> Path:
        return store.path(self._job.directory, NAME, generation)

    def _prune(self, generation: int) -> None:
        """Remove what not even the oldest checkpoint could ask for again."""
        kept = self._job.config.train.generations + checkpoint.KEEP - 1
        for old in store.paths(self._job.directory, NAME):
            if int(old.stem.removeprefix(f"{NAME}-")) <= generation - kept:
                old.unlink()

    def _read(self, number: int, generation: int, name: str) -> np.ndarray:
        """An array of one generation, for the chunk of another one."""
        path = self._path(number)
        try:
            block = store.own(path, store.look_into(path), self._fingerprint)
            return block.arrays[name]
        except DamagedError as error:
            if number == generation:  # which is drawn again
                raise
            raise DamagedError(
                f"{path}: damaged or gone, and the model that drew it is too: remove "
                f"checkpoints/* and ensembles/{NAME}-*, and training begins again"
            ) from error


def forget(run_directory: Path) -> None:
    """Remove all draws of a training that is over."""
    for path in store.paths(run_directory, NAME):
        path.unlink()
