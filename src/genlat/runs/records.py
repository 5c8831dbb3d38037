"""A run directory as plain dictionaries and NumPy arrays. No JAX here."""

import dataclasses
import json
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from genlat.runs import store

Arrays = dict[str, Shaped[np.ndarray, "..."]]


@dataclasses.dataclass(frozen=True)
class Record:
    """What a run left behind; arrays are read from disk, and verified, on first use.

    - `config`: the resolved run file.
    - `results`: `results.json`, schema `genlat.results/1`; empty before the run ends.
    - `metrics`: one array per column of `metrics.jsonl`, one entry per logged step.
    """

    directory: Path
    config: dict[str, Any]
    results: dict[str, Any]
    metrics: dict[str, Float[np.ndarray, " steps"]]

    @cached_property
    def chain(self) -> Arrays:
        """`observables/<key>` (n_chains, n_kept, ...), `acceptance`, `delta_h`
        (n_chains, n_kept), `phi` (n_saved, *lattice). Empty without a chain."""
        return concatenated(self.directory, "chain", sample_axis=1)

    @cached_property
    def flow(self) -> Arrays:
        """`log_q`, `action` (n,), `observables/<key>` (n, ...), `phi` (n_saved,
        *lattice). Empty without a model."""
        return concatenated(self.directory, "flow", sample_axis=0)

    @cached_property
    def nmcmc(self) -> Arrays:
        """`index` into the flow's samples and `accepted`, (n_chains, n_steps)."""
        return concatenated(self.directory, "nmcmc", sample_axis=1)


def read(directory: Path) -> Record:
    """Read a run directory, finished or not.

    **Raises:** `OSError` if it is none.
    """
    config = tomllib.loads((directory / "config.toml").read_text(encoding="utf-8"))
    results = read_json(directory / "results.json")
    return Record(directory, config, results, _columns(metrics(directory)))


def concatenated(directory: Path, name: str, *, sample_axis: int) -> Arrays:
    """All blocks of an ensemble, joined along the axis of samples.

    `phi`, the few stored configurations, is joined along axis 0. Chain states, which
    only a resumed run needs, are left out.

    **Raises:** `DamagedError` for a block that is not what was written.
    """
    blocks = [store.read(path).arrays for path in store.paths(directory, name)]
    names = [
        key for key in (blocks[0] if blocks else ()) if not key.startswith("state")
    ]
    return {
        key: np.concatenate(
            [block[key] for block in blocks], axis=0 if key == "phi" else sample_axis
        )
        for key in names
    }


def metrics(directory: Path) -> list[dict[str, float]]:
    """The whole lines of `metrics.jsonl`; one cut short by a kill is left out."""
    path = directory / "metrics.jsonl"
    if not path.exists():
        return []
    *lines, _ = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines]


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of a run directory; empty if it is not there yet."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _columns(lines: list[dict[str, float]]) -> dict[str, Float[np.ndarray, " steps"]]:
    names = lines[0] if lines else {}
    return {name: np.array([line[name] for line in lines], float) for name in names}
