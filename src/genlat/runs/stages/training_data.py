"""Samples of p to train on, streamed from the blocks of stored chains.

The last chains are held out: training never sees them, so that they can say how good
the model is.
"""

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from genlat.actions.base import AbstractAction
from genlat.errors import RequestError
from genlat.estimators import autocorrelation
from genlat.runs.disk import directory
from genlat.runs.file import training_set
from genlat.runs.file.sections import RunConfig
from genlat.runs.stages import stored_chains
from genlat.runs.stages.job import Job
from genlat.runs.stages.keys import Purpose
from genlat.training import data

NOTE = "training_data"
LOADED = 2**28  # bytes of configurations in memory at once

Rows = Num[np.ndarray, "n *lattice"]


@dataclasses.dataclass(frozen=True)
class Survey:
    """What there is to train on.

    - `n`: configurations of the chains that are not held out.
    - `independent`: how many of them are, by the Γ-method: of action and |m|, whichever
      is slower.
    - `chains`, `held_out_chains`: their numbers.
    - `fingerprint`: of the ensemble they are from.
    """

    n: int
    independent: float
    chains: int
    held_out_chains: int
    fingerprint: str


def survey(config: RunConfig, own: Path, action: AbstractAction) -> Survey:
    """Look through all configurations once, a block at a time.

    **Raises:** `RequestError` if they are of another theory, or fewer than 100 of them
    are independent; `DamagedError`.
    """
    series, fingerprint, chains = [], "", 0
    for block in _blocks(config, own):
        training, _ = data.split_chains(block.phi, config.train.held_out)
        chains, fingerprint = len(block.phi), block.fingerprint
        flat = training.reshape(-1, *training.shape[2:])
        measured = np.asarray(_measure(action, jnp.asarray(flat)))
        series.append(measured.reshape(2, *training.shape[:2]))
    values = np.concatenate(series, axis=2)
    found = Survey(
        n=values[0].size,
        independent=min(map(_independent, values)),
        chains=values.shape[1],
        held_out_chains=chains - values.shape[1],
        fingerprint=fingerprint,
    )
    if found.independent < training_set.FEWEST:
        raise RequestError(
            f"train.data = {config.train.data}: the {found.n} configurations of its "
            f"{found.chains} training chains are worth {found.independent:.0f} "
            f"independent ones, fewer than {training_set.FEWEST}: longer chains, or "
            "fewer of them held out, are needed"
        )
    return found


def refuse_foreign(config: RunConfig) -> None:
    """Look at the chains of another run before this one begins.

    **Raises:** as `survey`.
    """
    is_foreign = config.train.needs_data and config.train.data not in ("chain", "own")
    if config.model is not None and is_foreign:
        survey(config, Path(config.train.data), config.theory.theory().action)


class TrainingData:
    """Configurations by the number of a training step; opened once in a training.

    **Raises:** `RequestError` as `survey`, and if the ensemble is not the one that the
    training began with.
    """

    def __init__(self, job: Job):
        self._job = job
        note = directory.notes(job.directory).get(NOTE)
        if note is None:
            found = survey(job.config, job.directory, job.action)
            note = dataclasses.asdict(found)
            directory.note(job.directory, NOTE, note)
        self._sizes = []
        for block in _blocks(job.config, job.directory):
            if block.fingerprint != note["fingerprint"]:
                name = job.config.train.data
                raise RequestError(
                    f"train.data = {name}: not the chains that training began with"
                )
            self._sizes.append(note["chains"] * block.phi.shape[1])
        self._everything = None
        job.screen.say(
            f"training on {note['n']} configurations of {note['chains']} chains, worth "
            f"{note['independent']:.0f} independent ones; {note['held_out_chains']} "
            "chains are held out"
        )

    def at(self, step: int) -> Rows:
        """What the chunk of steps that begins with `step` draws from.

        Everything where it fits into `LOADED` bytes, otherwise as much as fits, chosen
        at random by seed and step.
        """
        theory = self._job.config.theory
        each = theory.SPACE.dtype.itemsize * math.prod(theory.shape)
        n, total = max(1, LOADED // each), sum(self._sizes)
        if total > n:
            rng = np.random.default_rng(
                [self._job.config.seed, Purpose.TRAINING_DATA, step]
            )
            return self._rows(np.sort(rng.choice(total, n, replace=False)))
        if self._everything is None:
            self._everything = self._rows(np.arange(total))
        return self._everything

    def _rows(self, index: np.ndarray) -> Rows:
        """Configurations by their number, counted through the blocks."""
        parts, first = [], 0
        config = self._job.config
        blocks = _blocks(config, self._job.directory)
        for block, size in zip(blocks, self._sizes, strict=True):
            inside = index[(index >= first) & (index < first + size)] - first
            training, _ = data.split_chains(block.phi, config.train.held_out)
            parts.append(training.reshape(-1, *training.shape[2:])[inside])
            first += size
        return np.concatenate(parts)


def diagnostics(run_directory: Path) -> dict[str, Any]:
    """The entry of `diagnostics`, of a training on samples of p."""
    note = directory.notes(run_directory).get(NOTE)
    if note is None:
        return {}
    return {NOTE: {key: note[key] for key in note if key != "fingerprint"}}


@dataclasses.dataclass(frozen=True)
class _Block:
    phi: Num[np.ndarray, "chains n *lattice"]
    fingerprint: str


def _blocks(config: RunConfig, own: Path) -> Iterator[_Block]:
    """The blocks that hold configurations, one after another."""
    place = stored_chains.directory(own, config.train.data)
    for path in stored_chains.paths(place):
        block = stored_chains.read(path, config.theory)
        phi = block.arrays["phi"]
        if phi.size:
            yield _Block(phi, str(block.attributes["fingerprint"]))


@eqx.filter_jit
def _measure(
    action: AbstractAction, phis: Num[Array, "n *lattice"]
) -> Float[Array, "2 n"]:
    """The action and |m| of every configuration."""
    mean = jnp.mean(phis.reshape(len(phis), -1), axis=1)
    return jnp.stack([jax.vmap(action)(phis), jnp.abs(mean)])


def _independent(values: Float[np.ndarray, "chains n"]) -> float:
    """Configurations over 2 τ_int, but no more than there are."""
    found = autocorrelation.mean(values)
    # chains that all stand still are one configuration each at best
    n_eff = len(values) if found.flaw else min(float(found.n_eff), values.size)
    return float(n_eff)
