"""Samples of p to train on that are the model's own draws, reweighted and replayed.

A generation is drawn before every chunk of steps and kept on disk as long as it is
replayed, so that a killed training continues with the draws it had.
"""

import jax.random as jr

from genlat.estimators import weights
from genlat.models.base import AbstractModel
from genlat.models.conditional import Trainable
from genlat.runs import checkpoint, directory, sampling, store, training_data
from genlat.runs.errors import DivergedError
from genlat.runs.job import Job
from genlat.runs.keys import Purpose
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

        **Raises:** `DivergedError` for weights that are not finite; `DamagedError`.
        """
        train = self._job.config.train
        path = store.path(self._job.directory, NAME, generation)
        if not path.exists():
            store.write(path, self._drawn(generation, model))
        # a damaged checkpoint is skipped for an earlier one, which needs earlier draws
        kept = train.generations + checkpoint.KEEP
        for old in store.paths(self._job.directory, NAME):
            if int(old.stem.removeprefix(f"{NAME}-")) <= generation - kept:
                old.unlink()
        first = max(0, generation - train.generations + 1)
        pool = [self._read(number) for number in range(first, generation + 1)]
        arrays = store.joined(pool, sample_axis=0)
        log_w = arrays["log_w"]
        if bad := weights.non_finite(log_w):
            raise DivergedError(
                f"training stopped: {bad} of the model's {log_w.size} own draws have "
                "weights that are NaN or infinite; the last good checkpoint is kept"
            )
        found = replay.flatten(log_w, LEAST_ESS)
        content = {
            "n": log_w.size,
            "independent": found.n_eff,
            "generations": len(pool),
            "exponent": found.exponent,
        }
        directory.note(self._job.directory, training_data.NOTE, content)
        u = jr.uniform(jr.fold_in(self._job.key(Purpose.REPLAY_CHOICE), generation))
        return arrays["phi"][replay.resample(found.shares, train.draws, float(u))]

    def _drawn(self, generation: int, model: Trainable) -> store.Block:
        assert isinstance(model, AbstractModel)  # not of many couplings: refused
        config = self._job.config
        key = jr.fold_in(self._job.key(Purpose.REPLAY), generation)
        draws = sampling.draw(
            model, self._job.action, key, 0, config.train.draws, self._job.at_once
        )
        arrays = {"phi": draws.phis, "log_w": draws.log_w}
        return store.Block(arrays, {"fingerprint": self._fingerprint})

    def _read(self, generation: int) -> store.Block:
        return store.read_own(
            store.path(self._job.directory, NAME, generation), self._fingerprint
        )
