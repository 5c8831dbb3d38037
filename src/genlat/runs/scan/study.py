"""A study: the same scan on one lattice after another."""

from pathlib import Path
from typing import Any

from genlat.runs.disk import directory, files
from genlat.runs.scan import (
    scan,
    scan_results,
    scan_values,
    study_request,
    study_results,
)
from genlat.runs.scan.scan import Draw
from genlat.runs.scan.study_request import Study
from genlat.runs.stages.screen import Screen


def start(study: Study, path: Path, screen: Screen, draw: Draw) -> dict[str, Any]:
    """Carry out a checked study in the new directory `path`; returns `study.json`.

    **Raises:** `RequestError` if `path` exists, and as `resume`.
    """
    directory.refuse_existing(path)
    with files.whole_directory(path) as temporary:
        study_request.write(temporary, study)
    return resume(path, screen, draw)


def resume(path: Path, screen: Screen, draw: Draw) -> dict[str, Any]:
    """Continue a study wherever it stopped; returns `study.json`.

    **Arguments:** `draw` is for points and for scans.

    **Raises:** as `scan.resume`.
    """
    study = study_request.read(path)
    places = [path / "scans" / name for name in study.names]
    pairs = list(zip(places, study.scans, strict=True))
    found = files.read_json(path / "study.json")
    if found and all(scan.finished(*pair) for pair in pairs):
        now = study_results.collect(path, study)
        if scan_results.is_of(found, now):
            screen.say(f"{path}: already finished")
            return found
    with directory.held(path):
        for k, (place, request) in enumerate(pairs):
            size = scan_values.show(study.sizes[k])
            screen.say(f"lattice {k + 1} of {len(pairs)}: {size}")
            was_finished = bool(scan.finished(place, request))
            scan.resume(place, screen, draw, path)
            if not (was_finished and (place / "report.html").exists()):
                draw(place)
            found = study_results.write(path, study)
        return found
