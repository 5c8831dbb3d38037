"""What a run asks of a theory: facts of its section, and live parts. No JAX here."""

import dataclasses
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    get_args,
)

from pydantic import Field

from genlat.errors import RequestError
from genlat.groups import Space
from genlat.schema import LISTED, AbstractSection, Count, Problem

if TYPE_CHECKING:
    from jaxtyping import Array, Num, PRNGKeyArray

    from genlat.actions.base import AbstractAction
    from genlat.actions.path import AbstractLine
    from genlat.mcmc.base import AbstractKernel

Shape = Annotated[
    tuple[Count, ...],
    LISTED,
    Field(min_length=1, max_length=16, description="extents; axis 0 is Euclidean time"),
]

Group = Literal["sign", "translations", "point_group", "permutations"]
"""Finite, of which a mixture of images can be made."""

Moves = Literal[Group, "rotations"]
"""Of which an element can be drawn."""

ALL: tuple[Moves, ...] = get_args(Moves)
OF_NUMBERS: tuple[Moves, ...] = ("sign", "translations", "point_group")


class Observed(NamedTuple):
    """An observable: what it is, its symbol as an average, and its unit.

    Units are those of a lattice: powers of the field φ, of the spacing a, or "1".
    """

    says: str
    symbol: str
    unit: str


COMMON: Mapping[str, Observed] = {
    "action_density": Observed("S/V", "⟨S⟩ / V", "1 per site"),
    "action_density2": Observed("(S/V)²", "⟨(S / V)²⟩", "1 per site²"),
    "mag": Observed("m = (1/V) Σ φ", "⟨m⟩", "φ"),
    "abs_mag": Observed("|m|", "⟨|m|⟩", "φ"),
    "mag2": Observed("m²", "⟨m²⟩", "φ²"),
    "mag4": Observed("m⁴", "⟨m⁴⟩", "φ⁴"),
    "two_point": Observed(
        "correlator of zero-momentum slices, lags 0 to T/2", "G(t)", "φ²"
    ),
}
"""Observables of every theory, which `genlat.observables` measures."""


OF_BONDS: Mapping[str, Observed] = {
    "phi2": Observed("(1/V) Σ φ²", "⟨φ²⟩", "φ²"),
    "hopping": Observed(
        "(1/V) Σ φ_x φ_{x+μ}, half of ∂ ln Z/∂κ per site in form A",
        "⟨Σ φ φ′⟩ / V, bonds",
        "φ²",
    ),
    "schwinger_dyson": Observed(
        "(1/V) Σ φ ∂S/∂φ, which must average to 1", "⟨φ ∂S/∂φ⟩, must be 1", "1"
    ),
}
"""Observables of a field with hopping and a potential."""


class Slope(NamedTuple):
    """∂ ln Z/∂ of a coupling: `factor` times the average of `observable`."""

    observable: str
    factor: float


class Options(NamedTuple):
    """What a run file asks of a kernel; each takes what it has use for."""

    n_leapfrog: int = 10
    integrator: Literal["leapfrog", "minimum_norm"] = "leapfrog"
    n_sweeps: int = 1
    step_size: float = 0.1


@dataclasses.dataclass(frozen=True)
class SolvedLine:
    """Theories from one whose ln Z is known, at t = 0, to the one wanted, at 1.

    - `path`: S_t and ∂S/∂t; `served`: what serves an S_t.
    - `log_z_start`: ln Z at t = 0.
    - `coupling`: what grows with t, by its name in a report; `end`: its last value.
    - `kernels`: those of its theories that chains along it use, one after another.
    - `slope`: ∂S/∂t at t = 1 as an observable of the theory; `says`: the integrand of
      ln Z over the coupling, in words.
    """

    path: "AbstractLine"
    served: "Callable[[Any], Theory]"
    log_z_start: Callable[[], float]
    coupling: str
    end: float
    kernels: tuple[str, ...]
    slope: Slope
    says: str


@dataclasses.dataclass(frozen=True)
class Theory:
    """A theory with what serves it.

    - `kernels`: by the names of its section.
    - `start`: configurations to thermalise from, dispersed: key, chains and dtype.
    - `modes`: names of symmetries that carry one mode to every other; none of one mode
      alone. φ → -φ, "sign", may be of clusters in a field. None where nothing is known
      of the modes: no chain is evidence then that none is missed.
    - `line`: to it from a theory that is solved, where there is one.
    - `section`: the `[theory]` that it was made by, where records are to have it.
    """

    action: "AbstractAction"
    kernels: "Mapping[str, Callable[[Options], AbstractKernel]]"
    start: "Callable[[PRNGKeyArray, int, Any], Num[Array, 'chains *lattice']]"
    modes: tuple[str, ...] | None
    line: SolvedLine | None = None
    section: "AbstractTheorySection | None" = None

    @classmethod
    def of(
        cls, action: "AbstractAction", *, modes: tuple[str, ...] | None = None
    ) -> "Theory":
        """Of an action of one's own, with the kernels that serve any real field.

        **Arguments:** `modes`: as above; by default what the class of the action
        declares, and without that no chain is evidence that a model misses none.

        **Raises:** `ValueError` as `live.of_action`.
        """
        from genlat.theories import live

        declared = getattr(action, "modes", None)
        return live.of_action(action, declared if modes is None else modes)

    def is_visited_by(self, kernel: "AbstractKernel") -> bool:
        """Whether a kernel reaches every mode by construction."""
        reached = {"sign"} if kernel.visits_every_mode else set()
        return self.modes is not None and reached.issuperset(self.modes)


