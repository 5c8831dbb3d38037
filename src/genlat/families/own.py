"""A model that a user has written: `name = "file.py:Class"`. No JAX here."""

import functools
import inspect
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pydantic
from pydantic import Field

from genlat import written
from genlat.errors import RequestError
from genlat.families.base import AbstractModelSection, Shape, Static, volume
from genlat.groups import REAL, SIGNS, VECTORS
from genlat.theories.base import AbstractTheorySection
from genlat.written import Written

if TYPE_CHECKING:
    from jaxtyping import PRNGKeyArray

    from genlat.actions.base import AbstractAction
    from genlat.models.base import AbstractModel

NUMBERS = 64
"""Per site, of what a step or a draw holds: a guess, nothing is known of it."""

OPTIONS = (float, int, bool, str)


class AbstractOwnModelSection(AbstractModelSection):
    """A model of one's own; subclasses are made by `section`, one of every class."""

    ARCHITECTURE: ClassVar[tuple[str, ...]] = ()
    SIZES: ClassVar[tuple[str, ...]] = ()
    SUMMARIES: ClassVar[Mapping[str, str]] = {}
    SPACES: ClassVar = (REAL, VECTORS, SIGNS)  # it says itself what it cannot serve
    KIND: ClassVar[type[Any]]
    WRITTEN: ClassVar[Written]
    IS_FLOW: ClassVar[bool]
    IS_INTEGRATED: ClassVar[bool]

    sha256: str = Field(description="of the text that defines the model; filled in")

    @pydantic.model_validator(mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        """By the name in records: a path is one of this machine."""
        return {**given, "name": cls.WRITTEN.name} if isinstance(given, dict) else given

    @property
    def has_slope(self) -> bool:
        return self.IS_FLOW

    @property
    def is_integrated(self) -> bool:
        return self.IS_INTEGRATED

    @property
    def stays_on_its_lattice(self) -> bool:
        return True

    def training_numbers(self, shape: Shape) -> int:
        return NUMBERS * volume(shape)

    def sampling_numbers(self, shape: Shape) -> int:
        return NUMBERS * volume(shape)

    def weights(self, shape: Shape) -> int:
        return 1

    def build(self, action: "AbstractAction", key: "PRNGKeyArray") -> "AbstractModel":
        given = {name: getattr(self, name) for name in self.ARCHITECTURE}
        model = self.KIND.build(action, key, **given)
        if not isinstance(model, self.KIND):
            raise ValueError(f"{self.name}: build gives a {type(model).__name__}")
        if model.field_shape != action.field_shape:
            raise ValueError(
                f"{self.name}: build gives a model of {model.field_shape}, not "
                f"{action.field_shape}"
            )
        return model

    def carry(
        self, trained: "AbstractModel", action: "AbstractAction"
    ) -> "AbstractModel":
        """As it is: of one's own model no more is known."""
        return trained

    def static(self, model: "AbstractModel") -> Static:
        return {}

    def skeleton(
        self, theory: AbstractTheorySection, static: Static
    ) -> "AbstractModel":
        import jax.random as jr

        return self.build(theory.theory().action, jr.key(0))

    @classmethod
    def source(cls) -> Mapping[str, bytes]:
        return cls.WRITTEN.files()


def section(name: str, sha256: str | None) -> type[AbstractOwnModelSection]:
    """The section of a model by the name of its class.

    **Raises:** `RequestError` for one that cannot be used.
    """
    return _section(written.find(name, sha256))


@functools.cache
def _section(found: Written) -> type[AbstractOwnModelSection]:
    from genlat.models.base import (
        AbstractFlow,
        AbstractIntegratedFlow,
        AbstractModel,
    )

    kind: Any = found.kind
    if not issubclass(kind, AbstractModel):
        raise RequestError(f"{found.name}: should be a subclass of genlat.Model")
    if missing := sorted(kind.__abstractmethods__):
        raise RequestError(f"{found.name}: has no {', '.join(missing)}")
    options = _options(found)
    fields: dict[str, Any] = {
        "name": (Literal[found.name], ...),
        "sha256": (Literal[found.sha256], found.sha256),
    }
    for name, (of, default) in options.items():
        fields[name] = (of, Field(default, description=f"option {name} of build"))
    made = pydantic.create_model(
        kind.__name__, __base__=AbstractOwnModelSection, **fields
    )
    facts = {
        "ARCHITECTURE": tuple(options),
        "SUMMARIES": {found.name: (inspect.getdoc(kind) or "").partition("\n")[0]},
        "LIKELIHOOD": kind.likelihood,
        "KIND": kind,
        "WRITTEN": found,
        "IS_FLOW": issubclass(kind, AbstractFlow),
        "IS_INTEGRATED": issubclass(kind, AbstractIntegratedFlow),
    }
    for fact, value in facts.items():
        setattr(made, fact, value)
    return made


def _options(found: Written) -> dict[str, tuple[type, Any]]:
    """What `build` takes by keyword: type and default, `...` without one.

    **Raises:** `RequestError` for a class without such a `build`.
    """
    build = getattr(found.kind, "build", None)
    if not callable(build):
        raise RequestError(
            f"{found.name}: has no classmethod build(cls, action, key, *, ...)"
        )
    parameters = list(inspect.signature(build).parameters.values())
    first, options = parameters[:2], parameters[2:]
    is_keyword = all(x.kind is inspect.Parameter.KEYWORD_ONLY for x in options)
    if [x.name for x in first] != ["action", "key"] or not is_keyword:
        raise RequestError(
            f"{found.name}: build should be a classmethod build(cls, action, key, *, "
            "...), its options by keyword"
        )
    hints, known = typing.get_type_hints(build), {}
    for option in options:
        hint = hints.get(option.name)
        if hint not in OPTIONS:
            raise RequestError(
                f"{found.name}: build: {option.name}: annotate it as "
                f"{', '.join(x.__name__ for x in OPTIONS)}"
            )
        if option.name in {*AbstractOwnModelSection.model_fields} or hasattr(
            AbstractOwnModelSection, option.name
        ):
            raise RequestError(
                f"{found.name}: build: {option.name}: a run file has this for "
                "something else; give the option another name"
            )
        has_none = option.default is inspect.Parameter.empty
        known[option.name] = (hint, ... if has_none else option.default)
    return known
