"""What the sections of a run file share: their base, and types of fields. No JAX."""

import functools
import operator
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
)

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


def family_finder(
    families: Sequence[type[AbstractSection]], default: str | None = None
) -> Callable[[Any], str | None]:
    """What tells sections apart that share a place: the names their `name` may take.

    The tag found is the class's own name, of a section in raw or in finished form; None
    if there is no such name. `default` stands for a `name` that is not given.
    """
    tags = {
        name: family.__name__
        for family in families
        for name in get_args(family.model_fields["name"].annotation)
    }

    def find(value: Any) -> str | None:
        if isinstance(value, dict):
            name = value.get("name", default)
        else:
            name = getattr(value, "name", None)
        return tags.get(name) if isinstance(name, str) else None

    return find


def one_of(
    families: Sequence[type[AbstractSection]], default: str | None = None
) -> Any:
    """The type of a field that is one of these sections, told apart by `family_finder`.

    For Pydantic; what checks types should see their common base.
    """
    tagged = [Annotated[family, Tag(family.__name__)] for family in families]
    union = functools.reduce(operator.or_, tagged)
    return Annotated[union, Discriminator(family_finder(families, default))]
