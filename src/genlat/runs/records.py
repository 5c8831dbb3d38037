"""A run directory as plain dictionaries and NumPy arrays. No JAX here."""

import dataclasses
import tomllib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from genlat.runs.disk import directory as runs_directory
from genlat.runs.disk import files, inventory, metrics, store
from genlat.runs.scan import (
    scan_request,
    scan_results,
    study_request,
    study_results,
)

Arrays = dict[str, Shaped[np.ndarray, "..."]]
PREFIX = "observables/"


@dataclasses.dataclass(frozen=True)
class Record:
    """What a run left behind; arrays are read from disk, and verified, on first use.

    - `config`: the resolved run file.
    - `results`: `results.json`, schema `genlat.results/1`; empty before the run ends.
    - `metrics`: one array per column of `metrics.jsonl`, one entry per logged step.
    - `only`: the observables that are read of `chain` and `flow`; None for all.
    - `held`: ensembles by name, of a judgement that has no directory.
    """

    directory: Path
    config: dict[str, Any]
    results: dict[str, Any]
    metrics: dict[str, Float[np.ndarray, " steps"]]
    only: tuple[str, ...] | None = None
    held: Mapping[str, Arrays] | None = None

    @classmethod
    def in_memory(
        cls, config: dict[str, Any], results: dict[str, Any], held: Mapping[str, Arrays]
    ) -> "Record":
        """Of what was never on disk."""
        return cls(Path(), config, results, {}, None, held)

    def __repr__(self) -> str:
        done = "finished" if self.results else "not finished"
        return f"Record({self.directory}, {done}, {len(self.metrics)} metrics)"

    @cached_property
    def chain(self) -> Arrays:
        """`observables/<key>` (n_chains, n_kept, ...), `acceptance`, `delta_h`
        (n_chains, n_kept), `phi` (n_chains, n_saved, *lattice). Empty without a
        chain."""
        return self._joined("chain", sample_axis=1)

    @cached_property
    def flow(self) -> Arrays:
        """`log_q`, `action` (n,), `observables/<key>` (n, ...), `phi` (n_saved,
        *lattice). Empty without a model."""
        return self._joined("flow", sample_axis=0)

    @cached_property
    def nmcmc(self) -> Arrays:
        """`index` into the flow's samples and `accepted`, (n_chains, n_steps)."""
        return self._joined("nmcmc", sample_axis=1)

    @cached_property
    def target(self) -> Arrays:
        """`log_q`, `action` on samples of p, (n_chains, n_saved). Empty without."""
        return self._joined("target", sample_axis=1)

    @cached_property
    def path(self) -> list[Arrays]:
        """The rounds of the integration: `fraction` (couplings,), `energy` (couplings,
        chains, n). Other couplings in every round."""
        names = ("fraction", "energy")
        blocks = self._blocks("path")
        return [{name: block.arrays[name] for name in names} for block in blocks]

    def _joined(self, kind: str, sample_axis: int) -> Arrays:
        if self.held is not None:
            return dict(self.held.get(kind, {}))
        blocks = self._blocks(kind)
        if not blocks or self.only is None:
            return store.joined(blocks, sample_axis=sample_axis)
        wanted = {f"{PREFIX}{name}" for name in self.only}
        names = [
            name
            for name in blocks[0].arrays
            if not name.startswith((PREFIX, "state/")) or name in wanted
        ]
        return store.joined(blocks, sample_axis=sample_axis, names=names)

    def measured(self) -> list[str]:
        """The observables on disk, of chain or draws."""
        if self.held is not None:
            return []
        blocks = [*self._blocks("chain")[:1], *self._blocks("flow")[:1]]
        names = [name for block in blocks for name in block.arrays]
        ours = [name for name in names if name.startswith(PREFIX)]
        return list(dict.fromkeys(name.removeprefix(PREFIX) for name in ours))

    def _blocks(self, kind: str) -> list[store.Block]:
        """All of them: of a finished run, those that it had."""
        inventory.refuse_missing(self.directory, kind)
        fingerprint = inventory.fingerprint(self.directory, kind)
        return store.read_all(self.directory, kind, fingerprint)


def read(directory: Path | str) -> Record:
    """Read a run directory, finished or not.

    **Raises:** `OSError` if it is none; `DamagedError` or `RequestError` if a file is
    not what was written.
    """
    directory = Path(directory)
    content = (directory / "config.toml").read_bytes()
    if noted := runs_directory.notes(directory):
        runs_directory.refuse_edited(directory, content, noted)
    config = tomllib.loads(content.decode())
    results = files.read_json(directory / "results.json")
    inventory.refuse_foreign_results(directory, results, config)
    lines = metrics.read(directory)
    inventory.refuse_other_log(directory, lines)
    return Record(directory, config, results, _columns(lines))


def read_fluctuations(directory: Path | str) -> dict[str, Any]:
    """What `genlat fluctuations` found, schema `genlat.fluctuations/1`.

    **Raises:** `DamagedError` if it is not what was written.
    """
    return files.read_json(Path(directory) / "fluctuations.json")


@dataclasses.dataclass(frozen=True)
class ScanRecord:
    """What a scan left behind.

    - `request`: `scan.toml`: the field, its values, the run file of the first point.
    - `results`: `scan.json`, schema `genlat.scan/1`; empty before the first point ends.
    """

    directory: Path
    request: dict[str, Any]
    results: dict[str, Any]


def read_scan(directory: Path | str) -> ScanRecord:
    """Read a scan directory, finished or not.

    **Raises:** `OSError` if it is none; `DamagedError` or `RequestError` if a file is
    not what was written.
    """
    directory = Path(directory)
    request = scan_request.read_table(directory)
    results = files.read_json(directory / "scan.json")
    scan_results.refuse_other_points(directory, results)
    return ScanRecord(directory, request, results)


@dataclasses.dataclass(frozen=True)
class StudyRecord:
    """What a scan on several lattices left behind.

    - `request`: `study.toml`: sizes, field, values, the first point's run file.
    - `results`: `study.json`, schema `genlat.study/1`; empty before it is there.
    - `scans`: the scan on each lattice.
    """

    directory: Path
    request: dict[str, Any]
    results: dict[str, Any]
    scans: tuple[ScanRecord, ...]


def read_study(directory: Path | str) -> StudyRecord:
    """Read the directory of a study, finished or not.

    **Raises:** as `read_scan`.
    """
    directory = Path(directory)
    request = study_request.read_table(directory)
    scans = tuple(read_scan(directory / "scans" / name) for name in request["scans"])
    results = files.read_json(directory / "study.json")
    study_results.refuse_other_scans(directory, results)
    return StudyRecord(directory, request, results, scans)


def _columns(lines: list[metrics.Line]) -> dict[str, Float[np.ndarray, " steps"]]:
    names = lines[0] if lines else {}
    return {name: np.array([line[name] for line in lines], float) for name in names}
