"""A scan as it was asked for: one field of a run file, and its values. No JAX here."""

import copy
import dataclasses
import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from genlat.errors import RequestError
from genlat.runs.disk import files
from genlat.runs.file import catalogue, config, run_text
from genlat.runs.file.sections import NAMED, RunConfig
from genlat.runs.scan import scan_values
from genlat.runs.scan.scan_values import SIZES, Value

FILE = "scan.toml"
COMMENT = "# sha256 "  # and the digest of what follows
LONGEST_ENTRY = 10  # digits


@dataclasses.dataclass(frozen=True)
class Request:
    """A checked scan, everything needed to carry it out.

    - `field`: `section.name`, or `section.name.index` for one entry of a list.
    - `values`: what the field is set to, point by point.
    - `base`: the resolved run file of the first point.
    - `warm_steps`: training steps of the points that start from another's model; None
      for those of the run file.
    - `start`: the point of another scan beside this one whose model the first point
      starts from, `SCAN/points/POINT`; None for what the run file says.
    """

    field: str
    values: tuple[Value, ...]
    base: dict[str, Any]
    warm_steps: int | None
    start: str | None = None

    @property
    def points(self) -> list[str]:
        """The directory of each point, under `points/`."""
        _, _, name = self.field.partition(".")
        shown = map(scan_values.show, self.values)
        return [f"{k:03d}-{name}={value}" for k, value in enumerate(shown)]


def plan(
    path: Path, over: str, overrides: Sequence[str], warm_steps: int | None
) -> Request:
    """Check every point of a scan.

    **Arguments:** `over` as on the command line, `section.field=start:stop:step` or a
    list with commas; `overrides` as for `config.load`.

    **Raises:** `RequestError` with a line for every problem of every point.
    """
    field, values = scan_values.parse(over)
    data = read_base(path, overrides, warm_steps)
    refuse_bare(field, values, data)
    return resolve(Request(field, values, data, warm_steps), str(path))


def read_base(
    path: Path, overrides: Sequence[str], warm_steps: int | None
) -> dict[str, Any]:
    """The run file of a scan, not checked yet.

    **Raises:** `RequestError`, also for `warm_steps` of nothing.
    """
    data = config.read(path, overrides)
    if warm_steps is not None and "model" not in data:
        raise RequestError(f"--warm-steps: {path} has no [model] to train")
    return data


def refuse_bare(field: str, values: Sequence[Value], data: dict[str, Any]) -> None:
    """One number as a size is a line of sites, hardly meant where the file has a plane.

    **Raises:** `RequestError`.
    """
    theory = data.get("theory")
    shape = theory.get("shape") if isinstance(theory, dict) else None
    if field != SIZES or not isinstance(shape, list) or len(shape) < 2:
        return
    for value in values:
        if isinstance(value, tuple) and len(value) == 1:
            wanted = "x".join(["8"] * len(shape))
            raise RequestError(
                f"--over {SIZES}: '{scan_values.show(value)}': has one dimension, the "
                f"run file's {shape} has {len(shape)}; write a size as {wanted}"
            )


def resolve(request: Request, source: str) -> Request:
    """Check every point; the same request with the resolved run file of the first.

    **Raises:** `RequestError` with a line for every problem of every point.
    """
    first = _check_all(request, source)
    base = tomllib.loads(tomli_w.dumps(first.model_dump(exclude_none=True)))
    return dataclasses.replace(request, base=base)


def configuration(request: Request, index: int, init: str | None) -> RunConfig:
    """The run of one point.

    Every point has a seed of its own, made from the file's and the point's number, so
    that errors of different points are independent; the first has the file's.

    **Arguments:** `init` is the directory of the point whose model this one starts
    from; None for what the run file says.

    **Raises:** `RequestError`, naming the point.
    """
    data = run_file(request, index)
    if init is not None:
        data["model"]["init"] = init
        if request.warm_steps is not None:
            train = data.setdefault("train", {})
            train.pop("minutes", None)
            train["steps"] = request.warm_steps
    return config.check(data, request.points[index])


