"""An action of one's own: S written down, the rest derived."""

import dataclasses
import functools
import typing
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from genlat import lattice, symmetry
from genlat.actions.base import AbstractContinuousAction, changes_s

SLOPE = "slope_"
"""In front of the name of a coupling: (1/V) ∂S/∂coupling, which is measured."""

_SHAPE = "lattice_shape"

TAKEN = frozenset(
    (
        *("mag", "abs_mag", "mag2", "mag4", "action_density", "action_density2"),
        *("two_point", "susceptibility", "binder", "specific_heat", "acceptance"),
        *("correlation_length", "log_z", "log_q", "log_w", "delta_h", "action", "phi"),
        *("free_energy_density", "entropy_density", "free_energy_density_upper"),
        *("free_energy_density_lower", "mode_weight", "ess", "state"),
    )
)
"""Names that results have for something else."""


class FieldAction(AbstractContinuousAction):
    r"""A real field with the action that a subclass writes down, and its couplings.

    ```python
    class SineGordon(FieldAction):
        m2: float
        alpha: float
        symmetries = ("sign", "translations", "point_group")
        modes = ("sign",)

        def __call__(self, phi):
            ...
    ```

    Annotations are the couplings: `float` for numbers that may vary, `int` for what is
    fixed. φ comes in float64, S must be a real number. The force is the derivative of
    S, unless `force` is written too. Measured beside the observables of every theory:
    `phi2`; `schwinger_dyson`, (1/V) Σ φ ∂S/∂φ, which averages to 1; `slope_` and the
    name of a coupling that may vary, (1/V) ∂S/∂coupling. More by overriding
    `observables`: `return super().observables(phi) | {...}`.

    - `symmetries`: for whose elements g all S(gφ) = S(φ). What is not declared is not
      assumed.
    - `line`: a coupling in which S is linear, and without which the theory is solved:
      free, or of independent sites. ln Z is integrated along it. None by default.
    - `modes`: those of the symmetries that carry one mode of p to every other; () if
      there is one mode alone. By default None: nothing is known of them, and no chain
      is evidence that all were visited.

    **Arguments:** `shape`, of the lattice, axis 0 Euclidean time; couplings by name.

    **Raises:** `ValueError` for a shape that is none, or a coupling that is missing,
    superfluous, or not what its annotation says.
    """

    lattice_shape: tuple[int, ...] = eqx.field(static=True)

    symmetries: ClassVar[tuple[str, ...]] = ()  # pyright: ignore
    modes: ClassVar[tuple[str, ...] | None] = None
    line: ClassVar[str | None] = None

    def __init_subclass__(cls):
        super().__init_subclass__()
        for name, unknown in (("symmetries", ()), ("modes", None), ("line", None)):
            is_given = name in vars(cls) and not isinstance(vars(cls)[name], property)
            if not is_given and changes_s(cls, name):
                setattr(cls, name, unknown)
        for name, checked in (("__call__", _in_double), ("observables", _measured)):
            if written := vars(cls).get(name):
                setattr(cls, name, checked(written))
        for name, kind in vars(cls).get("__annotations__", {}).items():
            if kind in (int, "int"):  # as an array it were no exponent and no range
                given = {"default": vars(cls)[name]} if name in vars(cls) else {}
                setattr(cls, name, eqx.field(static=True, **given))

    def __init__(self, shape: tuple[int, ...], /, **couplings: Any):
        lattice.check_shape(tuple(shape))
        title, known = type(self).__name__, coupling_fields(type(self))
        if unknown := [name for name in couplings if name not in known]:
            names = ", ".join(known) or "none"
            raise ValueError(f"{title} has no coupling {unknown[0]}: it has {names}")
        self.lattice_shape = tuple(shape)
        for name, field in known.items():
            value = couplings.get(name, field.default)
            if value is dataclasses.MISSING:
                raise ValueError(f"{title}: {name}: missing; it has no default")
            setattr(self, name, _checked(f"{title}: {name}", value, field.kind))

    def force(self, phi: Float[Array, "*lattice"]) -> Float[Array, "*lattice"]:
        return -jax.grad(self.__call__)(phi)

    def observables(
        self, phi: Shaped[Array, "*lattice"]
    ) -> dict[str, Float[Array, "..."]]:
        wide = phi.astype(_double())
        volume = lattice.volume(self.lattice_shape)
        by_coupling = eqx.filter_grad(lambda action: action(wide))(self)
        slopes = {
            f"{SLOPE}{name}": getattr(by_coupling, name) / volume
            for name, field in coupling_fields(type(self)).items()
            if field.kind is float
        }
        return {
            "phi2": jnp.sum(wide**2) / volume,
            "schwinger_dyson": -jnp.sum(wide * self.force(wide)) / volume,
            **slopes,
        }


@dataclasses.dataclass(frozen=True)
class Coupling:
    """A coupling as a class declares it; `default` may be `dataclasses.MISSING`."""

    kind: type[float] | type[int]
    default: Any


