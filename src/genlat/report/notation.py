"""How the report writes quantities: symbols, numbers with errors, pulls."""

import itertools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from genlat.estimators.estimate import Estimate
from genlat.runs.file import catalogue

Json = Mapping[str, Any]
ABSENT = "—"
UNUSABLE = "unusable"
CAUTION = "caution"  # why an error is not relied upon
SMALL = 1e-3  # below, numbers are written with a power of ten
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
FAR = 3.0  # a pull beyond this is highlighted

COUPLINGS = catalogue.SYMBOLS

SIZES = "theory.shape"  # the field of a scan over whole lattices

# ln Z and what follows from it, a lower bound before its estimates
FREE_ENERGY = {
    "log_z": "ln Z",
    "free_energy_density_lower": "lower bound",
    "free_energy_density": "−ln Z / V",
    "free_energy_density_upper": "upper bound",
    "entropy_density": "(⟨S⟩ + ln Z) / V",
}
SYMBOLS = FREE_ENERGY | {
    name: observed.symbol
    for name, observed in catalogue.OBSERVED.items()
    if name not in FREE_ENERGY
}
UNITS = dict.fromkeys(FREE_ENERGY, "1 per site") | {
    name: observed.unit for name, observed in catalogue.OBSERVED.items()
}
"""As `theories.base.Observed` has them."""


def number(estimate: Json | None) -> str:
    """`85.7467(5)`; all known digits where there is no error to speak of.

    What is not to be used, or not a number, is not shown as one.
    """
    if estimate is None:
        return ABSENT
    if UNUSABLE in estimate:
        return UNUSABLE
    value, error = estimate["value"], estimate["error"]
    if value is None:
        return "not finite"
    if error is None:
        text = f"{value:.4g}(?)"
    elif abs(error) < 1e-11 * abs(value) or error == 0:
        text = f"{value:.10g}"
    else:
        text = _brief(value, error)
    return text.replace("-", "−")


def _brief(value: float, error: float) -> str:
    size = max(abs(value), abs(error))
    power = math.floor(math.log10(size)) if size < SMALL else 0
    scale = 10.0**power
    text = str(Estimate(value / scale, error / scale, 0.0, 1, 1.0, ""))
    return f"{text}·10{str(power).translate(RAISED)}" if power else text


def scanned(value: int | float | list[int]) -> str:
    """The value of a scanned field: a number, or the size of a lattice as `16×8`."""
    return "×".join(map(str, value)) if isinstance(value, list) else repr(value)


def is_usable(estimate: Json | None) -> bool:
    """Whether there are a value and an error, of one component or several."""
    if estimate is None or UNUSABLE in estimate:
        return False
    return estimate["value"] is not None and estimate["error"] is not None


def pull(one: Json | None, other: Json | None) -> float | None:
    """(one - other) / √(both errors²); None where that means nothing."""
    if one is None or other is None or not (is_usable(one) and is_usable(other)):
        return None
    values = [x[key] for x in (one, other) for key in ("value", "error")]
    if any(isinstance(x, list) for x in values):
        return None
    error = math.hypot(values[1], values[3])
    return (values[0] - values[2]) / error if error > 0 else None


class Pull(NamedTuple):
    """(`first` - `second`) in units of its error."""

    value: float
    first: str
    second: str


def largest_pull(by_method: Json) -> Pull | None:
    """Between any two methods, but exact values and biased averages over q."""
    left_out = ("exact", "variational")
    methods = [method for method in by_method if method not in left_out]
    every = (
        Pull(value, first, second)
        for first, second in itertools.combinations(methods, 2)
        if (value := pull(by_method[first], by_method[second])) is not None
    )
    return max(every, key=lambda found: abs(found.value), default=None)
