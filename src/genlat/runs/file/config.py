"""Reading and checking a run file: every problem at once, a line each. No JAX here."""

import difflib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pydantic
from pydantic_core import ErrorDetails

from genlat.errors import RequestError
from genlat.runs.file import catalogue, fit, run_text, sections
from genlat.runs.file.partial import Partial
from genlat.runs.file.sections import RunConfig
from genlat.schema import ABSENT, NO_CLASS, NO_SECTION


class _Problem(NamedTuple):
    field: str
    value: Any
    allowed: str

    def line(self, source: str) -> str:
        if not self.field:
            return f"{source}: {self.allowed}"
        if self.value is ABSENT:
            return f"{source}: {self.field}: {self.allowed}"
        value = run_text.shown(self.value)
        return f"{source}: {self.field} = {value}: {self.allowed}"


def load(path: Path | str, overrides: Sequence[str] = ()) -> RunConfig:
    """Read and check a run file.

    **Arguments:** `overrides` are `section.field=value`; the value is read as TOML and,
    where that fails, taken as a string.

    **Raises:** `RequestError` with every problem found.
    """
    return check(read(Path(path), overrides), str(path))


def read(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """A run file with its overrides, not checked yet.

    **Raises:** `RequestError` if there is no such file, or it is not TOML.
    """
    data = catalogue.located(run_text.read(path), path.parent)
    for override in overrides:
        _apply(data, override)
    return data


def check(data: dict[str, Any], source: str) -> RunConfig:
    """Check the content of a run file; `source` is what the problems are filed under.

    **Raises:** `RequestError` with every problem found.
    """
    if odd := [_Problem(*problem) for problem in run_text.unworkable(data)]:
        raise RequestError([problem.line(source) for problem in odd])
    config, problems = _validate(_with_defaults(data))
    if config is None or problems:
        raise RequestError([problem.line(source) for problem in problems])
    return config


def _with_defaults(data: dict[str, Any]) -> dict[str, Any]:
    """With the defaults of this theory and training, where those are not the sections'.

    Spins have kernels of their own, and draws without a derivative; a model's own draws
    have no path gradient.
    """
    mcmc, train = data.get("mcmc"), data.get("train")
    theory = catalogue.theory_of(data)
    family = catalogue.family_of(data)
    if theory is not None and isinstance(mcmc, dict):
        data = data | {"mcmc": {"kernel": list(theory.DEFAULT_KERNEL)} | mcmc}
    if theory is not None:
        spaces = (theory.SPACE,)
    else:
        spaces = () if family is None else family.SPACES
    has_slope = all(space.is_continuous for space in spaces)
    if not has_slope and "model" in data and isinstance(train, dict | None):
        train = train or {}
        is_on_data = train.get("objective") == "forward_kl"
        gradient = "total" if is_on_data else "reinforce"
        data = data | {"train": {"gradient": gradient} | train}
    elif isinstance(train, dict) and train.get("data") == "own":
        data = data | {"train": {"gradient": "total"} | train}
    return data


def _apply(data: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    *parents, field = name.strip().split(".")
    if not equals or not field or len(parents) > 1:
        raise RequestError([f"--set {override}: should look like section.field=value"])
    if len(override.splitlines()) > 1:
        raise RequestError(f"--set {override}: more than one line; --set each field")
    try:
        value = run_text.parse(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    except ValueError as error:
        raise RequestError(f"--set {name}: {error}") from error
    section = data.setdefault(parents[0], {}) if parents else data
    if not isinstance(section, dict):
        raise RequestError([f"--set {override}: {parents[0]} is not a section"])
    section[field] = value


def _validate(data: dict[str, Any]) -> tuple[RunConfig | None, list[_Problem]]:
    """The configuration if Pydantic accepts it, and what is wrong with it.

    Checks that involve several fields run on every section that is valid by itself, so
    that one bad number does not hide the next.
    """
    config, details = None, []
    try:
        config = RunConfig.model_validate(data)
    except pydantic.ValidationError as error:
        details = error.errors(include_url=False)
    problems = [_translate(detail, data) for detail in details]
    broken = {detail["loc"][0] for detail in details}
    problems += [_Problem(*p) for p in fit.presence_problems(data)]
    sound = {name: value for name, value in data.items() if name not in broken}
    problems += [_Problem(*p) for p in fit.problems(_partial(sound))]
    return config, problems


def _partial(data: dict[str, Any]) -> Partial:
    """The sections of `data`, each validated by itself; None where there is none."""

    def section(name: str) -> Any:
        if name not in data:
            return None
        field = RunConfig.model_fields[name]
        kind: Any = field.annotation
        for told in field.metadata:
            kind = Annotated[kind, told]
        return pydantic.TypeAdapter(kind).validate_python(data[name])

    return Partial(*map(section, Partial._fields))


def _translate(detail: ErrorDetails, data: dict[str, Any]) -> _Problem:
    location = [part for part in detail["loc"] if isinstance(part, str)]  # no positions
    field, value, kind = ".".join(location), detail["input"], detail["type"]
    if kind == "extra_forbidden":
        return _Problem(field, value, _unknown_field(location, data))
    if kind == "missing":
        return _Problem(field, ABSENT, "missing; it has no default")
    if kind == NO_SECTION:
        return _Problem(f"{field}.name", *_unknown_family(field, value))
    if kind == NO_CLASS:
        return _Problem(f"{field}.name", value["name"], detail["msg"])
    names = _NAMES.get(field)
    if kind == "literal_error" and names is not None:
        return _Problem(field, value, catalogue.unknown_name(names[0], value, names[1]))
    message = detail["msg"].removeprefix("Value error, ")
    return _Problem(field, value, message.replace("Input should", "should"))


_NAMES = {
    "estimate.methods": ("method", ["default", *catalogue.METHODS]),
}


_UNIONS = {"theory": catalogue.THEORIES, "model": catalogue.MODELS}


def _unknown_family(section: str, value: Any) -> tuple[Any, str]:
    """Value and advice for a section that is known by its field `name`."""
    known = _UNIONS[section]
    if isinstance(value, dict) and "name" not in value:
        return ABSENT, f"missing; one of {', '.join(known)}"
    name = value["name"] if isinstance(value, dict) else value
    return name, catalogue.unknown_name(section, name, known)


def _unknown_field(location: list[str], data: dict[str, Any]) -> str:
    """What to say of a field of a section, or of one of its name where there are."""
    name = location[-1]
    if len(location) == 1:
        kind, valid = "section", list(RunConfig.model_fields)
    else:
        kind, models = "field", sections.SECTIONS[location[0]]
        own = models
        if location[0] in _UNIONS:
            find = sections.NAMED[location[0]]
            own = [found] if (found := find(data[location[0]])) else models
        valid = [field for model in own for field in model.model_fields]
        if any(name in model.model_fields for model in models):
            return f"not a field of this {location[0]}; it has {', '.join(valid)}"
    nearest = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    if nearest:
        return f"unknown {kind}; did you mean {nearest[0]}?"
    return f"unknown {kind}; there are {', '.join(dict.fromkeys(valid))}"
