"""What the sections of a run file share: their base, and types of fields. No JAX."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
)
from pydantic_core import PydanticCustomError

from genlat.errors import RequestError

ABSENT = object()
"""Stands for the value of a field that is not in the file."""

Problem = tuple[str, Any, str]
"""Field, value, and what is allowed."""

MOST = 2**31 - 1  # steps, draws and keys are numbered by 32 bits


class AbstractSection(BaseModel):
    """Immutable; unknown fields and values of a wrong type are errors."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False
    )


def _tuple(value: Any) -> Any:
    """TOML has lists only; one bare name stands for a list of one."""
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def absolute_unless(*words: str) -> AfterValidator:
    """A path that still means the same when the run is resumed from elsewhere."""

    def absolute(path: str) -> str:
        if path in words:
            return path
        if "\0" in path or (not path.isascii() and not is_text(path)):
            raise ValueError("no path: it has a character that none can have")
        return str(Path(path).absolute())

    return AfterValidator(absolute)


def is_text(text: str) -> bool:
    """Whether it can be written; an undecodable byte of a command line cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


Int = Annotated[int, Field(le=MOST)]
Count = Annotated[Int, Field(gt=0)]
CountOrZero = Annotated[Int, Field(ge=0)]

LISTED = BeforeValidator(_tuple)
"""Makes a tuple of what TOML gives as a list."""

ModelSource = Annotated[str, absolute_unless("scratch")]
SampleSource = Annotated[str, absolute_unless("chain")]
TrainingSource = Annotated[str, absolute_unless("chain", "own")]
"""The directory of another run, or a word that stands for none."""


def one_of(
    base: type[AbstractSection],
    find: Callable[[Mapping[str, Any]], type[AbstractSection] | None],
) -> Any:
    """The type of a field that is one of several sections, told apart by their `name`.

    For Pydantic; what checks types should see `base`, which they have in common.

    **Arguments:** `find`: the section of a table by its name, None if there is none;
    raises `RequestError` with what is wrong with a name.
    """

    def choose(given: Any) -> Any:
        if isinstance(given, base):
            return given
        if not isinstance(given, Mapping):
            raise PydanticCustomError(NO_SECTION, "should be a table with a name")
        try:
            section = find(given)
        except RequestError as error:
            said = {"said": "; ".join(error.lines)}
            raise PydanticCustomError(NO_CLASS, "{said}", said) from error
        if section is None:
            raise PydanticCustomError(NO_SECTION, "no section of that name")
        return section.model_validate(given)

    return Annotated[SerializeAsAny[base], BeforeValidator(choose)]


NO_SECTION = "no_section"
"""The kind of error of a name that is unknown, or missing."""

NO_CLASS = "no_class"
"""The kind of error of a name that should be that of a user's class."""
