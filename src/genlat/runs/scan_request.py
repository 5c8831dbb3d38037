"""A scan as it was asked for: one field of a run file, and its values. No JAX here."""

import copy
import dataclasses
import hashlib
import tomllib
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import tomli_w

from genlat.runs import config, files
from genlat.runs.errors import RequestError
from genlat.runs.sections import RunConfig

FILE = "scan.toml"
COMMENT = "# sha256 "  # and the digest of what follows
MOST_POINTS = 1000
EXPECTED = "should look like section.field=start:stop:step or section.field=a,b,c"
# of a step: how far beyond `stop` the last value may lie because `step` was rounded
ROUNDING = Decimal("1e-6")


@dataclasses.dataclass(frozen=True)
class Request:
    """A checked scan, everything needed to carry it out.

    - `field`: `section.name`, or `section.name.index` for one entry of a list.
    - `values`: what the field is set to, point by point.
    - `base`: the resolved run file of the first point.
    - `warm_steps`: training steps of the points that start from another's model; None
      for those of the run file.
    """

    field: str
    values: tuple[int | float, ...]
    base: dict[str, Any]
    warm_steps: int | None

    @property
    def points(self) -> list[str]:
        """The directory of each point, under `points/`."""
        _, _, name = self.field.partition(".")
        return [f"{k:03d}-{name}={value!r}" for k, value in enumerate(self.values)]


def plan(
    path: Path, over: str, overrides: Sequence[str], warm_steps: int | None
) -> Request:
    """Check every point of a scan.

    **Arguments:** `over` as on the command line, `section.field=start:stop:step` or a
    list with commas; `overrides` as for `config.load`.

    **Raises:** `RequestError` with a line for every problem of every point.
    """
    field, values = parse(over)
    data = config.read(path, overrides)
    if warm_steps is not None and "model" not in data:
        raise RequestError(f"--warm-steps: {path} has no [model] to train")
    request = Request(field, values, data, warm_steps)
    first = _check_all(request, str(path))
    base = tomllib.loads(tomli_w.dumps(first.model_dump(exclude_none=True)))
    return dataclasses.replace(request, base=base)


def parse(over: str) -> tuple[str, tuple[int | float, ...]]:
    """The field and the values of `--over`: decimal arithmetic, 0.21 is 0.21.

    **Raises:** `RequestError`.
    """
    field, equals, text = over.partition("=")
    field, parts = field.strip(), [part.strip() for part in text.split(":")]
    if not equals or len(field.split(".")) not in (2, 3) or len(parts) not in (1, 3):
        raise RequestError(f"--over {over}: {EXPECTED}")
    texts = parts if len(parts) == 3 else [part.strip() for part in text.split(",")]
    try:
        numbers = [Decimal(number) for number in texts]
    except InvalidOperation as error:
        raise RequestError(f"--over {over}: {EXPECTED}, of numbers") from error
    if not all(number.is_finite() for number in numbers):
        raise RequestError(f"--over {over}: every number must be finite")
    if len(parts) == 3:
        numbers = _range(over, *numbers)
    are_whole = all(number.isdigit() for number in (x.lstrip("+-") for x in texts))
    values = tuple((int if are_whole else float)(number) for number in numbers)
    if len(set(values)) < len(values):
        raise RequestError(f"--over {over}: gives a value twice")
    if len(values) > MOST_POINTS:
        raise RequestError(f"--over {over}: {len(values)} points; at most 1000")
    return field, values


def _range(over: str, start: Decimal, stop: Decimal, step: Decimal) -> list[Decimal]:
    if step == 0 or (stop - start) / step < 0:
        raise RequestError(f"--over {over}: the step does not lead from start to stop")
    count = int((stop - start) / step + ROUNDING) + 1
    return [start + k * step for k in range(min(count, MOST_POINTS + 1))]


def configuration(request: Request, index: int, init: str | None) -> RunConfig:
    """The run of one point.

    Every point has a seed of its own, made from the file's and the point's number, so
    that errors of different points are independent; the first has the file's.

    **Arguments:** `init` is the directory of the point whose model this one starts
    from; None for what the run file says.

    **Raises:** `RequestError`, naming the point.
    """
    data = _data(request, index)
    if init is not None:
        data["model"]["init"] = init
        if request.warm_steps is not None:
            train = data.setdefault("train", {})
            train.pop("minutes", None)
            train["steps"] = request.warm_steps
    return config.check(data, request.points[index])


def write(directory: Path, request: Request) -> None:
    """Write `scan.toml`, whole."""
    content = dataclasses.asdict(request)
    if request.warm_steps is None:
        del content["warm_steps"]
    files.write_sealed(directory / FILE, tomli_w.dumps(content).encode(), COMMENT)


def is_scan(directory: Path) -> bool:
    """Whether a directory is that of a scan, finished or not."""
    return (directory / FILE).exists()


def read(directory: Path) -> Request:
    """The request that a scan directory began with.

    **Raises:** as `read_table`.
    """
    content = read_table(directory)
    return Request(
        content["field"],
        tuple(content["values"]),
        content["base"],
        content.get("warm_steps"),
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
                problem = line.replace(f" = {request.values[index]!r}: ", ": ")
                found.setdefault(problem, {})[point] = line
    lines = []
    for problem, by_point in found.items():
        if len(by_point) == len(request.points):
            by_point = {"every point": problem}
        lines += [f"{source}: {point}: {line}" for point, line in by_point.items()]
    if lines:
        raise RequestError(lines)
    return checked[0]


def _data(request: Request, index: int) -> dict[str, Any]:
    """The run file with the value and the seed of one point."""
    data = copy.deepcopy(request.base)
    section, name, *entry = request.field.split(".")
    table = data.setdefault(section, {})
    if not isinstance(table, dict):
        raise RequestError(f"{request.points[index]}: {section} is not a section")
    if entry:
        _set_entry(table.get(name), entry[0], request, index)
    else:
        table[name] = request.values[index]
    if index > 0 and isinstance(data.get("seed"), int):
        data["seed"] = _seed(data["seed"], index)
    return data


def _set_entry(entries: Any, entry: str, request: Request, index: int) -> None:
    n = len(entries) if isinstance(entries, list) else 0
    if not entry.isdecimal() or int(entry) >= n:
        raise RequestError(
            f"{request.points[index]}: {request.field}: no such entry, there are {n}"
        )
    entries[int(entry)] = request.values[index]


def _seed(seed: int, index: int) -> int:
    digest = hashlib.sha256(f"genlat scan {seed} {index}".encode()).digest()
    return int.from_bytes(digest[:4])
