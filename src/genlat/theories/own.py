"""A theory whose action a user has written: `name = "file.py:Class"`. No JAX here.

The class tells its couplings, symmetries and modes; its section is made of them.
"""

import dataclasses
import functools
import inspect
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pydantic
from pydantic import Field

from genlat import written
from genlat.errors import RequestError
from genlat.groups import REAL
from genlat.schema import Problem
from genlat.theories.base import (
    COMMON,
    OF_NUMBERS,
    AbstractTheorySection,
    Moves,
    Slope,
    Theory,
)
from genlat.written import USERS, Written, blamed

if TYPE_CHECKING:
    from genlat.actions.field import Coupling, FieldAction

KERNELS = {
    "hmc": "Hybrid Monte Carlo, step size tuned during thermalisation",
    "reflection": "φ → -φ with probability one half: the chain visits both signs",
}


class AbstractOwnSection(AbstractTheorySection):
    """A theory of one's own; subclasses are made by `section`, one of every class."""

    SPACE: ClassVar = REAL
    KERNELS: ClassVar = KERNELS
    OBSERVABLES: ClassVar = {}  # those of the class: see `observables`
    KIND: ClassVar[type[Any]]
    WRITTEN: ClassVar[Written]
    COUPLINGS: ClassVar[tuple[str, ...]]
    FIXED: ClassVar[tuple[str, ...]]  # integers among them

    sha256: str = Field(description="of the text that defines the action; filled in")

    @pydantic.model_validator(mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        """By the name in records: a path is one of this machine."""
        return {**given, "name": cls.WRITTEN.name} if isinstance(given, dict) else given

    @property
    def couplings(self) -> tuple[str, ...]:
        return self.COUPLINGS

    @property
    def arrays(self) -> tuple[str, ...]:
        return tuple(name for name in self.COUPLINGS if name not in self.FIXED)

    @property
    def symmetries(self) -> tuple[Moves, ...]:
        return tuple(name for name in OF_NUMBERS if name in self.KIND.symmetries)

    @property
    def breaks_sign(self) -> str | None:
        has_sign = "sign" in self.symmetries
        return None if has_sign else f"{self.TITLE}, which does not declare it,"

    @property
    def observables(self) -> tuple[str, ...]:
        couplings = tuple((name, getattr(self, name)) for name in self.COUPLINGS)
        return (*COMMON, *_measured(type(self), self.shape, couplings))

    def why_no_kernel(self, kernels: list[str]) -> str | None:
        if "hmc" not in kernels:
            return "only signs change: add hmc"
        if "reflection" in kernels and (cause := self.breaks_sign):
            return f"reflection carries φ to -φ, a symmetry of no {cause[:-1]}"
        return None

    def why_no_symmetry(self, name: Moves) -> str:
        return f"{name} is no symmetry that {self.TITLE} declares"

    def slope(self, coupling: str) -> Slope | None:
        from genlat import lattice
        from genlat.actions.field import SLOPE

        if coupling not in self.arrays:
            return None
        volume = lattice.volume(self.shape)
        return Slope(f"{SLOPE}{coupling}", -float(volume))

    def faults(self) -> Iterator[Problem]:
        from genlat.theories import soundness

        try:
            for allowed in soundness.faults(self._action()):
                yield "theory.name", self.name, allowed
        except USERS as error:
            said = blamed(error, self.WRITTEN.path)
            yield "theory.name", self.name, said

    @classmethod
    def source(cls) -> Mapping[str, bytes]:
        return cls.WRITTEN.files()

    def _action(self) -> "FieldAction":
        return self.KIND(
            self.shape, **{name: getattr(self, name) for name in self.COUPLINGS}
        )

    def _theory(self) -> Theory:
        from genlat.theories import live

        return live.of_field(self._action())


def section(name: str, sha256: str | None) -> type[AbstractOwnSection]:
    """The section of a theory by the name of its class.

    **Raises:** `RequestError` for one that cannot be used.
    """
    return _section(written.find(name, sha256))


@functools.cache
def _section(found: Written) -> type[AbstractOwnSection]:
    kind, couplings = _checked(found)
    fields: dict[str, Any] = {
        "name": (Literal[found.name], ...),
        "sha256": (Literal[found.sha256], found.sha256),
    }
    for name, coupling in couplings.items():
        default = ... if coupling.default is dataclasses.MISSING else coupling.default
        about = Field(default, description=f"coupling {name}")
        fields[name] = (coupling.kind, about)
    title = kind.__name__
    made = pydantic.create_model(title, __base__=AbstractOwnSection, **fields)
    facts = {
        "TITLE": title,
        "SUMMARY": (inspect.getdoc(kind) or title).splitlines()[0],
        "DEFAULT_KERNEL": tuple(KERNELS) if "sign" in kind.symmetries else ("hmc",),
        "SYMBOLS": {},
        "HAS_LINE": kind.line is not None,
        "KIND": kind,
        "WRITTEN": found,
        "COUPLINGS": tuple(couplings),
        "FIXED": tuple(name for name, x in couplings.items() if x.kind is int),
    }
    for fact, value in facts.items():
        setattr(made, fact, value)
    return made


def _checked(found: Written) -> "tuple[type[FieldAction], dict[str, Coupling]]":
    """The class with its couplings, where it is one of an action."""
    from genlat.actions.field import FieldAction, coupling_fields, declaration_fault

    kind = found.kind
    if not issubclass(kind, FieldAction):
        raise RequestError(f"{found.name}: should be a subclass of genlat.FieldAction")
    try:
        couplings = coupling_fields(kind)
    except (ValueError, NameError) as error:
        raise RequestError(f"{found.name}: {error}") from error
    if reason := declaration_fault(kind):
        raise RequestError(f"{found.name}: {reason}")
    if kind.__abstractmethods__:
        raise RequestError(f"{found.name}: has no __call__, which is S")
    for name in couplings:
        if hasattr(AbstractOwnSection, name) or name in AbstractOwnSection.model_fields:
            raise RequestError(
                f"{found.name}: {name}: a run file has this for something else; give "
                "the coupling another name"
            )
    return kind, couplings


@functools.cache
def _measured(
    made: type[AbstractOwnSection],
    shape: tuple[int, ...],
    couplings: tuple[tuple[str, float], ...],
) -> tuple[str, ...]:
    """Names of what the action measures of its own.

    **Raises:** `RequestError` for an error in it.
    """
    import jax

    try:
        action = made.KIND(shape, **dict(couplings))
        phi = jax.ShapeDtypeStruct(shape, "float32")
        return tuple(jax.eval_shape(action.observables, phi))
    except USERS as error:
        raise RequestError(blamed(error, made.WRITTEN.path)) from error
