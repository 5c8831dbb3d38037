"""A run directory as plain dictionaries and NumPy arrays. No JAX here."""

import dataclasses
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from genlat.runs import files, metrics, store

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
        (n_chains, n_kept), `phi` (n_chains, n_saved, *lattice). Empty without a
        chain."""
        return store.joined(store.read_all(self.directory, "chain"), sample_axis=1)

    @cached_property
    def flow(self) -> Arrays:
        """`log_q`, `action` (n,), `observables/<key>` (n, ...), `phi` (n_saved,
        *lattice). Empty without a model."""
        return store.joined(store.read_all(self.directory, "flow"), sample_axis=0)

    @cached_property
    def nmcmc(self) -> Arrays:
        """`index` into the flow's samples and `accepted`, (n_chains, n_steps)."""
        return store.joined(store.read_all(self.directory, "nmcmc"), sample_axis=1)

    @cached_property
    def target(self) -> Arrays:
        """`log_q`, `action` on samples of p, (n_chains, n_saved). Empty without."""
        return store.joined(store.read_all(self.directory, "target"), sample_axis=1)

    @cached_property
    def path(self) -> list[Arrays]:
        """The rounds of the integration: `fraction` (couplings,), `energy` (couplings,
        chains, n). Other couplings in every round."""
        blocks = store.read_all(self.directory, "path")
        names = ("fraction", "energy")
        return [{name: block.arrays[name] for name in names} for block in blocks]


def read(directory: Path) -> Record:
    """Read a run directory, finished or not.

    **Raises:** `OSError` if it is none.
    """
    config = tomllib.loads((directory / "config.toml").read_text(encoding="utf-8"))
    results = files.read_json(directory / "results.json")
    return Record(directory, config, results, _columns(metrics.read(directory)))


@dataclasses.dataclass(frozen=True)
class ScanRecord:
    """What a scan left behind.

    - `request`: `scan.toml`: the field, its values, the run file of the first point.
    - `results`: `scan.json`, schema `genlat.scan/1`; empty before the first point ends.
    """

    directory: Path
    request: dict[str, Any]
    results: dict[str, Any]


def read_scan(directory: Path) -> ScanRecord:
    """Read a scan directory, finished or not.

    **Raises:** `OSError` if it is none.
    """
    request = tomllib.loads((directory / "scan.toml").read_text(encoding="utf-8"))
    return ScanRecord(directory, request, files.read_json(directory / "scan.json"))


def _columns(lines: list[metrics.Line]) -> dict[str, Float[np.ndarray, " steps"]]:
    names = lines[0] if lines else {}
    return {name: np.array([line[name] for line in lines], float) for name in names}
