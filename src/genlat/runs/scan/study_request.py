"""A study as it was asked for: one scan on several lattices. No JAX here."""

import dataclasses
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomli_w

from genlat.errors import RequestError
from genlat.runs.disk import files
from genlat.runs.scan import scan_request, scan_values
from genlat.runs.scan.scan_request import Request
from genlat.runs.scan.scan_values import MOST_POINTS, SIZES, Size, Value

FILE = "study.toml"
COMMENT = "# sha256 "  # and the digest of what follows


@dataclasses.dataclass(frozen=True)
class Study:
    """A checked study: a scan of the same values on every lattice.

    - `sizes`: the lattices, from the first to be simulated to the last.
    - `scans`: the scan on each of them.
    """

    sizes: tuple[Size, ...]
    scans: tuple[Request, ...]

    @property
    def names(self) -> list[str]:
        """The directory of each scan, under `scans/`."""
        return _outer(self.sizes, {}).points

    @property
    def field(self) -> str:
        """What is scanned on every lattice."""
        return self.scans[0].field

    @property
    def values(self) -> tuple[Value, ...]:
        """What it is set to, point by point."""
        return self.scans[0].values


def plan(
    path: Path, overs: Sequence[str], overrides: Sequence[str], warm_steps: int | None
) -> Study:
    """Check every point of a study.

    **Arguments:** `overs` as on the command line, one of them of sizes; the others as
    for `scan_request.plan`.

    **Raises:** `RequestError` with a line for every problem of every point.
    """
    sizes, (field, values) = _pair(overs)
    if (n := len(sizes) * len(values)) > MOST_POINTS:
        raise RequestError(f"--over {SIZES}, {field}: {n} points; at most 1000")
    data = scan_request.read_base(path, overrides, warm_steps)
    scan_request.refuse_bare(SIZES, sizes, data)
    outer = _outer(sizes, data)
    scans, problems = [], []
    for k, name in enumerate(outer.points):
        base = scan_request.run_file(outer, k)
        if k > 0 and isinstance(seed := data.get("seed"), int):
            # not that of point k of the first scan, which `outer` has given it
            base["seed"] = scan_request.derived_seed(seed, k, "study")
        request = Request(field, values, base, warm_steps)
        if k > 0 and "model" in data:
            start = f"{outer.points[k - 1]}/points/{request.points[0]}"
            request = dataclasses.replace(request, start=start)
        try:
            scans.append(scan_request.resolve(request, f"{path}: {name}"))
        except RequestError as error:
            problems.append((name, error.lines))
    if problems:
        raise RequestError(_merged(str(path), problems, len(sizes)))
    return Study(sizes, tuple(scans))


def write(directory: Path, study: Study) -> None:
    """Write `study.toml`, and `scan.toml` of every scan, each whole."""
    for name, request in zip(study.names, study.scans, strict=True):
        scan = directory / "scans" / name
        (scan / "points").mkdir(parents=True)
        scan_request.write(scan, request)
    content = {
        "sizes": study.sizes,
        "field": study.field,
        "values": study.values,
        "scans": study.names,
        "base": study.scans[0].base,
    }
    files.write_sealed(directory / FILE, tomli_w.dumps(content).encode(), COMMENT)


def is_study(directory: Path) -> bool:
    """Whether a directory is that of a study, finished or not."""
    return (directory / FILE).exists()


def read(directory: Path) -> Study:
    """The study that a directory began with.

    **Raises:** as `read_table`.
    """
    content = read_table(directory)
    scans = (scan_request.read(directory / "scans" / x) for x in content["scans"])
    return Study(tuple(map(tuple, content["sizes"])), tuple(scans))


def read_table(directory: Path) -> dict[str, Any]:
    """The content of `study.toml`.

    **Raises:** `RequestError` if there is none; `DamagedError` if it is not what was
    written.
    """
    if not is_study(directory):
        raise RequestError(f"{directory}: not the directory of a study of genlat")
    return tomllib.loads(files.read_sealed(directory / FILE, COMMENT).decode())


def _outer(sizes: tuple[Size, ...], data: dict[str, Any]) -> Request:
    """The lattices as a scan, which gives each its name and run file."""
    return Request(SIZES, sizes, data, None)


def _pair(
    overs: Sequence[str],
) -> tuple[tuple[Size, ...], tuple[str, tuple[Value, ...]]]:
    parsed = dict(map(scan_values.parse, overs))
    names = ", ".join(over.partition("=")[0].strip() for over in overs)
    sizes = parsed.pop(SIZES, ())
    wanted = f"should be one of {SIZES} and one of a coupling"
    if len(overs) != 2 or not sizes or len(parsed) != 1:
        raise RequestError(f"--over {names}: several {wanted}")
    ((field, values),) = parsed.items()
    if field.startswith(f"{SIZES}."):
        raise RequestError(f"--over {names}: two of the shape; they {wanted}")
    shapes = tuple(size for size in sizes if isinstance(size, tuple))
    return shapes, (field, values)


def _merged(
    source: str, problems: Sequence[tuple[str, Sequence[str]]], n_sizes: int
) -> list[str]:
    """What is wrong on every lattice alike is one line."""
    by_line: dict[str, list[str]] = {}
    for name, lines in problems:
        for line in lines:
            known = line.removeprefix(f"{source}: {name}: ")
            by_line.setdefault(known, []).append(f"{name}: ")
    return [
        f"{source}: {place}{line}"
        for line, places in by_line.items()
        for place in (places if len(places) < n_sizes else [""])
    ]
