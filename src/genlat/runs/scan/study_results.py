"""From the scans of a study to `study.json`. No JAX here."""

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genlat.errors import DamagedError
from genlat.estimators.crossings import crossings
from genlat.estimators.thermodynamics import Points
from genlat.runs.disk import files
from genlat.runs.scan.scan_values import SIZES
from genlat.runs.scan.study_request import Study

SCHEMA = "genlat.study/1"
CROSSING = "binder"  # of two volumes it crosses at the transition

Json = dict[str, Any]


def write(path: Path, study: Study) -> Json:
    """Collect the scans, write `study.json` whole, and return it."""
    content = collect(path, study)
    files.write_json(path / "study.json", content)
    return content


def collect(path: Path, study: Study) -> Json:
    """The content of `study.json`, from whatever there is of the scans."""
    places = [f"scans/{name}" for name in study.names]
    scans = [files.read_json(path / place / "scan.json") for place in places]
    content = {
        "schema": SCHEMA,
        "is_complete": all(found.get("is_complete", False) for found in scans),
        "over": [SIZES, study.field],
        "sizes": study.sizes,
        "values": study.values,
        "scans": places,
        "digests": [
            _digest(found) if found.get("is_complete") else None for found in scans
        ],
        "trust": [_counts(found) for found in scans],
        "crossings": [
            {"observable": CROSSING, "method": method, "sizes": [small, large], **row}
            for (small, one), (large, other) in itertools.pairwise(
                zip(study.sizes, scans, strict=True)
            )
            for method, row in _crossings(one, other)
        ],
    }
    return json.loads(json.dumps(content))  # as it will be read


def refuse_other_scans(path: Path, content: Mapping[str, Any]) -> None:
    """Crossings are of the scans beside them; not noted before 2026-11-28.

    **Raises:** `DamagedError` for one that was complete, and is gone or another.
    """
    scans = content.get("scans", [])
    for place, digest in zip(scans, content.get("digests", []), strict=False):
        found = files.read_json(path / place / "scan.json")
        if digest is not None and _digest(found) != digest:
            raise DamagedError(
                f"{path / place}: not the scan that study.json was made of; "
                f"`genlat resume {path}` makes the crossings anew"
            )


def _digest(found: Mapping[str, Any]) -> str:
    """Of a scan but for its times, which a kill may change."""
    return files.seal({name: x for name, x in found.items() if name != "cost"})


def _counts(found: Mapping[str, Any]) -> dict[str, int]:
    """How many points have which verdict."""
    trusts = [verdict["trust"] for verdict in found.get("verdicts", [])]
    return {trust: trusts.count(trust) for trust in ("yes", "unknown", "no")}


def _crossings(one: Json, other: Json) -> list[tuple[str, Json]]:
    """Where two lattices have the same value, by every method that both have."""
    curves = [
        found.get("estimates", {}).get(CROSSING, {}) if found else {}
        for found in (one, other)
    ]
    rows = []
    for method in curves[0]:
        if method not in curves[1]:
            continue
        by_value = [
            _usable(found, curve[method])
            for found, curve in zip((one, other), curves, strict=True)
        ]
        shared = [value for value in by_value[0] if value in by_value[1]]
        if len(shared) < 2:
            continue
        first, second = (
            Points(*np.array([found[value] for value in shared]).T)
            for found in by_value
        )
        rows += [
            (method, row._asdict())
            for row in crossings(np.array(shared, np.float64), first, second)
        ]
    return rows


def _usable(found: Json, curve: Json) -> dict[float, tuple[float, float]]:
    """Value and error at every point that has both."""
    rows = zip(found["values"], curve["value"], curve["error"], strict=True)
    return {x: (y, error) for x, y, error in rows if None not in (y, error)}
