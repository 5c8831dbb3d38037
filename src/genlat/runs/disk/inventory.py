"""What a finished run consists of: noted at its end, so that what is lost is missed.

Blocks and checkpoints know whether they are sound; only the run knows how many there
are. No JAX here.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genlat.errors import DamagedError
from genlat.runs.disk import directory, files, metrics

if TYPE_CHECKING:
    from genlat.runs.disk.store import Look  # HDF5, which checks do without

NOTE = "records"
BLOCKS = ("chain", "flow", "nmcmc", "target", "path")
_PATTERNS = {  # of the records of each kind, in a run directory
    **{kind: f"ensembles/{kind}-?????.h5" for kind in BLOCKS},
    "checkpoint": "checkpoints/step-*.checkpoint",
}


def note(run_directory: Path, look: "Look") -> None:
    """Note the records of a run all of whose stages are over."""
    content = take(run_directory, look)
    if directory.notes(run_directory).get(NOTE) != content:
        directory.note(run_directory, NOTE, content)


def take(run_directory: Path, look: "Look") -> dict[str, Any]:
    """The records that are there, by kind, and the number of logged steps."""
    found: dict[str, Any] = {
        kind: [
            str(path.relative_to(run_directory))
            for path in sorted(run_directory.glob(pattern))
        ]
        for kind, pattern in _PATTERNS.items()
    }
    found["checkpoint"] = found["checkpoint"][-1:]  # the others are for accidents
    whose = {
        kind: look(run_directory / found[kind][0]).attributes["fingerprint"]
        for kind in BLOCKS
        if found[kind]
    }
    lines = metrics.read(run_directory)
    return {
        **found,
        "steps": len(lines),
        "fingerprints": whose,
        "digests": {
            "checkpoint": [
                files.seal_of(run_directory / name) for name in found["checkpoint"]
            ],
            "log": metrics.digest(lines),
        },
    }


def fingerprint(run_directory: Path, kind: str) -> str | None:
    """Of the blocks of a finished run; None where nothing is noted."""
    noted = directory.notes(run_directory).get(NOTE, {})
    return noted.get("fingerprints", {}).get(kind)


def missing(run_directory: Path, *kinds: str) -> list[Path]:
    """What a finished run has lost, of these kinds or of all; nothing of another."""
    noted = directory.notes(run_directory).get(NOTE, {})
    return [
        run_directory / name
        for kind in kinds or _PATTERNS
        for name in noted.get(kind, [])
        if not (run_directory / name).exists()
    ]


def refuse_missing(run_directory: Path, *kinds: str) -> None:
    """Never take a part of a run for the whole.

    **Raises:** `DamagedError` if a finished run has lost a record of these kinds.
    """
    if lost := missing(run_directory, *kinds):
        raise DamagedError(lost_line(run_directory, lost))


def refuse_other_model(run_directory: Path, newest: Path) -> None:
    """The model of a finished run is the one that it trained.

    **Raises:** `DamagedError` if `newest` is the checkpoint of another, or damaged.
    """
    files.read_sealed(newest)
    noted = _digests(run_directory).get("checkpoint")
    if noted and files.seal_of(newest) != noted[0]:
        raise DamagedError(
            f"{newest}: of another run; delete it, and `genlat resume "
            f"{run_directory}` makes it again, the same"
        )


def refuse_foreign_results(
    run_directory: Path, results: Mapping[str, Any], config: Mapping[str, Any]
) -> None:
    """Results are of the run file beside them.

    **Raises:** `DamagedError`.
    """
    ours = json.loads(json.dumps(config))  # TOML and Pydantic have other sequences
    theirs = results.get("config") or ours
    for name in dict.fromkeys([*ours, *theirs]):
        if theirs.get(name) != ours.get(name):
            raise DamagedError(
                f"{run_directory / 'results.json'}: of another run, whose {name} is "
                f"not that of config.toml; delete it, and `genlat resume "
                f"{run_directory}` makes it again"
            )


def lost_line(run_directory: Path, lost: list[Path]) -> str:
    """What to say of records that are gone."""
    others = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
    return (
        f"{lost[0]}: gone{others}; `genlat resume {run_directory}` makes it again, "
        "the same"
    )


def refuse_other_log(run_directory: Path, lines: list[metrics.Line]) -> None:
    """A finished run logged every step of its training, and no other's.

    **Raises:** `DamagedError` if fewer are left, or they are of another run.
    """
    n_noted = directory.notes(run_directory).get(NOTE, {}).get("steps", len(lines))
    if len(lines) != n_noted:
        raise metrics.damaged(run_directory, f"has {len(lines)} of {n_noted} steps")
    digest = metrics.digest(lines)
    if _digests(run_directory).get("log", digest) != digest:
        raise metrics.damaged(run_directory, "of another run")


def _digests(run_directory: Path) -> dict[str, Any]:
    """Of the newest checkpoint and the log; not noted before 2026-11-27."""
    return directory.notes(run_directory).get(NOTE, {}).get("digests", {})
