"""What an action says of itself, and how whoever relies on it asks."""

from typing import TypeGuard

from genlat import symmetry
from genlat.actions.base import (
    AbstractAction,
    AbstractScalarAction,
    AbstractScalarInField,
    AbstractVectorAction,
)
from genlat.actions.ising import Ising


def require(action: AbstractAction, names: tuple[str, ...], who: str) -> None:
    """Refuse an action that does not declare these symmetries.

    **Arguments:** `names`, of `symmetry.LATTICE` and `symmetry.INTERNAL`; `who` relies
    on them.

    **Raises:** `ValueError`, also for a declaration of unknown names.
    """
    theory, declared = type(action).__name__, action.symmetries
    every = (*symmetry.LATTICE, *symmetry.INTERNAL)
    if unknown := [name for name in declared if name not in every]:
        known = ", ".join(every)
        raise ValueError(f"{theory} declares {unknown}; symmetries are {known}")
    if missing := [name for name in names if name not in declared]:
        raise ValueError(
            f"{who} needs the symmetry {' and '.join(map(repr, missing))}, which "
            f"{theory} does not declare: if its S has it, name it in "
            f"`symmetries` of {theory}; if not, do without {who}"
        )


def require_couplings(action: AbstractAction, who: str) -> None:
    """Refuse an action whose S is not that of its couplings alone.

    Whoever computes changes of S from the couplings would miss what a subclass adds.

    **Raises:** `ValueError`.
    """
    if not (is_scalar(action) or is_vector(action) or is_ising(action)):
        raise ValueError(
            f"{who} computes S from the couplings, which are not all of "
            f"{type(action).__name__}: it defines an S of its own; use hmc"
        )


def is_scalar(action: AbstractAction) -> TypeGuard[AbstractScalarAction]:
    """Whether S is that of its three couplings, without terms added in a subclass."""
    return (
        isinstance(action, AbstractScalarAction)
        and type(action).__call__ is AbstractScalarAction.__call__
    )


def is_in_field(action: AbstractAction) -> TypeGuard[AbstractScalarInField]:
    """Whether S is that of three couplings and a field, without other terms."""
    return (
        isinstance(action, AbstractScalarInField)
        and type(action).__call__ is AbstractScalarInField.__call__
        and is_scalar(action.even)
    )


def without_field(action: AbstractAction) -> AbstractAction:
    """The theory that a field is added to; itself where there is none, or more.

    For whoever computes S from the couplings and takes care of the field.
    """
    return action.even if is_in_field(action) else action


def is_vector(action: AbstractAction) -> TypeGuard[AbstractVectorAction]:
    """Whether S is that of its three couplings, of several components."""
    return (
        isinstance(action, AbstractVectorAction)
        and type(action).__call__ is AbstractVectorAction.__call__
    )


def is_ising(action: AbstractAction) -> TypeGuard[Ising]:
    """Whether S is that of β and h, without terms added in a subclass."""
    if not isinstance(action, Ising):
        return False
    kind = type(action)
    return kind.__call__ is Ising.__call__ and kind.energy is Ising.energy
