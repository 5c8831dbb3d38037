"""A finished run from its directory: theory, model, records and results."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from genlat.api import environment
from genlat.api.results import Results
from genlat.errors import RequestError
from genlat.families import conditioning
from genlat.models.base import AbstractModel
from genlat.runs import records
from genlat.runs.disk import directory as directories
from genlat.runs.file import begun
from genlat.runs.file.sections import RunConfig
from genlat.runs.records import Record
from genlat.runs.stages import flow_model, integrated, sampling
from genlat.theories.base import Theory

BATCH = 500
PIECE = 10_000


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run left behind.

    - `model`: as its estimates used it, at its couplings and with its integration
      steps; None of a chain alone, or draws made elsewhere.
    - `record`: its ensembles and metrics as arrays.
    """

    directory: Path
    theory: Theory
    model: AbstractModel | None
    record: Record
    results: Results

    def __repr__(self) -> str:
        return f"Run({self.directory}, {self.results!r})"

    def pieces(self, n: int, key: PRNGKeyArray) -> Iterator[sampling.Draws]:
        """`n` draws of the model, piece by piece, each fit for memory.

        Draw i depends on `key` and i alone.

        **Raises:** `RequestError` for a run without a model.
        """
        environment.require()
        if self.model is None:
            raise RequestError(f"{self.directory}: has no model to draw from")
        for first in range(0, n, PIECE):
            count = min(PIECE, n - first)
            action = self.theory.action
            yield sampling.draw(self.model, action, key, first, count, BATCH)

    def sample(self, n: int, key: PRNGKeyArray) -> sampling.Draws:
        """The same in one: configurations `phis`, `log_q`, `action`, `observables`."""
        parts = list(self.pieces(n, key))
        return jax.tree.map(lambda *x: np.concatenate(x), *parts)


def load(directory: Path | str) -> Run:
    """Open the directory of a finished run.

    **Raises:** `RequestError` if it is none, or not finished; `DamagedError` if one of
    its files is not what was written.
    """
    environment.require()
    path = Path(directory)
    config = begun.read(path)
    record = records.read(path)
    if not record.results:
        raise RequestError(f"{path}: not finished: genlat resume {path}")
    theory = dataclasses.replace(config.theory.theory(), section=config.theory)
    results = Results(record.results, record)
    return Run(path, theory, _model(path, config), record, results)


def _model(path: Path, config: RunConfig) -> AbstractModel | None:
    if config.model is None:
        return None
    trained = flow_model.read(path)
    model = conditioning.at(trained, config.model.nodes, config.theory)
    assert isinstance(model, AbstractModel)
    choice = directories.notes(path).get(integrated.NOTE)
    return model if choice is None else integrated.with_steps(model, choice["steps"])