def write(directory: Path, request: Request) -> None:
    """Write `scan.toml`, whole."""
    every = dataclasses.asdict(request)
    content = {name: value for name, value in every.items() if value is not None}
    for name, source in sources(request.base).items():
        files.write_bytes(directory / name, source)
    files.write_sealed(directory / FILE, tomli_w.dumps(content).encode(), COMMENT)


def sources(base: dict[str, Any]) -> Mapping[str, bytes]:
    """Files that theory and model of a resolved run file are made of."""
    found: dict[str, bytes] = {}
    for name, find in NAMED.items():
        if (given := base.get(name)) and (kind := find(given)):
            found |= kind.source()
    return found


def is_scan(directory: Path) -> bool:
    """Whether a directory is that of a scan, finished or not."""
    return (directory / FILE).exists()


def read(directory: Path) -> Request:
    """The request that a scan directory began with.

    **Raises:** as `read_table`.
    """
    content = read_table(directory)
    base = catalogue.located(content["base"], directory)
    for name, find in NAMED.items():
        if name in base:
            find(base[name])  # refuses a file that is not as it was
    return Request(
        content["field"],
        tuple(map(scan_values.plain, content["values"])),
        base,
        content.get("warm_steps"),
        content.get("start"),
    )


def read_table(directory: Path) -> dict[str, Any]:
    """The content of `scan.toml`.

    **Raises:** `RequestError` if there is none; `DamagedError` if it is not what was
    written.
    """
    if not is_scan(directory):
        raise RequestError(f"{directory}: not a scan directory of genlat")
    return tomllib.loads(files.read_sealed(directory / FILE, COMMENT).decode())


def _check_all(request: Request, source: str) -> RunConfig:
    """Check every point; what is wrong with all of them is one line."""
    checked: list[RunConfig] = []
    found: dict[str, dict[str, str]] = {}  # problem -> point -> its line
    for index, point in enumerate(request.points):
        try:
            checked.append(configuration(request, index, None))
        except RequestError as error:
            for line in error.lines:
                line = line.removeprefix(f"{point}: ")
                value = run_text.shown(request.values[index])
                problem = line.replace(f" = {value}: ", ": ")
                found.setdefault(problem, {})[point] = line
    lines = []
    for problem, by_point in found.items():
        if len(by_point) == len(request.points):
            by_point = {"every point": problem}
        lines += [f"{source}: {point}: {line}" for point, line in by_point.items()]
    if lines:
        raise RequestError(lines)
    return checked[0]


def run_file(request: Request, index: int) -> dict[str, Any]:
    """The run file with the value and the seed of one point.

    **Raises:** `RequestError` where it has no such section or entry.
    """
    data = copy.deepcopy(request.base)
    section, name, *entry = request.field.split(".")
    table = data.setdefault(section, {})
    if not isinstance(table, dict):
        raise RequestError(f"{request.points[index]}: {section} is not a section")
    if entry:
        _set_entry(table.get(name), entry[0], request, index)
    else:
        value = request.values[index]
        table[name] = list(value) if isinstance(value, tuple) else value
    if index > 0 and isinstance(data.get("seed"), int):
        data["seed"] = derived_seed(data["seed"], index, "scan")
    return data


def _set_entry(entries: Any, entry: str, request: Request, index: int) -> None:
    n = len(entries) if isinstance(entries, list) else 0
    is_number = entry.isdecimal() and len(entry) < LONGEST_ENTRY
    if not is_number or int(entry) >= n:
        raise RequestError(
            f"{request.points[index]}: {request.field}: no such entry, there are {n}"
        )
    entries[int(entry)] = request.values[index]


def derived_seed(seed: int, index: int, of: str) -> int:
    """The seed of a point, made from the first one's; `of` sets series apart."""
    digest = hashlib.sha256(f"genlat {of} {seed} {index}".encode()).digest()
    return int.from_bytes(digest[:4])