def coupling_fields(kind: type[FieldAction]) -> dict[str, Coupling]:
    """The couplings of an action of one's own, in the order of their annotations.

    **Raises:** `ValueError` for an annotation that is neither `float` nor `int`.
    """
    hints = typing.get_type_hints(kind)
    found = {}
    for field in dataclasses.fields(kind):
        if field.name == _SHAPE:
            continue
        if field.name.startswith("_"):
            raise ValueError(
                f"{kind.__name__}: {field.name}: begins with _, which no "
                "field of a run file does"
            )
        if (hint := hints[field.name]) not in (float, int):
            shown = getattr(hint, "__name__", str(hint))
            raise ValueError(
                f"{kind.__name__}: {field.name}: {shown}: a coupling is a float, or an "
                "int that is fixed"
            )
        given = field.default
        if given is not dataclasses.MISSING:
            _checked(f"{kind.__name__}: {field.name}", given, hint)
        found[field.name] = Coupling(hint, given)
    return found


def declaration_fault(kind: type[FieldAction]) -> str | None:
    """What is wrong with what a class says of its S, whatever S is; None if nothing."""
    declared = {"symmetries": kind.symmetries, "modes": kind.modes}
    for name, given in declared.items():
        if given is None and name == "modes":
            continue
        allowed = ", ".join(map(repr, symmetry.LATTICE))
        if isinstance(given, property):
            return f"{name}: should be a tuple of {allowed}, or (), and no property"
        if not isinstance(given, tuple) or not set(given) <= {*symmetry.LATTICE}:
            return f"{name} = {given!r}: should be a tuple of {allowed}, or ()"
    if undeclared := [x for x in kind.modes or () if x not in kind.symmetries]:
        return f"modes: {undeclared[0]!r} is none of its symmetries"
    floats = [x for x, of in coupling_fields(kind).items() if of.kind is float]
    if kind.line is not None and kind.line not in floats:
        known = ", ".join(floats) or "none"
        return f"line = {kind.line!r}: should be a coupling that may vary: {known}"
    return None


def _checked(name: str, value: Any, kind: type) -> Float[Array, ""] | int:
    kinds = int | float | np.number | np.ndarray | jax.Array
    is_number = isinstance(value, kinds) and not isinstance(value, bool)
    is_number = is_number and np.ndim(value) == 0
    if kind is int:
        if not is_number or not isinstance(value, int | np.integer):
            raise ValueError(f"{name} = {value!r}: should be an integer")
        return int(value)
    if not is_number or jnp.issubdtype(jnp.result_type(value), jnp.complexfloating):
        raise ValueError(f"{name} = {value!r}: should be a number")
    return jnp.asarray(value, dtype=float)


def _double() -> Any:
    return jax.dtypes.canonicalize_dtype(jnp.float64)


def _in_double(written: Callable[[Any, Array], Array]) -> Callable[[Any, Array], Array]:
    """S with φ in float64, and what is no action refused."""

    @functools.wraps(written)
    def call(self: Any, phi: Array) -> Array:
        found = written(self, phi.astype(_double()))
        who = _place(self, written)
        shape, dtype = jnp.shape(found), jnp.result_type(found)
        if shape:
            raise ValueError(f"{who}: should give one number, not the shape {shape}")
        if not jnp.issubdtype(dtype, jnp.floating):
            raise ValueError(f"{who}: should give a real number, not {dtype}")
        return jnp.asarray(found, _double())

    return call


def _measured(
    written: Callable[[Any, Array], Any],
) -> Callable[[Any, Array], dict[str, Array]]:
    """Observables of φ in float64, where they are numbers with names of their own."""

    @functools.wraps(written)
    def observables(self: Any, phi: Array) -> dict[str, Array]:
        found = written(self, phi.astype(_double()))
        who = _place(self, written)
        if not isinstance(found, dict):
            raise ValueError(f"{who}: should give a dict, not {type(found).__name__}")
        return {name: _number(who, name, found[name]) for name in found}

    return observables


def _number(who: str, name: Any, value: Any) -> Array:
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"{who}: {name!r}: is no name of an observable")
    if name in TAKEN:
        raise ValueError(f"{who}: {name!r}: genlat has this name; give it another")
    shape = np.shape(value) if not isinstance(value, jax.Array) else value.shape
    is_number = isinstance(value, jax.Array | np.ndarray | np.generic | float | int)
    kind = jnp.result_type(value) if is_number else type(value).__name__
    is_real = is_number and jnp.issubdtype(kind, jnp.floating) | isinstance(value, int)
    if shape or not is_real or isinstance(value, bool):
        shown = f"the shape {shape}" if shape else kind
        raise ValueError(f"{who}: {name!r}: should be a real number, not {shown}")
    return jnp.asarray(value, _double())


def _place(self: Any, written: Callable[..., Any]) -> str:
    """Of a method, for whoever looks for it."""
    line = written.__code__.co_firstlineno
    return f"{type(self).__name__}.{written.__name__}, line {line}"
