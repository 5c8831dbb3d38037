"""What is known about a theory without sampling it."""

from typing import NamedTuple

import numpy as np

from genlat import lattice
from genlat.actions.base import AbstractAction
from genlat.actions.declared import is_in_field, is_ising, is_scalar, is_vector
from genlat.actions.double_well import DoubleWell
from genlat.exact.in_field import in_field
from genlat.exact.ising import ising
from genlat.exact.scalar import scalar
from genlat.exact.value import Known, UnknownError
from genlat.exact.vector import vector


class Answer(NamedTuple):
    """Values by observable, and in `why_not` why ln Z is not among them, or None."""

    values: dict[str, Known]
    why_not: str | None


def known(action: AbstractAction) -> dict[str, Known]:
    """Exact and tabulated values under the observable keys of `results.json`.

    Scalar theories: the free field in any dimension, sites that hop little or not at
    all, chains and strips up to four sites wide by transfer matrix, and else the table
    in `genlat.exact.reference`; in a field `genlat.exact.in_field`. Ising models:
    `genlat.exact.ising`. Symmetries everywhere. What cannot be computed is left out.
    Values are those of the action's own field. Milliseconds, a few seconds for strips
    of three and four, or slices of ten spins.

    **Arguments:** `action` with concrete couplings, not traced ones.
    """
    return answer(action).values


def answer(action: AbstractAction) -> Answer:
    """`known`, and the reason where ln Z is not. Raises nothing."""
    try:
        # what overflows is not finite, and left out below
        with np.errstate(all="ignore"):
            values, why_not = _computed(action), None
    except UnknownError as reason:
        values, why_not = {}, str(reason)
    except (ArithmeticError, ValueError, np.linalg.LinAlgError) as error:
        values, why_not = {}, f"out of the range of floating point ({error})"
    values |= _by_symmetry(action)
    if isinstance(action, DoubleWell) and "phi2" in values:
        values["x2"] = values["phi2"]
    values = _completed(values, action.lattice_shape)
    finite = {name: value for name, value in values.items() if value.is_finite}
    if "log_z" in values and "log_z" not in finite:
        why_not = "out of the range of floating point"
    elif "log_z" not in values and why_not is None:
        why_not = "no method gives ln Z for this theory"
    return Answer(finite, why_not)


def _computed(action: AbstractAction) -> dict[str, Known]:
    if is_ising(action):
        return ising(action)
    if is_scalar(action):
        return scalar(action)
    if is_in_field(action):
        return in_field(action)
    if is_vector(action):
        return vector(action)
    raise UnknownError("the action is one of your own, of which no method here knows")


def _by_symmetry(action: AbstractAction) -> dict[str, Known]:
    """What φ → -φ gives on a finite lattice, where no symmetry is broken."""
    if "sign" in action.symmetries:
        return {"mag": Known(0.0, 0.0, "symmetry φ → -φ")}
    return {}


def _completed(
    values: dict[str, Known], lattice_shape: tuple[int, ...]
) -> dict[str, Known]:
    """With what follows from ln Z and ⟨S⟩/V."""
    values, volume = dict(values), lattice.volume(lattice_shape)
    log_z, density = values.get("log_z"), values.get("action_density")
    if log_z is not None:
        values["free_energy_density"] = Known(
            -log_z.value / volume, log_z.error / volume, log_z.source
        )
    if log_z is not None and density is not None:
        values["entropy_density"] = Known(
            log_z.value / volume + density.value,
            log_z.error / volume + density.error,
            log_z.source,
        )
    return values
