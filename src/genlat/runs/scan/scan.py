"""A scan: one run after another, each starting from its neighbour's model."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from genlat.errors import DamagedError, DivergedError, RequestError
from genlat.runs import pipeline
from genlat.runs.disk import directory, files, inventory
from genlat.runs.file import source
from genlat.runs.scan import scan_request, scan_results, scan_values
from genlat.runs.scan.scan_request import Request
from genlat.runs.stages.screen import Screen

Draw = Callable[[Path], object]
"""Draws the report of a finished run directory."""


def start(request: Request, path: Path, screen: Screen, draw: Draw) -> dict[str, Any]:
    """Carry out a checked scan in the new directory `path`; returns `scan.json`.

    **Raises:** `RequestError` if `path` exists, and as `resume`.
    """
    directory.refuse_existing(path)
    with files.whole_directory(path) as temporary:
        (temporary / "points").mkdir()
        scan_request.write(temporary, request)
    return resume(path, screen, draw)


def resume(
    path: Path, screen: Screen, draw: Draw, study: Path | None = None
) -> dict[str, Any]:
    """Continue a scan wherever it stopped; returns `scan.json`, which grows with it.

    **Arguments:** `study` is the directory of the study that the scan is a part of.

    **Raises:** `RequestError`, `DamagedError` or `DivergedError` as `pipeline.resume`,
    naming the point and how to go on.
    """
    request = scan_request.read(path)
    if found := finished(path, request):
        screen.say(f"{path}: already finished")
        return found
    points = [path / "points" / name for name in request.points]
    with directory.held(path):
        begin, done = time.monotonic(), 0
        for index, point in enumerate(points):
            if not _is_whole(point):
                _say(request, index, (time.monotonic() - begin) / max(done, 1), screen)
                _point(request, path, index, screen, study or path)
                done += 1
            if not (point / "report.html").exists():
                draw(point)
            found = scan_results.write(path, request)
        return found


def finished(path: Path, request: Request) -> dict[str, Any]:
    """`scan.json` of a scan of which nothing is missing; empty of any other.

    Nor is it the whole if another run was put in the place of a point since.
    """
    found = files.read_json(path / "scan.json")
    points = (path / "points" / name for name in request.points)
    if not (found.get("is_complete") and all(map(_is_whole, points))):
        return {}
    now = scan_results.collect(path, request)
    return found if scan_results.is_of(found, now) else {}


def _is_whole(point: Path) -> bool:
    """Whether a point is finished, and has lost nothing since."""
    return (point / "results.json").exists() and not inventory.missing(point)


def _say(request: Request, index: int, seconds: float, screen: Screen) -> None:
    """Which point comes next, and how long all may take if the others are like it."""
    n = len(request.points)
    left = f", about {(n - index) * seconds / 60:.0f} min left" if seconds > 1 else ""
    value = scan_values.show(request.values[index])
    screen.say(f"point {index + 1} of {n}: {request.field} = {value}{left}")


def _point(
    request: Request, path: Path, index: int, screen: Screen, whole: Path
) -> None:
    """Run one point, or the rest of it; `whole` is the directory to resume."""
    point = path / "points" / request.points[index]
    try:
        if point.exists():
            screen.say("  continues where it stopped")
            pipeline.resume(point, screen)
            return
        init = _neighbour(request, path, index, screen)
        pipeline.start(scan_request.configuration(request, index, init), point, screen)
    except (DamagedError, DivergedError) as error:
        raise type(error)(_advice(point, str(error), whole)) from error
    except RequestError as error:
        raise RequestError(_advice(point, "; ".join(error.lines), whole)) from error


def _neighbour(request: Request, path: Path, index: int, screen: Screen) -> str | None:
    """The directory of the point before, if its model can start this one."""
    config = scan_request.configuration(request, index, None)
    if config.model is None:
        return None
    if index == 0 and request.start is None:
        screen.say(f"  model.init = {config.model.init}")
        return None
    neighbour = _before(request, path, index)
    before = request.points[index - 1] if index > 0 else request.start
    reason = source.why_unfit(neighbour, config.theory, config.model)
    if reason is not None:
        screen.say(f"  model.init = {config.model.init}, not {before}: {reason}")
        return None
    screen.say(f"  starts from {before}")
    return str(neighbour)


def _before(request: Request, path: Path, index: int) -> Path:
    """The point whose model the next one may start from.

    **Raises:** `RequestError` if it is that of another scan, which has not got so far:
    what the next one starts from must not depend on when it begins.
    """
    if index > 0:
        return (path / "points" / request.points[index - 1]).absolute()
    other = path.absolute().parent / (request.start or "")
    if not _is_whole(other):
        raise RequestError(f"starts from {other}, which is not finished")
    return other


def _advice(point: Path, complaint: str, path: Path) -> str:
    return (
        f"{point}: {complaint}; finished points are kept; continue with: "
        f"genlat resume {path} (another try at this point alone: docs/scan.md)"
    )
