"""Samples of p to train on, streamed from the blocks of stored chains.

The last chains are held out: training never sees them, so that they can say how good
the model is.

What fits into `LOADED` is read once in a training, and counted on the way; of more,
every chunk of steps reads what it draws from, since it cannot stay in memory. Chains of
another run are looked through before this one has a directory, too: what they are not
good for is refused before anything is made.
"""

import dataclasses
import math
from collections.abc import Iterable, Iterator
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
from genlat.runs.disk import directory, store
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


@dataclasses.dataclass(frozen=True)
class Block:
    """What a block holds to train on, and of how many `chains` in all it is."""

    training: Num[np.ndarray, "some n *lattice"]
    chains: int
    fingerprint: str

    @property
    def rows(self) -> Rows:
        return self.training.reshape(-1, *self.training.shape[2:])


def survey(
    config: RunConfig, blocks: Iterable[Block], action: AbstractAction
) -> Survey:
    """Look through all configurations once, a block at a time.

    **Raises:** `RequestError` if they are of another theory, or fewer than 100 of them
    are independent; `DamagedError`.
    """
    series, fingerprint, chains = [], "", 0
    for block in blocks:
        chains, fingerprint = block.chains, block.fingerprint
        measured = np.asarray(_measure(action, jnp.asarray(block.rows)))
        series.append(measured.reshape(2, *block.training.shape[:2]))
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
        blocks = _blocks(config, Path(config.train.data), store.look_into)
        survey(config, blocks, config.theory.theory().action)


class TrainingData:
    """Configurations by the number of a training step; opened once in a training.

    **Raises:** `RequestError` as `survey`, and if the ensemble is not the one that the
    training began with.
    """

    def __init__(self, job: Job):
        self._job = job
        self._sizes: list[int] = []
        self._everything: Rows | None = None
        whose: set[str] = set()
        blocks = self._first_look(whose)
        note = directory.notes(job.directory).get(NOTE)
        if note is None:
            note = dataclasses.asdict(survey(job.config, blocks, job.action))
            directory.note(job.directory, NOTE, note)
        for _ in blocks:  # all of them, where they were surveyed before
            pass
        if whose != {note["fingerprint"]}:
            name = job.config.train.data
            raise RequestError(
                f"train.data = {name}: not the chains that training began with"
            )
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
        if self._everything is not None:
            return self._everything
        rng = np.random.default_rng(
            [self._job.config.seed, Purpose.TRAINING_DATA, step]
        )
        index = rng.choice(sum(self._sizes), self._at_most, replace=False)
        return self._rows(np.sort(index))

    @property
    def _at_most(self) -> int:
        """Configurations that fit into `LOADED` bytes."""
        theory = self._job.config.theory
        return max(1, LOADED // (theory.SPACE.dtype.itemsize * math.prod(theory.shape)))

    def _blocks(self) -> Iterator[Block]:
        job = self._job
        return _blocks(job.config, job.directory, job.opened.look_into)

    def _first_look(self, whose: set[str]) -> Iterator[Block]:
        """Every block, counted; everything is kept if it fits."""
        parts: list[Rows] = []
        for block in self._blocks():
            whose.add(block.fingerprint)
            self._sizes.append(len(block.rows))
            if sum(self._sizes) > self._at_most:
                parts.clear()
            else:
                parts.append(block.rows.copy())  # without those held out
            yield block
        if sum(self._sizes) <= self._at_most:
            self._everything = np.concatenate(parts)

    def _rows(self, index: np.ndarray) -> Rows:
        """Configurations by their number, counted through the blocks."""
        parts, first = [], 0
        for block, size in zip(self._blocks(), self._sizes, strict=True):
            inside = index[(index >= first) & (index < first + size)] - first
            parts.append(block.rows[inside])
            first += size
        return np.concatenate(parts)


def diagnostics(run_directory: Path) -> dict[str, Any]:
    """The entry of `diagnostics`, of a training on samples of p."""
    note = directory.notes(run_directory).get(NOTE)
    if note is None:
        return {}
    return {NOTE: {key: note[key] for key in note if key != "fingerprint"}}


def _blocks(config: RunConfig, own: Path, look: store.Look) -> Iterator[Block]:
    """The blocks that hold configurations, one after another."""
    place = stored_chains.directory(own, config.train.data)
    for path in stored_chains.paths(place, look):
        block = stored_chains.read(path, config.theory, look)
        phi = block.arrays["phi"]
        if phi.size:
            training, _ = data.split_chains(phi, config.train.held_out)
            yield Block(training, len(phi), str(block.attributes["fingerprint"]))


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