class AbstractTheorySection(AbstractSection):
    """The `[theory]` of a run file.

    Facts are class variables, for whoever has no JAX; what lives is made by `theory`.

    - `TITLE`: of a report; `SUMMARY`: for `genlat list`.
    - `SPACE`: what a field takes its values in.
    - `KERNELS`: name to what it does; `DEFAULT_KERNEL`: where none is named.
    - `SWEEPS`: kernels of which several steps can be made as one.
    - `OBSERVABLES`: those that not every theory has, with symbol and unit.
    - `SYMBOLS`: of couplings. `ODD`: couplings that break φ → -φ unless they are 0.
    - `KNOWS_PHASES`: whether a prior can be had of every phase, by name.
    - `HAS_LINE`: whether `Theory.line` is there.
    """

    TITLE: ClassVar[str]
    SUMMARY: ClassVar[str]
    SPACE: ClassVar[Space]
    KERNELS: ClassVar[Mapping[str, str]]
    DEFAULT_KERNEL: ClassVar[tuple[str, ...]]
    SWEEPS: ClassVar[frozenset[str]] = frozenset()
    OBSERVABLES: ClassVar[Mapping[str, Observed]]
    SYMBOLS: ClassVar[Mapping[str, str]]
    ODD: ClassVar[tuple[str, ...]] = ()
    KNOWS_PHASES: ClassVar[bool] = False
    HAS_LINE: ClassVar[bool] = False

    name: str
    shape: Shape

    @classmethod
    def missing(cls, given: Mapping[str, Any]) -> Iterator[Problem]:
        """What is wrong with which fields are there, whatever their values."""
        yield from ()

    @property
    @abstractmethod
    def couplings(self) -> tuple[str, ...]:
        """Names of the couplings that the theory has as it is given."""

    @property
    def n_components(self) -> int:
        """Numbers of a value of the field."""
        return 1

    @property
    def arrays(self) -> tuple[str, ...]:
        """Couplings that are arrays of the action, which a model can be a function of.

        Those of another parametrisation are functions of them.
        """
        return self.couplings

    @property
    def symmetries(self) -> tuple[Moves, ...]:
        """Those that its action declares."""
        every = ALL if self.SPACE.has_components else OF_NUMBERS
        is_odd = self.breaks_sign is not None
        return tuple(x for x in every if x != "sign") if is_odd else every

    @property
    def breaks_sign(self) -> str | None:
        """The coupling that breaks φ → -φ, and its value, where one does."""
        values = {name: getattr(self, name) for name in self.ODD}
        odd = [f"{name} = {value:g}" for name, value in values.items() if value]
        return " and ".join(odd) or None

    def why_no_symmetry(self, name: Moves) -> str:
        """Of one that its action does not declare."""
        if name not in OF_NUMBERS and not self.SPACE.has_components:
            return f"{name} is of several components: a value of {self.name} is one"
        cause = self.breaks_sign if name == "sign" else None
        broken = f": {cause} breaks it" if cause else ""
        return f"{name} is no symmetry of {self.name}{broken}"

    @property
    def observables(self) -> tuple[str, ...]:
        """The expectation values that are measured."""
        return (*COMMON, *self.OBSERVABLES)

    def problems(self) -> Iterator[Problem]:
        """What is wrong with couplings that are well-formed one by one."""
        yield from ()

    def why_no_kernel(self, kernels: list[str]) -> str | None:
        """Why kernels of this theory cannot serve it, in this sequence, here."""

    def slope(self, coupling: str) -> Slope | None:
        """∂ ln Z/∂coupling, where an observable is it."""

    def faults(self) -> Iterator[Problem]:
        """What is wrong that only its numbers show; in float64, before any work."""
        yield from ()

    @classmethod
    def source(cls) -> Mapping[str, bytes]:
        """Files that it is made of, which a record of it must hold."""
        return {}

    def theory(self) -> Theory:
        """The theory of these couplings, in its own form.

        **Raises:** `RequestError` for couplings beyond floating point.
        """
        try:
            return self._theory()
        except ValueError as error:
            values = {name: getattr(self, name) for name in self.couplings}
            given = ", ".join(f"{name} = {value:g}" for name, value in values.items())
            raise RequestError(f"theory: {given}: {error}") from error

    @abstractmethod
    def _theory(self) -> Theory: ...


def modes_of_bonds(
    shape: tuple[int, ...], coupling: float, field: float
) -> tuple[str, ...] | None:
    """± and no others, where bonds can all be content and no field is against them.

    In a field that all can follow one sign is heavier, and clusters have their own heat
    baths in it.
    """
    is_odd = any(extent > 1 and extent % 2 for extent in shape)
    return ("sign",) if coupling >= 0 or not (is_odd or field) else None
